"""A disk that takes nothing stops storing and nothing else: told once, tried again, and nothing is lost."""

import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
import trio

from gossip.events import Notice, SyncFinished, Trouble
from gossip.identity import new_identity
from gossip.log import Log
from gossip.logfile import LogBlocked, LogDamaged
from gossip.storage import Storage
from tests.disks import fill, needs_mount, small_disk
from tests.gossip.nodes import Node, node, record


@pytest.fixture(autouse=True)
def tried_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.storage.PROBE_SECONDS", 0.2)
    monkeypatch.setattr("gossip.logfile.WAIT_SECONDS", 0.05)


def told(one: Node) -> list[str]:
    """Begin and end of blocks, as a person hears of them."""
    return [
        "begin" if isinstance(event, Trouble) else "end"
        for event in one.all((Trouble, Notice))
        if isinstance(event, Notice) or (isinstance(event, Trouble) and event.what == "storing")
    ]


async def check_that_it_blocks_and_comes_back(first: Node, second: Node, block: object, unblock: object) -> None:
    """`second` is the one whose disk is blocked while `first` says things."""
    await second.until_heard_by()
    await first.until_heard_by()
    assert callable(block)
    assert callable(unblock)
    block()
    said = [await first.say() for _ in range(30)]
    await second.until(lambda: told(second) == ["begin"])
    assert len(second.log.missing([r.id for r in said])) > 0
    said += [await first.say() for _ in range(30)]
    await trio.sleep(0.6)  # some probes
    assert told(second) == ["begin"], "said more than once"
    assert first.peer in [peer.peer for peer in second.network.peers()], "lost its peer over it"
    unblock()
    await second.until(lambda: told(second) == ["begin", "end"])
    await second.until(lambda: not second.log.missing([r.id for r in said]))
    assert not [e for e in first.all(Trouble) if "shut out" in str(e)]


@needs_mount
async def test_on_a_full_disk_a_node_stays_and_has_everything_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(node(tmp_path / "first"))
            second = await stack.enter_async_context(node(disk / "second", bootstrap=first.network.addresses))
            await first.until(lambda: len(first.all(SyncFinished)) > 0)
            await check_that_it_blocks_and_comes_back(
                first, second, lambda: fill(disk), lambda: (disk / "ballast").unlink()
            )


async def test_while_another_program_holds_the_log_a_node_stays_and_has_everything_afterwards(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(node(tmp_path / "first"))
        second = await stack.enter_async_context(node(tmp_path / "second", bootstrap=first.network.addresses))
        await first.until(lambda: len(first.all(SyncFinished)) > 0)
        path = tmp_path / "second" / "log"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            await check_that_it_blocks_and_comes_back(
                first, second, lambda: other.execute("BEGIN IMMEDIATE"), lambda: other.execute("ROLLBACK")
            )


async def test_nothing_is_tried_while_blocked_and_there_must_be_some_room_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []
    with Log(tmp_path / "log") as log:
        storage = Storage(log, events.append)
        storage.failed(LogBlocked("cannot write: the disk is full"))
        storage.failed(LogBlocked("cannot write: the disk is full"))
        assert len(events) == 1
        with pytest.raises(LogBlocked):
            await storage.append([record(new_identity())])
        assert log.count() == 0
        monkeypatch.setattr("gossip.storage.ROOM_BYTES", 2**60)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(storage.watch)
            await trio.sleep(0.5)
            assert storage.blocked
            monkeypatch.setattr("gossip.storage.ROOM_BYTES", 1)
            with trio.fail_after(5):
                await storage.unblocked()
            nursery.cancel_scope.cancel()
        assert len(await storage.append([record(new_identity())])) == 1
    assert [type(event) for event in events] == [Trouble, Notice]
    assert not list(tmp_path.glob(".probe*"))  # noqa: ASYNC240


async def test_damage_that_reading_finds_is_told(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        storage = Storage(log, lambda event: None)

        def ask() -> int:
            raise LogDamaged("a row holds no record")

        with pytest.raises(LogDamaged):
            await storage.read(ask)
        assert storage.damaged.is_set()
        assert "no record" in str(storage.why)
