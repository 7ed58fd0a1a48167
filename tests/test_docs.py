"""Pages that are written from the program, or list what is in it, say what it does now."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.suite import BENCHES
from node.export.parquet import row_of
from node.formats import FORMATS
from scripts.figures import UnknownFigure, filled, pages
from tests.bench.test_compare import run_of
from tests.node.lab import open_lab

ROOT = Path(__file__).parents[1]


def test_the_reference_of_the_command_line_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli_reference", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_format_of_export_and_every_column_of_parquet_is_explained(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "export.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    with open_lab(tmp_path) as lab:
        result = lab.result({"INIT": "normal"})
        columns = row_of(lab.write(result), result)
    assert set(FORMATS) <= named
    assert set(columns) <= named


def test_every_page_is_in_the_sites_contents() -> None:
    listed = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_every_benchmark_that_a_page_cites_is_there() -> None:
    cited = {name for page in pages() for name in re.findall(r"\bpython3? -m (bench\.\w+)", page.read_text())}
    assert len(cited) > 15
    assert [name for name in sorted(cited) if importlib.util.find_spec(name) is None] == []


def test_every_benchmark_of_the_suite_is_there_and_cited() -> None:
    text = "".join(page.read_text() for page in pages())
    assert [bench.name for bench in BENCHES if importlib.util.find_spec(f"bench.{bench.name}") is None] == []
    assert [bench.name for bench in BENCHES if not re.search(rf"\bbench\.{bench.name}\b", text)] == []


def test_every_table_of_figures_stands_under_the_command_that_prints_it() -> None:
    command = re.compile(r"`(python -m bench\.|make \w|arnode \w)")
    for section in re.split(r"(?m)^(?=## )", (ROOT / "docs" / "benchmarks.md").read_text())[1:]:
        if re.search(r"(?m)^\|.*\d", section):
            assert command.search(section), section.splitlines()[0]
    assert command.search((ROOT / "docs" / "scaling.md").read_text().partition("\n## ")[0])


def test_marked_figures_are_those_of_the_baseline() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.figures", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_marked_figure_is_filled_in_and_one_that_nobody_measured_is_named() -> None:
    runs = {"x": run_of([3, 1, 2])}
    page = "| it | <!--figure x: it-->old<!--/--> |\n<!--figures x-->\nold\n<!--/-->\n"
    new = "2 units (median of 3; 1 to 3)"
    table = f"\n\n| figure | value |\n|---|---|\n| it | {new} |\n\n"
    assert filled(page, runs) == (f"| it | <!--figure x: it-->{new}<!--/--> |\n<!--figures x-->{table}<!--/-->\n")
    assert filled(filled(page, runs), runs) == filled(page, runs)
    with pytest.raises(UnknownFigure, match="no 'other'"):
        filled("<!--figure x: other-->1<!--/-->", runs)
