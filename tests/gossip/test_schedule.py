"""Who leads an exchange, and when; and peers on real sockets that lie, stall or never come to an end."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from trio.testing import MockClock

from gossip import sync
from gossip.clock import now_ms
from gossip.events import Event, Peer, PeerRejected, SyncFinished, Trouble
from gossip.frames import Frames, PeerGone
from gossip.host import peer_id_of
from gossip.identity import new_identity
from gossip.intake import Intake
from gossip.log import Log
from gossip.metrics import Metrics
from gossip.schedule import AGAIN_SECONDS, INBOUND_SECONDS, Schedule
from tests.gossip import bare
from tests.gossip.hostile import stranger_to
from tests.gossip.nodes import Node, node, record

ABOUT: Final = {"archive": False}
BUDGET: Final = 64 * 1024 * 1024
LISTS_NONSENSE: Final = b"\x61\x00\x00\x02\x64"  # everything there is: 100 ids, which follow


# ---- when: the schedule alone, under virtual time ----


class NoHost:
    """A host on which no stream can be opened; remembers when one was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[ID, float]] = []

    def set_stream_handler(self, protocol: TProtocol, handler: object) -> None:
        pass

    async def new_stream(self, peer: ID, protocols: object) -> INetStream:
        await trio.lowlevel.checkpoint()
        self.asked.append((peer, trio.current_time()))
        raise BaseLibp2pError("this host opens no streams")


class Known:
    """The register of connections, as the schedule reads it."""

    def __init__(self) -> None:
        self.peers: dict[ID, Peer] = {}
        self.changed = trio.Event()

    def become(self, *peers: Peer) -> None:
        self.peers = {ID.from_string(peer.peer): peer for peer in peers}
        self.changed.set()
        self.changed = trio.Event()


def peer(*, inbound: bool) -> Peer:
    return Peer(peer_id_of(new_identity().author), "/ip4/127.0.0.1/tcp/1", inbound, 0)


@asynccontextmanager
async def schedule(folder: Path) -> AsyncIterator[tuple[Known, NoHost, list[Event]]]:
    known, host = Known(), NoHost()
    told: list[Event] = []
    with Log(folder / "log") as log:
        intake = Intake(log, lambda new: None, now_ms, told.append, lambda: 0)
        parts: Any = (host, known, intake)
        ignore: Callable[[ID, str], object] = lambda peer, why: None  # noqa: E731
        made = Schedule(*parts, "test", put=told.append, blame=ignore, foreign=ignore, metrics=Metrics())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run)
            yield known, host, told
            nursery.cancel_scope.cancel()


def first_asked(host: NoHost, of: Peer) -> float:
    return next(when for who, when in host.asked if who == ID.from_string(of.peer))


