"""Archives: what is written verifies, and nothing that was tampered with does."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.identity import new_identity
from gossip.record import pack_body, sign
from node.archive import ArchiveError, check_lines, from_line, to_line
from tests.node.lab import open_lab

ALICE = new_identity()
HYPOTHESIS = sign(
    ALICE, "hypothesis", bytes(32), 1_700_000_000_000, pack_body({"text": "wider is better", "priority": 0.5})
)


def test_a_line_gives_back_the_record(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        record = lab.write(lab.result({"INIT": "normal"}))
    line = to_line(record)
    assert from_line(line) == record
    plain = json.loads(line)
    assert plain["id"] == record.id.hex()
    assert plain["body"]["change"] == {"INIT": ["default", "normal"]}
    assert plain["body"]["parent"] == record.value()["parent"].hex()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "00" * 32),
        ("kind", "result"),
        ("author", "00" * 32),
        ("time_ms", 5),
        ("body", {"text": "narrower is better"}),
    ],
)
def test_a_plain_field_that_says_something_else_is_found(field: str, value: object) -> None:
    data = json.loads(to_line(HYPOTHESIS)) | {field: value}
    with pytest.raises(ArchiveError, match=f"`{field}`"):
        from_line(json.dumps(data))


@given(st.integers(0, len(HYPOTHESIS.raw) - 1), st.integers(1, 255))
def test_a_changed_byte_is_found(place: int, flip: int) -> None:
    raw = bytearray(HYPOTHESIS.raw)
    raw[place] ^= flip
    with pytest.raises(ArchiveError):
        from_line(json.dumps({"record": base64.b64encode(raw).decode()}))


@given(st.text(max_size=200))
def test_any_text_is_a_record_or_an_archive_error(line: str) -> None:
    with pytest.raises(ArchiveError):
        from_line(line)


def test_each_line_is_checked_by_itself() -> None:
    good = to_line(HYPOTHESIS)
    checked = list(check_lines([good, "", "{}", good.replace("wider", "wilder"), good]))
    assert [(one.line, one.error is None) for one in checked] == [(1, True), (3, False), (4, False), (5, True)]
