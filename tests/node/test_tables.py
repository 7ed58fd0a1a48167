"""Exports that programs read: every value arrives as the record says it, and binary ones spare the terminal."""

import io
import json
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from agent.entries import Pair, Result
from node.cli import app
from node.export import WRITERS, ExportError, export
from node.export.output import put
from node.formats import FORMATS, FormatName
from tests.node.lab import Lab, open_lab
from tests.node.terminal import terminal

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def rows_of(lab: Lab, what: str = "all") -> list[dict[str, object]]:
    """The rows of the lab's Parquet export."""
    made = export(lab.home, None, "parquet", what)
    assert isinstance(made, bytes)
    return parquet.read_table(io.BytesIO(made)).to_pylist()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    with open_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@settings(max_examples=30, deadline=None)
@given(
    pairs=st.lists(
        st.builds(Pair, seed=st.integers(0, 2**64 - 1), candidate=finite | st.none(), parent=finite | st.none()),
        min_size=1,
        max_size=4,
        unique_by=lambda pair: pair.seed,
    ),
    interval=st.none() | st.tuples(finite, finite).map(sorted).map(tuple),
    hypothesis=texts,
    versions=st.dictionaries(texts, texts, max_size=3),
    tokens=st.integers(0, 2**64 - 1),
)
def test_a_row_says_what_its_record_says(
    lab: Lab,
    pairs: list[Pair],
    interval: tuple[float, float] | None,
    hypothesis: str,
    versions: dict[str, str],
    tokens: int,
) -> None:
    fields = lab.result({"INIT": "normal", "RATE": 0.5}, verdict="discard").model_dump()
    fields |= {"pairs": [pair.model_dump() for pair in pairs], "interval": interval, "effect": None}
    fields |= {"hypothesis": hypothesis, "versions": versions, "tokens": tokens}
    result = Result.model_validate(fields)
    record = lab.write(result)
    (row,) = rows_of(lab, record.id.hex())
    assert row["trials"] == [pair.model_dump() for pair in pairs]
    assert (row["effect"], row["effect_low"], row["effect_high"]) == (None, *(interval or (None, None)))
    assert (row["hypothesis"], row["tokens"], dict(row["versions"])) == (hypothesis, tokens, versions)
    assert {knob["name"]: (json.loads(knob["old"]), json.loads(knob["new"])) for knob in row["knobs"]} == result.change
    assert {name: json.loads(value) for name, value in row["recipe"]} == result.candidate.knobs
    assert row["time"] == datetime.fromtimestamp(record.time_ms // 1000, UTC)
    assert (row["record"], row["author"]) == (record.id.hex(), record.author.hex())


def test_parquet_has_a_row_for_each_result_and_says_of_what_it_is(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"INIT": "normal"}))
        lab.write(lab.result({"INIT": "zeros"}, verdict="crash", values=(None, 2.0)))
        made = parquet.read_table(io.BytesIO(export(lab.home, None, "parquet", None)))
        fingerprint = lab.task.fingerprint_hex
    assert made.column("verdict").to_pylist() == ["keep", "crash"]
    assert made.column("value").to_pylist() == [2.0, None]
    assert made.column("counted").to_pylist() == [True, True]
    about = {key.decode(): value.decode() for key, value in made.schema.metadata.items()}
    assert about["fingerprint"] == fingerprint
    assert (about["metric"], about["direction"]) == ("score", "minimize")


def test_an_export_that_needs_what_is_not_installed_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with open_lab(tmp_path) as lab, pytest.raises(ExportError, match=r"parquet needs pyarrow.*arnode\[export\]"):
        export(lab.home, None, "parquet", None)


def test_every_format_has_a_name_a_line_and_a_writer() -> None:
    assert set(get_args(FormatName)) == set(FORMATS) == set(WRITERS)


def test_a_binary_export_goes_into_a_file_and_not_into_a_terminal(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"INIT": "normal"}))
    with terminal("export", "--format", "parquet", home=tmp_path / "home") as shown:
        assert shown.end() == 1
        assert "name a file with -o" in shown.seen
    file = tmp_path / "out.parquet"
    file.write_bytes(b"what was there")
    file.chmod(0o600)
    with pytest.raises(SystemExit) as ended:
        app(["--home", str(tmp_path / "home"), "export", "--format", "parquet", "-o", str(file)])
    assert ended.value.code == 0
    assert parquet.read_table(file).num_rows == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.parquet"]


def test_a_file_that_cannot_be_written_is_said_and_the_old_one_stays(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot write .*nowhere"):
        put("text", tmp_path / "nowhere" / "file")
    with pytest.raises(ExportError, match="cannot write"):
        put("text", tmp_path)  # a folder
