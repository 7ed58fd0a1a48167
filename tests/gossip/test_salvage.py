"""What is readable of a damaged log comes back, and nothing that is not a signed record."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.database import move_aside
from gossip.identity import new_identity
from gossip.log import Log
from gossip.record import Record, pack_body, sign
from gossip.salvage import readable_records
from tests.disks import damage

ME = new_identity()


def record(number: int, size: int = 1000) -> Record:
    return sign(ME, "result", bytes(32), 1 + number, pack_body({"n": number, "text": "x" * size}))


def ids(path: Path) -> set[bytes]:
    found = [record.id for record in readable_records(path)]
    assert len(set(found)) == len(found)
    return set(found)


@pytest.mark.parametrize(
    ("how", "at_least"), [("none", 300), ("beginning", 290), ("middle", 150), ("half", 100), ("all", 0), ("empty", 0)]
)
def test_what_the_damage_spared_is_found(how: str, at_least: int, tmp_path: Path) -> None:
    path = tmp_path / "log"
    records = [record(number, 20_000 if number % 50 == 0 else 1000) for number in range(300)]
    with Log(path) as log:
        log.append(records)
    damage(path, how)
    found = ids(path)
    assert found <= {record.id for record in records}
    assert len(found) >= at_least


def test_what_is_still_in_the_write_ahead_log_is_found_after_the_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    records = [record(number) for number in range(20)]
    log = Log(path)
    log.append(records)
    damage(path, "all")
    aside = move_aside(path)
    assert not path.exists()
    assert not path.with_name("log-wal").exists()
    assert len(ids(aside)) == 20
    log.close()


@settings(max_examples=50, deadline=None)
@given(before=st.binary(max_size=200), after=st.binary(max_size=200), cut=st.integers(0, 300))
def test_a_record_is_found_among_any_bytes_and_a_part_of_one_is_not(
    before: bytes, after: bytes, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("salvage") / "file"
    whole, partial = record(1, 50), record(2, 400)
    path.write_bytes(before + whole.raw + after + partial.raw[: cut + 20])
    assert ids(path) == {whole.id}


def test_two_files_moved_aside_in_one_second_have_two_names(tmp_path: Path) -> None:
    asides = set()
    for text in ("one", "two"):
        (tmp_path / "log").write_text(text)
        asides.add(move_aside(tmp_path / "log"))
    assert sorted(path.read_text() for path in asides) == ["one", "two"]
