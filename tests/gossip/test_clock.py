"""A clock that is wrong is noticed by what enough peers say, told once, and does no harm that lasts."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.clock import ENOUGH_PEERS, REMEMBERED_SECONDS, RIGHT_MS, WRONG_MS, PeerClocks, now_ms
from gossip.events import Notice, PeerRejected, RecordArrived, SyncFinished, Trouble
from tests.gossip.nodes import Node, node, record

HOUR_MS = 3_600_000


def clocks(offsets: list[int], now: float = 0.0) -> PeerClocks:
    made = PeerClocks()
    for number, offset in enumerate(offsets):
        made.note(f"peer {number}", offset, now)
    return made


def test_too_few_peers_prove_nothing_and_one_peer_counts_once() -> None:
    few = clocks([HOUR_MS] * (ENOUGH_PEERS - 1))
    for _ in range(50):
        few.note("peer 0", HOUR_MS, 1.0)
    assert few.offset_ms is None
    assert few.change() is None


def test_what_is_wrong_is_told_when_it_begins_and_when_it_ends() -> None:
    made = clocks([HOUR_MS, HOUR_MS + 500, HOUR_MS - 500])
    told = made.change()
    assert told is not None
    assert "60 minutes behind, by 3 peers" in told
    assert "timedatectl" in told
    assert made.change() is None
    for number in range(3):
        made.note(f"peer {number}", -2 * HOUR_MS, 10.0)
    assert made.change() is None  # still wrong; told already
    for number in range(3):
        made.note(f"peer {number}", (WRONG_MS + RIGHT_MS) // 2, 20.0)
    assert made.change() is None  # not right enough to say so
    for number in range(3):
        made.note(f"peer {number}", 0, 30.0)
    told = made.change()
    assert told is not None
    assert "agrees" in told
    ahead = clocks([-5 * HOUR_MS] * 3).change()
    assert ahead is not None
    assert "5 hours ahead" in ahead


def test_old_opinions_are_forgotten() -> None:
    made = clocks([HOUR_MS] * 3)
    made.note("a new peer", 0, REMEMBERED_SECONDS + 1)
    assert made.offset_ms is None


@given(
    honest=st.lists(st.integers(-RIGHT_MS, RIGHT_MS), min_size=3, max_size=20),
    lies=st.lists(st.integers(-(2**53), 2**53), max_size=20),
)
def test_a_minority_cannot_make_a_right_clock_wrong(honest: list[int], lies: list[int]) -> None:
    made = clocks(honest + lies[: len(honest) - 1])
    assert made.change() is None


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.schedule.PERIOD_SECONDS", 1.0)


def troubles(one: Node, what: str) -> list[str]:
    return [event.why for event in one.all(Trouble) if isinstance(event, Trouble) and event.what == what]


@pytest.mark.usefixtures("often")
async def test_a_node_far_ahead_is_told_is_not_shut_out_and_its_records_are_taken_when_due(tmp_path: Path) -> None:
    shift = {"right": 0, "wrong": HOUR_MS}
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(node(tmp_path / "0", clock=lambda: now_ms() + shift["right"]))
        others = [
            await stack.enter_async_context(
                node(tmp_path / f"{n}", bootstrap=first.network.addresses, clock=lambda: now_ms() + shift["right"])
            )
            for n in (1, 2)
        ]
        wrong = await stack.enter_async_context(
            node(tmp_path / "w", bootstrap=first.network.addresses, clock=lambda: now_ms() + shift["wrong"])
        )
        swarm = [first, *others]
        await wrong.until(lambda: len(wrong.network.peers()) == 3)
        await wrong.until_heard_by(3)
        early = [record(wrong.identity, time_ms=now_ms() + HOUR_MS) for _ in range(30)]
        wrong.log.append(early)
        for each in early:
            await wrong.network.publish(each)
        honest = await first.say()
        await wrong.until(lambda: wrong.log.has(honest.id))
        await wrong.until(lambda: bool(troubles(wrong, "clock")), 30)
        assert len(troubles(wrong, "clock")) == 1
        assert "60 minutes ahead" in troubles(wrong, "clock")[0]
        exchanged = len(first.all(SyncFinished))
        await first.until(lambda: len(first.all(SyncFinished)) > exchanged + 3, 30)
        for each in swarm:
            assert each.log.count() == 1
            assert not each.all(PeerRejected)
            assert not troubles(each, "clock")  # one wrong clock among four convinces nobody
        shift["right"] = HOUR_MS - 10_000  # the hour has passed, for the others
        for each in swarm:
            await each.until(lambda each=each: not each.log.missing([r.id for r in early]), 30)  # type: ignore[misc]
        await wrong.until(lambda: len(wrong.all(Notice)) == 1, 30)


@pytest.mark.usefixtures("often")
async def test_a_clock_that_jumps_back_or_ahead_breaks_nothing(tmp_path: Path) -> None:
    shift = 0
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(node(tmp_path / "0"))
        jumpy = await stack.enter_async_context(
            node(tmp_path / "j", bootstrap=first.network.addresses, clock=lambda: now_ms() + shift)
        )
        await jumpy.until_heard_by()
        await first.until_heard_by()
        said = [await first.say()]
        for shift in (-HOUR_MS // 2, 5 * 60_000, -24 * HOUR_MS, 0):
            ours = record(jumpy.identity, time_ms=now_ms() + shift)
            jumpy.log.append([ours])
            await jumpy.network.publish(ours)
            presence = record(jumpy.identity, "presence", time_ms=now_ms() + shift)
            await jumpy.network.announce(presence)
            said += [ours, await first.say()]
        for each in (first, jumpy):
            await each.until(lambda each=each: not each.log.missing([r.id for r in said]), 30)  # type: ignore[misc]
            assert not each.all((PeerRejected, Trouble))
        await jumpy.until(lambda: len(jumpy.all(RecordArrived)) == sum(r.author == first.identity.author for r in said))
