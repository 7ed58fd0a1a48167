"""The log: whole records or none, each once, on disk when append returns."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from gossip.forgotten import Forgotten
from gossip.identity import new_identity
from gossip.log import Log
from gossip.logfile import LogBlocked, LogDamaged, LogError
from gossip.record import BadField, Record, pack_body, sign
from tests.disks import damage, fill, needs_mount, small_disk
from tests.gossip.nodes import record

ALICE = new_identity()


def some_records(count: int, first: int = 1) -> list[Record]:
    return [sign(ALICE, "result", bytes(32), 1_000 + i, pack_body({"n": i})) for i in range(first, first + count)]


def test_a_record_is_kept_once_and_comes_back_as_it_was(tmp_path: Path) -> None:
    records = some_records(3)
    with Log(tmp_path / "log") as log:
        assert log.append([*records, records[0]]) == records
        assert log.append(records) == []
        assert log.count() == 3
        assert log.get(records[1].id) == records[1]
        assert log.get(bytes(32)) is None
        assert log.missing([records[2].id, bytes(32)]) == [bytes(32)]
        assert log.find(records[0].id.hex()[:9]) == [records[0]]
        assert log.find("zz not hex") == log.find("%") == []


def test_items_come_in_the_order_of_time_and_id_whatever_the_arrival(tmp_path: Path) -> None:
    records = some_records(50)
    shuffled = random.Random(1).sample(records, len(records))
    with Log(tmp_path / "log") as log:
        log.append(shuffled)
        assert log.ids() == sorted((r.time_ms, r.id) for r in records)
        assert [r for _, r in log.since(limit=7)] == shuffled
        last = [number for number, _ in log.since()][-1]
        assert list(log.since(last)) == []
        log.append(some_records(1, first=99))
        assert [r.time_ms for _, r in log.since(last)] == [1_099]


def test_nothing_is_stored_of_a_batch_with_a_kind_that_is_never_stored(tmp_path: Path) -> None:
    presence = sign(ALICE, "presence", bytes(32), 5, pack_body({}))
    with Log(tmp_path / "log") as log:
        with pytest.raises(BadField):
            log.append([*some_records(1), presence])
        assert log.count() == 0


def test_a_reader_sees_what_a_running_node_writes_and_writes_nothing_itself(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log, Log(tmp_path / "log", read_only=True) as reader:
        log.append(some_records(2))
        assert reader.count() == 2
        with pytest.raises(LogError):
            reader.append(some_records(1, first=9))


def test_a_file_that_is_no_log_is_a_named_error_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"these are not the bytes you are looking for" * 100)
    with pytest.raises(LogError, match="moves it aside"):
        Log(path)
    assert path.read_bytes().startswith(b"these are not")


def test_a_log_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "log") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(LogError, match="newer arnode"):
        Log(tmp_path / "log")


def test_reading_where_no_node_ran_says_so(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there is no log"):
        Log(tmp_path / "log", read_only=True)


def test_kill_9_while_appending_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from gossip.identity import new_identity
        from gossip.log import Log
        from gossip.record import pack_body, sign
        me, log, n = new_identity(), Log(Path(sys.argv[1])), 0
        while True:
            records = [sign(me, "result", bytes(32), 1 + n + i, pack_body({"n": n + i})) for i in range(3)]
            log.append(records)
            n += 3
            print(n, *(r.id.hex() for r in records), flush=True)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    promised = [bytes.fromhex(word) for line in lines if line.endswith(b"\n") for word in line.decode().split()[1:]]
    with Log(tmp_path / "log") as log:
        assert log.missing(promised) == []
        assert log.count() % 3 == 0
        assert sum(1 for _ in log.since()) == log.count()


@pytest.mark.parametrize("how", ["all", "beginning", "middle", "half"])
def test_damage_is_noticed_whether_one_writes_or_reads(how: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Log(path) as log:
        log.append(some_records(200))
    damage(path, how)
    with pytest.raises(LogDamaged, match="damaged"), Log(path, read_only=True) as log:
        list(log.since())
    with pytest.raises(LogDamaged), Log(path) as log:
        list(log.since())


def test_a_flipped_bit_that_sqlite_does_not_see_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Log(path) as log:
        (record,) = log.append(some_records(1))
    data = bytearray(path.read_bytes())
    data[data.rindex(record.raw) + 50] ^= 1  # in the author's name
    path.write_bytes(data)
    with Log(path) as log, pytest.raises(LogDamaged, match="not those of record"):
        list(log.since())


def test_another_programs_table_is_no_log(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "log")) as other:
        other.execute("CREATE TABLE records (title TEXT, year INTEGER)")
    with pytest.raises(LogDamaged, match="another program"):
        Log(tmp_path / "log")


def test_a_locked_log_blocks_and_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.logfile.WAIT_SECONDS", 0.05)
    with Log(tmp_path / "log") as log, closing(sqlite3.connect(tmp_path / "log", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogBlocked, match="locked"):
            log.append(some_records(1))
        with pytest.raises(LogBlocked, match="locked"):
            log.file.probe()
        assert log.count() == 0
        other.execute("ROLLBACK")
        assert log.append(some_records(1))


def test_a_log_that_may_not_grow_blocks_and_adds_nothing_of_the_batch(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        log.append(some_records(3))
        pages = log.file.connection.execute("PRAGMA page_count").fetchone()[0]
        log.file.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LogBlocked, match="full"):
            log.append(some_records(500, first=10))
        assert log.count() == 3
        log.file.connection.execute("PRAGMA max_page_count = 100000")
        assert len(log.append(some_records(500, first=10))) == 500


@needs_mount
def test_a_log_on_a_full_disk_blocks_and_can_be_opened_and_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        with Log(disk / "log") as log:
            log.append(some_records(3))
            ballast = fill(disk)
            with pytest.raises(LogBlocked, match="full"):
                log.append(some_records(500, first=10))
        with Log(disk / "log") as log:
            assert sum(1 for _ in log.since()) == 3
            ballast.unlink()
            assert len(log.append(some_records(500, first=10))) == 500


def test_the_items_for_reconciliation_never_drift_from_the_file(tmp_path: Path) -> None:
    records = some_records(900)
    random.Random(1).shuffle(records)
    presence = sign(ALICE, "presence", bytes(32), 1, pack_body({}))
    with Log(tmp_path / "log") as log:
        log.append(records[:300])
        items = log.shelves.items()
        log.append(records[200:600])
        with pytest.raises(BadField):
            log.append([*records[600:], presence])
        assert log.shelves.items() is items
        assert items.ids(0, len(items)) == [record_id for _, record_id in log.ids()]
        assert len(items) == log.count() == 600


def test_what_limits_need_to_know_is_asked_of_the_log(tmp_path: Path) -> None:
    bob = new_identity()
    records = some_records(1200)
    twice = [sign(bob, "insight", bytes(32), 7, pack_body({"n": n})) for n in range(2)]
    with Log(tmp_path / "log") as log:
        log.append([*records, *twice])
        alices, bobs = (sum(len(record.raw) for record in some) for some in (records, twice))
        assert log.usage() == {ALICE.author: (1200, alices), bob.author: (2, bobs)}
        assert log.contradictions([6, 7, 1001]) == [(bob.author, 7)]
        assert log.contradicting_authors() == {bob.author}
        assert log.times_of(bob.author) == {7}
        assert log.ids_since(2000, 3) == [record.id for record in records[-3:]]
        assert len(log.ids_since(2000, 1000)) == 201
        absent = [number.to_bytes(32, "big") for number in range(600)]
        assert log.missing([*(record.id for record in records), *absent]) == absent


# ---- forgetting ----


def test_what_is_forgotten_stays_of_the_set_and_is_not_taken_again(tmp_path: Path) -> None:
    records = [record(ALICE) for _ in range(50)]
    with Log(tmp_path / "log") as log:
        log.append(records)
        before = log.shelves.items()
        fingerprint = before.sum(0, len(before))
        assert log.forget({old.id: ("records", b"gist") for old in records[:30]}) == 30
        assert log.forget({records[0].id: ("records", b"another"), bytes(32): ("records", b"")}) == 0
        assert log.append(records) == []
        assert log.missing([old.id for old in records]) == []
    with Log(tmp_path / "log") as log:  # and so after a restart
        items = log.shelves.items()
        assert (len(items), items.sum(0, len(items))) == (50, fingerprint)
        assert log.get(records[0].id) is None
        assert log.count() == 20
        assert log.append(records) == []
        assert {one.id: one for one in log.forgotten()} == {
            old.id: Forgotten(old.id, old.time_ms, old.task, old.author, "records", b"gist") for old in records[:30]
        }
        assert log.usage() == {ALICE.author: (50, sum(len(new.raw) for new in records[30:]) + 30 * len(b"gist"))}


def test_what_is_forgotten_gives_its_room_back(tmp_path: Path) -> None:
    records = [record(ALICE, text="x" * 1000) for _ in range(500)]
    with Log(tmp_path / "log") as log:
        log.append(records)
    full = (tmp_path / "log").stat().st_size
    with Log(tmp_path / "log") as log:
        log.forget({old.id: ("records", b"") for old in records})
    assert (tmp_path / "log").stat().st_size < full / 5


def test_a_contradiction_is_remembered_when_its_records_are_forgotten(tmp_path: Path) -> None:
    records = [record(ALICE, time_ms=1), record(ALICE, time_ms=1)]
    with Log(tmp_path / "log") as log:
        log.append(records)
        log.forget({records[0].id: ("records", b"")})
        assert log.contradicting_authors() == {ALICE.author}


def test_a_log_of_the_first_format_is_read_and_then_written(tmp_path: Path) -> None:
    records = [record(ALICE) for _ in range(3)]
    with Log(tmp_path / "log") as log:
        log.append(records)
    with closing(sqlite3.connect(tmp_path / "log")) as old:
        old.executescript("DROP TABLE forgotten; DROP TABLE names; PRAGMA user_version = 1;")
    with Log(tmp_path / "log", read_only=True) as log:
        assert len(log.shelves.items()) == 3
        assert list(log.forgotten()) == []
        assert log.missing([bytes(32)]) == [bytes(32)]
    with Log(tmp_path / "log") as log:
        assert log.forget({records[0].id: ("records", b"")}) == 1
