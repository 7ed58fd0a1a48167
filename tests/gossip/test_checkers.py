"""Batches of records checked by threads and by processes: the same verdicts, and no batch lost without a word."""

import os
import signal
from collections.abc import Callable

import pytest
import trio
import trio.testing

from agent.entries import check
from gossip import checkers as module
from gossip.checkers import Checkers, ChecksLost, processes_for
from gossip.checking import BodyRefused
from gossip.identity import new_identity
from gossip.record import BadField, BadSignature, NotCanonical, TooLarge
from tests.gossip.nodes import record

AUTHOR = new_identity()
GOOD = record(AUTHOR).raw
BATCH = [
    GOOD,
    GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    GOOD + b"\0",
    bytes(70_000),
    b"\x97" + bytes(7),
    record(AUTHOR, "profile").raw,
    record(AUTHOR).raw,
]


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not true():  # noqa: ASYNC110 - what another process does sets no event here
            await trio.sleep(0.01)


async def started(checkers: Checkers, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 2)
    nursery.start_soon(checkers.run)
    await checkers.check([GOOD, GOOD])
    await until(lambda: len(checkers.pids) == 2)


@pytest.mark.parametrize(("cores", "processes"), [(1, 2), (2, 2), (3, 2), (4, 3), (64, 3)])
def test_a_core_is_left_to_the_node_itself_where_there_are_enough(cores: int, processes: int) -> None:
    assert processes_for(cores) == processes


async def test_processes_say_what_threads_say(monkeypatch: pytest.MonkeyPatch) -> None:
    checkers = Checkers(check, 2)
    by_threads = await checkers.check(BATCH)
    assert [type(error) for error in by_threads] == [
        type(None),
        BadSignature,
        NotCanonical,
        TooLarge,
        BadField,
        BodyRefused,
        type(None),
    ]
    async with trio.open_nursery() as nursery:
        await started(checkers, nursery, monkeypatch)
        assert list(map(repr, await checkers.check(BATCH))) == list(map(repr, by_threads))
        nursery.cancel_scope.cancel()
    assert not checkers.pids


async def test_a_few_records_start_no_process() -> None:
    checkers = Checkers(check, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkers.run)
        await checkers.check(BATCH)
        await trio.testing.wait_all_tasks_blocked()
        assert not checkers.pids
        nursery.cancel_scope.cancel()


async def test_a_check_that_no_other_process_can_import_is_left_to_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 2)
    checkers = Checkers(lambda new: None, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkers.run)
        assert await checkers.check([GOOD, GOOD]) == [None, None]
        await trio.testing.wait_all_tasks_blocked()
        assert not checkers.pids
        nursery.cancel_scope.cancel()


async def test_processes_end_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    checkers = Checkers(check, 2)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    async with trio.open_nursery() as nursery:
        await started(checkers, nursery, monkeypatch)
        (pid, _) = checkers.pids
        await until(lambda: not checkers.pids)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert await checkers.check([GOOD]) == [None]
        nursery.cancel_scope.cancel()


async def test_a_process_that_dies_costs_its_batch_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    checkers = Checkers(check, 2)
    ended: list[type[BaseException]] = []

    async def run() -> None:
        try:
            await checkers.run()
        except* ChecksLost as group:
            ended.append(type(group.exceptions[0]))

    monkeypatch.setattr(module, "MANY", 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await checkers.check([GOOD, GOOD])
        await until(lambda: len(checkers.pids) == 2)
        for pid in checkers.pids:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ChecksLost):
            await checkers.check([GOOD])
        await until(lambda: bool(ended))
        assert await checkers.check([GOOD]) == [None]
        nursery.cancel_scope.cancel()
