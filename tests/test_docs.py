"""Pages that are written from the program, or list what is in it, say what it does now."""

import re
import subprocess
import sys
from pathlib import Path

from node.export.parquet import row_of
from node.formats import FORMATS
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
