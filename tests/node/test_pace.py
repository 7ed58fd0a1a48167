"""Presence in swarms of every size: nobody hears more than a few a second, and claims outlive the pauses."""

import heapq
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from agent.claims import CLAIM_MS
from agent.entries import Presence
from gossip.clock import now_ms
from node.claims import Claims
from node.pace import AT_ONCE, HEARD_A_SECOND, LEAST_SECONDS, MISSED, Pace
from node.state import open_state
from tests.node.lab import open_lab

ME = bytes(32)


def names(count: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(1, count + 1)]


def heard_a_second(nodes: int, seconds: float, busy: float) -> float:
    """What one of so many nodes hears a second in the second half of the time.

    All start within a second, and each has something new to say every `busy` seconds.
    """
    paces = {name: Pace() for name in names(nodes)}
    first = names(1)[0]
    queue = [(number / nodes, name) for number, name in enumerate(paces)]
    last = dict.fromkeys(paces, -seconds)
    heard = 0
    while queue and queue[0][0] < seconds:
        now, name = heapq.heappop(queue)
        pace = paces[name]
        # as node/claims.py does: what is new if it may, what is old when it is due
        if pace.pause(now) == 0.0:
            last[name] = now
            interval = pace.interval(now)
            heard += name != first and now > seconds / 2
            for other, theirs in paces.items():
                if other != name:
                    theirs.hear(name, interval, now)
        heapq.heappush(queue, (now + busy, name))
    return heard / (seconds / 2)


@pytest.mark.parametrize("nodes", [10, 60, 150])
def test_a_node_hears_no_more_than_a_few_presences_a_second_however_many_speak(nodes: int) -> None:
    assert heard_a_second(nodes, 400, busy=5) == pytest.approx(min(HEARD_A_SECOND, (nodes - 1) / 5), rel=0.15)


def test_the_interval_grows_with_the_nodes_that_are_there_and_shrinks_when_they_go() -> None:
    pace = Pace()
    assert pace.interval(0) == LEAST_SECONDS
    for name in names(1000):
        pace.hear(name, 500, now=1)
    assert pace.there(1) == 1000
    assert pace.interval(1) == 1000 / HEARD_A_SECOND
    assert pace.interval(1 + MISSED * 500 - 1) == 1000 / HEARD_A_SECOND
    assert pace.interval(1 + MISSED * 500 + LEAST_SECONDS) == LEAST_SECONDS


async def test_what_is_new_is_said_at_once_and_later_where_much_was_said(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    said: list[tuple[float, str]] = []

    async def announce(presence: Presence) -> None:
        await trio.lowlevel.checkpoint()
        said.append((trio.current_time(), presence.activity))

    with open_lab(tmp_path) as lab, open_state(lab.home, None, writing=False) as state:
        claims = Claims(state, "ada", announce)
        for name in names(100):
            claims.hear(name, state.task.fingerprint, Presence(alias="x", activity="y", interval=50.0))
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(claims.keep_saying)
            for number in range(6):
                await claims.say(str(number), {})
            await trio.sleep(120)
            nursery.cancel_scope.cancel()
        at_once = [word for time, word in said if time == started]
        assert at_once == [str(number) for number in range(int(AT_ONCE))]
        assert [word for _, word in said[int(AT_ONCE) :]][:1] == ["5"], "the latest is said, and not what it replaced"
        gaps = [after - before for (before, _), (after, _) in pairwise(said[int(AT_ONCE) :])]
        assert all(gap >= 100 / HEARD_A_SECOND - 1e-6 for gap in gaps)


async def test_a_claim_holds_until_it_is_repeated_in_a_large_swarm_and_ten_minutes_in_a_small_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    said: list[Presence] = []

    async def announce(presence: Presence) -> None:
        await trio.lowlevel.checkpoint()
        said.append(presence)

    with open_lab(tmp_path) as lab, open_state(lab.home, None, writing=False) as state:
        small, large = Claims(state, "ada", announce), Claims(state, "bob", announce)
        for name in names(4000):
            large.hear(name, bytes(32), Presence(alias="x", activity="y", interval=2000.0))
        for claims, least in ((small, CLAIM_MS), (large, 1000 * 4000 / HEARD_A_SECOND)):
            before = now_ms()
            await claims.say("exploring", {"DEPTH": 4})
            assert said[-1].expires_ms >= before + least
        liar = Presence(alias="x", activity="y", claim={"DEPTH": 4}, expires_ms=2**62)
        small.hear(ME, state.task.fingerprint, liar)
        assert small.live()[0].expires_ms <= now_ms() + CLAIM_MS
