"""A damaged log is replaced by what is readable of it; own records are kept in two places."""

from pathlib import Path

import pytest
import trio

from gossip.identity import new_identity
from gossip.log import Log
from gossip.logfile import LogBlocked, LogDamaged
from gossip.record import Record
from gossip.storage import Storage
from node.archive import check_lines
from node.outbox import Outbox
from node.own import OwnRecords
from node.repair import complete, repair_log
from node.state import open_state
from tests.disks import damage, fill, needs_mount, small_disk
from tests.gossip.nodes import record
from tests.node.lab import open_lab, open_trials
from trainer.device import detect
from trainer.recipe import BASELINE


@pytest.mark.parametrize("how", ["all", "half", "beginning"])
def test_own_records_survive_any_damage_to_the_log(how: str, tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        own = [lab.write(lab.result({"DEPTH": n})) for n in range(3, 8)]
        lab.write(lab.result({"DEPTH": 8}), new_identity())
        home = lab.home
    with open_state(home, None, writing=True) as state:
        assert complete(state, OwnRecords(home.own)) == ""  # the file is new, and now has all
    damage(home.log, how)
    with pytest.raises(LogDamaged) as damaged, open_state(home, None, writing=True):
        pass
    said = repair_log(home, damaged.value)
    (aside,) = [path for path in home.folder.glob("log.sqlite.damaged-*") if path.suffix not in ("-wal", "-shm")]
    assert str(aside) in said
    with open_state(home, None, writing=True) as state:
        complete(state, OwnRecords(home.own))
        assert state.log.missing([record.id for record in own]) == []
        assert len(state.notebook.experiments(lab.me.author)) == len(own)


def test_an_own_record_that_only_one_place_has_gets_into_the_other(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        first, second = lab.write(lab.result({"DEPTH": 3})), lab.write(lab.result({"DEPTH": 5}))
        own = OwnRecords(lab.home.own)
        own.keep([first])
    with open_state(lab.home, None, writing=True) as state:
        complete(state, own)
    assert {record_id for record_id, _ in own.lines()} == {first.id, second.id}
    lab.home.log.unlink()
    with open_state(lab.home, None, writing=True) as state:
        assert "2 own records came back" in complete(state, own)
        assert state.log.count() == 2
    assert [checked.error for checked in check_lines(lab.home.own.read_text().splitlines())] == [None, None]


def test_a_line_that_was_cut_off_or_changed_costs_itself_only(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        records = [lab.write(lab.result({"DEPTH": n})) for n in (3, 5, 6)]
    own = OwnRecords(tmp_path / "own")
    own.keep(records[:2])
    text = own.path.read_text()
    own.path.write_text(text.replace('"record": "l', '"record": "k', 1)[:-40])
    own.keep(records[2:])
    assert [found.id for found in own.other_than(set())] == [records[2].id]


@needs_mount
def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab, small_disk(tmp_path / "disk", 1) as disk:
        records = [lab.write(lab.result({"DEPTH": n})) for n in (3, 5)]
        own = OwnRecords(disk / "own")
        own.keep(records[:1])
        before = own.path.read_bytes()
        ballast = fill(disk)
        with pytest.raises(LogBlocked, match="No space"):
            own.keep(records[1:] * 20)
        assert own.path.read_bytes() == before
        ballast.unlink()
        own.keep(records[1:])
        assert {found.id for found in own.other_than(set())} == {record.id for record in records}


async def test_own_records_wait_in_order_while_the_disk_takes_nothing_and_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.outbox.MAX_WAITING", 20)
    monkeypatch.setattr("gossip.storage.PROBE_SECONDS", 0.2)
    me = new_identity()
    taken: list[Record] = []
    sent: list[Record] = []

    async def send(record: Record) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(record)

    with Log(tmp_path / "log") as log:
        storage = Storage(log, lambda event: None)
        outbox = Outbox(storage, OwnRecords(tmp_path / "own"), taken.append, send)
        made = [record(me) for _ in range(22)]
        await outbox.put(made[0])
        assert sent == made[:1]
        storage.failed(LogBlocked("the disk is full"))
        for one in made[1:-1]:
            await outbox.put(one)
        assert taken == made[:-1]  # research knows what it found
        assert sent == made[:1]  # and peers do not before it is kept
        with trio.move_on_after(0.3) as waited:
            await outbox.put(made[-1])
        assert waited.cancelled_caught  # too many: research waits
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            nursery.start_soon(storage.watch)
            with trio.fail_after(60):
                await outbox.put(made[-1])
                while outbox.waiting:  # noqa: ASYNC110 - the outbox has no event for it
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        assert sent == taken == made
        assert log.missing([one.id for one in made]) == []
        assert len(list(OwnRecords(tmp_path / "own").lines())) == len(made)


@pytest.mark.parametrize("how", ["all", "half"])
async def test_a_damaged_store_of_trials_is_moved_aside_and_a_new_one_begun(how: str, tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        with open_trials(lab, detect()) as trials:
            await trials.run(BASELINE, 1)
        damage(lab.home.trials, how)
        told: list[tuple[str, str]] = []
        with open_trials(lab, detect(), lambda what, why: told.append((what, why))) as trials:
            assert trials.known(BASELINE, 1) is None
            await trials.run(BASELINE, 1)
        assert [what for what, _ in told] == ["trials"]
        assert "moved to" in told[0][1]
        with open_trials(lab, detect()) as trials:
            assert trials.known(BASELINE, 1) is not None


@needs_mount
async def test_on_a_full_disk_trials_run_elsewhere_and_their_values_wait_in_memory(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk, open_lab(disk) as lab:
        told: list[str] = []
        with open_trials(lab, detect(), lambda what, why: told.append(why)) as trials:
            await trials.run(BASELINE, 1)
            ballast = fill(disk)
            for seed in (2, 3):
                assert (await trials.run(BASELINE, seed)).status == "ok"
                assert trials.known(BASELINE, seed) is not None
            assert len(told) == 1
            assert "full" in told[0]
            ballast.unlink()
            await trials.run(BASELINE, 4)
        with open_trials(lab, detect()) as trials:
            assert [seed for seed in range(1, 5) if trials.known(BASELINE, seed)] == [1, 2, 3, 4]