async def test_the_node_that_dialled_leads_at_once_and_the_other_later(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with schedule(tmp_path) as (known, host, _):
        dialled, came = peer(inbound=False), peer(inbound=True)
        started = trio.current_time()
        known.become(dialled, came)
        await trio.sleep(INBOUND_SECONDS + 1)
        assert first_asked(host, dialled) == started
        assert first_asked(host, came) == pytest.approx(started + INBOUND_SECONDS, abs=0.1)


async def test_a_peer_that_left_and_came_back_before_anyone_looked_is_met_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with schedule(tmp_path) as (known, host, _):
        first = peer(inbound=False)
        known.become(first)
        await trio.sleep(200)
        back = trio.current_time()
        known.become()
        known.become(Peer(first.peer, first.address, False, since=1))
        await trio.sleep(1)
        assert [when for _, when in host.asked].count(back) == 1  # retries come at times of their own


# ---- hostile peers on real sockets ----


async def hello(frames: Frames, swarm: str = "test") -> None:
    await frames.receive()
    await frames.send("hello", sync.VERSION, swarm, now_ms(), ABOUT)


async def offers_nonsense(frames: Frames) -> None:
    """Claims 100 records that do not exist, and says so when asked."""
    await hello(frames)
    await frames.receive()
    await frames.send("reconcile", LISTS_NONSENSE + os.urandom(3200))
    while (await frames.receive())[0] != "want":
        await frames.send("reconcile", b"\x61")
    await frames.send("records", [])


async def sends_other_records(frames: Frames) -> None:
    await hello(frames)
    await frames.receive()
    await frames.send("reconcile", LISTS_NONSENSE + os.urandom(3200))
    while (await frames.receive())[0] != "want":
        await frames.send("reconcile", b"\x61")
    await frames.send("records", [record(new_identity()).raw])


async def never_ends(frames: Frames) -> None:
    await hello(frames)
    while True:
        await frames.receive()
        await frames.send("reconcile", b"\x61\x00\x00\x01" + os.urandom(16))


async def sends_garbage(frames: Frames) -> None:
    await hello(frames)
    await frames.send("reconcile", b"\x61" + os.urandom(1000))


async def is_newer(frames: Frames) -> None:
    await frames.receive()
    await frames.send("refuse", "version", sync.VERSION + 1)


async def stalls(frames: Frames) -> None:
    await hello(frames)
    await trio.sleep_forever()


@asynccontextmanager
async def follower(behave: Callable[[Frames], Awaitable[None]]) -> AsyncIterator[tuple[BasicHost, str]]:
    """A stranger that listens, and behaves so when somebody leads an exchange with it; its address."""

    async def follow(stream: INetStream) -> None:
        try:
            await behave(Frames(stream, budget=BUDGET))
            await trio.sleep_forever()
        except (PeerGone, BaseLibp2pError):
            return

    host = bare.stranger()
    host.set_stream_handler(TProtocol(sync.PROTOCOL), follow)
    async with bare.running(host, bare.ANY):
        yield host, str(host.get_addrs()[0])


def ended(victim: Node, outcome: str, role: str = "leader") -> float:
    return victim.network.metrics.value("arnode_syncs_total", role=role, outcome=outcome)


@pytest.mark.parametrize("lie", [offers_nonsense, sends_other_records, never_ends, sends_garbage])
async def test_a_follower_that_lies_is_dropped_and_blamed(
    lie: Callable[[Frames], Awaitable[None]], tmp_path: Path
) -> None:
    async with (
        follower(lie) as (host, address),
        node(tmp_path / "victim", bootstrap=[address], records=[record(new_identity()) for _ in range(20)]) as victim,
    ):
        await victim.until(lambda: ended(victim, "broken") >= 1)
        conduct = victim.network._admission.guard._peers[host.get_id().to_base58()]
        assert conduct.count >= 1
        assert not victim.all(SyncFinished)
        assert victim.log.count() == 20


async def test_a_peer_of_another_version_is_told_of_once_and_not_blamed(tmp_path: Path) -> None:
    async with follower(is_newer) as (host, address), node(tmp_path / "one", bootstrap=[address]) as one:
        await one.until(lambda: ended(one, "other_version") >= 1)
        (trouble,) = [event for event in one.all(Trouble) if isinstance(event, Trouble) and event.what == "sync"]
        assert f"version {sync.VERSION + 1}" in str(trouble)
        assert host.get_id().to_base58() not in one.network._admission.guard._peers


async def test_a_follower_that_stalls_delays_no_other_exchange(tmp_path: Path) -> None:
    history = [record(new_identity()) for _ in range(50)]
    async with follower(stalls) as (_, stalling), node(tmp_path / "honest", records=history) as honest:
        known = [stalling, honest.network.addresses[0]]
        async with node(tmp_path / "victim", bootstrap=known) as victim:
            await victim.until(lambda: victim.log.count() == len(history))


async def test_a_leader_that_never_ends_is_shut_out(tmp_path: Path) -> None:
    async with node(tmp_path / "victim", records=[record(new_identity())]) as victim:
        async with stranger_to(victim) as (host, peer_id):
            with trio.fail_after(30):
                while not victim.all(PeerRejected):
                    await lead_without_end(host, peer_id)
        assert ended(victim, "broken", "follower") >= 4


async def lead_without_end(host: BasicHost, peer_id: ID) -> None:
    try:
        stream = await host.new_stream(peer_id, [TProtocol(sync.PROTOCOL)])
        frames = Frames(stream, budget=BUDGET)
        await frames.send("hello", sync.VERSION, "test", now_ms(), ABOUT)
        while True:
            await frames.receive()
            await frames.send("reconcile", b"\x61\x00\x00\x01" + os.urandom(16))
    except (PeerGone, BaseLibp2pError):
        return


async def test_what_is_said_between_the_first_exchange_and_the_subscription_comes_with_the_second(
    tmp_path: Path,
) -> None:
    async with node(tmp_path / "old") as old, node(tmp_path / "new", bootstrap=old.network.addresses) as new:
        await new.until(lambda: bool(new.all(SyncFinished)))
        unheard = record(old.identity)
        old.log.append([unheard])  # in the log and never published, as if gossip had lost it
        await new.until(lambda: new.log.has(unheard.id), seconds=3 * AGAIN_SECONDS)
