"""An hour asleep, by virtual clocks and over real sockets: the others let the sleeper go, and it catches up."""

import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossip.clock import now_ms
from gossip.events import PeerConnected, PeerLost
from gossip.tuning import Tuning
from tests.gossip.nodes import Node, node

HOUR = 3600.0
STEP = 3.0  # no longer than the shortest delay that matters: a close has several, of which each takes a step
TUNING = Tuning()


class Shifted(trio.abc.Clock):
    """Real time, and what passed unnoticed."""

    def __init__(self) -> None:
        self.shift = 0.0

    def start_clock(self) -> None: ...

    def current_time(self) -> float:
        return time.perf_counter() + self.shift

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - self.current_time()

    def milliseconds(self) -> int:
        return now_ms() + round(1000 * self.shift)


class Sleeper:
    """A node in a thread and a trio run of its own, all of which can be stopped for a while."""

    def __init__(self, folder: Path, bootstrap: Sequence[str]) -> None:
        self._clock = Shifted()
        self._wake = threading.Event()
        self._stop = trio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=partial(trio.run, self._live, folder, bootstrap, clock=self._clock))

    async def _live(self, folder: Path, bootstrap: Sequence[str]) -> None:
        async with node(folder, bootstrap=bootstrap, clock=self._clock.milliseconds, tuning=TUNING) as made:
            self.node, self._token = made, trio.lowlevel.current_trio_token()
            self._up.set()
            await self._stop.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Node]:
        self._thread.start()
        try:
            await trio.to_thread.run_sync(partial(self._up.wait, 30))
            yield self.node
        finally:
            self._wake.set()
            self._token.run_sync_soon(self._stop.set)
            await trio.to_thread.run_sync(self._thread.join)

    def fall_asleep(self) -> None:
        self._wake.clear()
        self._token.run_sync_soon(self._wake.wait)  # its whole run stands still, sockets, timers and all

    def wake_up(self, after: float) -> None:
        self._clock.shift += after
        self._wake.set()


async def pass_time(clock: MockClock, seconds: float) -> None:
    """Let virtual time pass in steps; whatever a step sets going has ended before the next."""
    clock.rate = 0.0
    for _ in range(round(seconds / STEP)):
        clock.jump(STEP)
        await wait_all_tasks_blocked(cushion=0.003)
    clock.rate = 1.0


async def test_a_node_that_slept_for_an_hour_catches_up(tmp_path: Path, mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    began = now_ms() - round(1000 * trio.current_time())

    def clock() -> int:
        return began + round(1000 * trio.current_time())

    async with (
        node(tmp_path / "a", clock=clock, tuning=TUNING) as a,
        node(tmp_path / "b", clock=clock, bootstrap=a.network.addresses, tuning=TUNING) as b,
    ):
        sleeper = Sleeper(tmp_path / "sleeper", a.network.addresses)
        async with sleeper.running() as late:
            both = {a.peer, b.peer}
            await a.until(lambda: {peer.peer for peer in late.network.peers()} == both)
            said = [await a.say()]
            await a.until(lambda: late.log.has(said[0].id))

            sleeper.fall_asleep()
            for awake in (a, b) * 2:
                await pass_time(mock_clock, HOUR / 4)
                said.append(await awake.say())
            assert {peer.peer for peer in a.network.peers()} == {b.peer}
            assert {peer.peer for peer in b.network.peers()} == {a.peer}
            assert {event.peer.peer for event in a.all(PeerLost) if isinstance(event, PeerLost)} == {late.peer}
            assert late.log.count() == 1

            sleeper.wake_up(HOUR)
            await a.until(lambda: all(late.log.has(record.id) for record in said))
            await a.until(lambda: {peer.peer for peer in late.network.peers()} == both)
            assert len(late.all(PeerConnected)) > 2
            new = await trio.to_thread.run_sync(partial(trio.from_thread.run, late.say, trio_token=sleeper._token))
            for awake in (a, b):
                await awake.until(lambda awake=awake: awake.log.has(new.id))  # type: ignore[misc]
