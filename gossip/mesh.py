"""The GossipSub topics of a swarm: records, which are kept, and presence, which is not; or one for each shelf.

A message's data is one record as it is stored, and its libp2p author must be the record's. A message is judged before
it is forwarded, synchronously and without touching the disk: `screen` does all that is cheap, then the message's
signature is checked (gossip/flood.py), then `accept` checks the record's own, under which it is stored and handed on.
What is good goes to the log by a task of its own.
"""

import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.tools.anyio_service import background_trio_service

from gossip.events import Event, PresenceArrived, Trouble
from gossip.flood import Flood
from gossip.identity import ED25519_PREFIX
from gossip.intake import Intake, Refused
from gossip.layout import PRESENCE as PRESENCE_TOPIC
from gossip.layout import topic_of
from gossip.metrics import Metrics
from gossip.outgoing import QUEUE_LENGTH
from gossip.reasons import reason_of
from gossip.record import MAX_BYTES, PRESENCE, FromTheFuture, Record, RecordError, check_clock, parse, verify
from gossip.router import Router
from gossip.twin import Twins

ARRIVALS: Final = 4096
STORE_AT_ONCE: Final = 128
STORE_EVERY_SECONDS: Final = 0.05
PACE_ABOVE: Final = QUEUE_LENGTH // 2
PACE_SECONDS: Final = 2.0
FLUSH_SECONDS: Final = 0.5

PRESENCE_FRESH_MS: Final = 2 * 60 * 1000
PRESENCE_BURST: Final = 10.0
PRESENCE_PER_SECOND: Final = 0.5
PRESENCE_AUTHORS: Final = 10_000


class NotItsAuthors(RecordError):
    """A message that says something else than its record does."""


class PresenceLimits:
    """Per author: time goes forward, lies within PRESENCE_FRESH_MS of now, and a token bucket is not empty. Pure."""

    def __init__(self) -> None:
        self._authors: OrderedDict[bytes, tuple[int, float, int]] = OrderedDict()

    def allow(self, record: Record, now_ms: int, *, taking: bool = True) -> bool:
        """Whether to pass this presence on, by this node's clock in milliseconds; not `taking`: whether one would."""
        if abs(record.time_ms - now_ms) > PRESENCE_FRESH_MS:
            return False
        latest, tokens, seen = self._authors.get(record.author, (0, PRESENCE_BURST, now_ms))
        tokens = min(PRESENCE_BURST, tokens + max(0, now_ms - seen) / 1000 * PRESENCE_PER_SECOND)
        allowed = record.time_ms > latest and tokens >= 1
        if not taking:
            return allowed
        if allowed:
            latest, tokens = record.time_ms, tokens - 1
        self._authors[record.author] = (latest, tokens, now_ms)
        self._authors.move_to_end(record.author)
        if len(self._authors) > PRESENCE_AUTHORS:
            self._authors.popitem(last=False)
        return allowed


class Mesh:
    """This node in the two topics. Made by `open_mesh`."""

    def __init__(
        self,
        swarm: str,
        intake: Intake,
        clock: Callable[[], int],
        put: Callable[[Event], object],
        blame: Callable[[ID, str], object],
        metrics: Metrics,
        allowed: Callable[[ID], bool],
        twins: Twins,
    ) -> None:
        shelves = [topic_of(swarm, shelf) for shelf in intake.layout.mine]
        self.records, self.presence = shelves[0], topic_of(swarm, PRESENCE_TOPIC)
        self.topics = (*shelves, self.presence)
        self._swarm = swarm
        self.flood: Flood[Record] | None = None
        self._intake = intake
        self._clock = clock
        self._put = put
        self.blame = blame
        self.allowed = allowed
        self.twins = twins
        self._metrics = metrics
        self._limits = PresenceLimits()
        self._lost = 0
        self._arrive, self._arrived = trio.open_memory_channel[tuple[Record, str]](ARRIVALS)

    def screen(self, forwarder: ID, message: rpc_pb2.Message) -> Record | None:
        """Read a message that is not verified yet, and refuse it for all that can be seen without a signature check."""
        try:
            record = parse(message.data)
            if message.from_id != ED25519_PREFIX + record.author:
                raise NotItsAuthors("a message that is not its record's author's")
            if message.topicIDs[0] != self._topic(record):
                raise NotItsAuthors("a message in the wrong topic")
            check_clock(record, self._clock())
            return self._worth_a_look(record)
        except RecordError as error:
            self._refuse(forwarder, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not be blamed on the peer
            self._put(Trouble("judging a message", reason_of(error)))
        return None

    def _topic(self, record: Record) -> str:
        if record.kind == PRESENCE:
            return self.presence
        return topic_of(self._swarm, self._intake.layout.shelf(record))

    def _worth_a_look(self, record: Record) -> Record | None:
        if record.kind == PRESENCE:
            return record if self._limits.allow(record, self._clock(), taking=False) else None
        return record if self._intake.is_news(record) else None

    def accept(self, forwarder: ID, record: Record) -> bool:
        """Judge a correctly signed message: whether to forward it. What is good is passed on to the node."""
        try:
            return self._take(forwarder, record)
        except RecordError as error:
            self._refuse(forwarder, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not be blamed on the peer
            self._put(Trouble("judging a message", reason_of(error)))
        return False

    def _take(self, forwarder: ID, record: Record) -> bool:
        if record.kind == PRESENCE:
            if not self._limits.allow(record, self._clock()):
                self._metrics.reject("limit")
                return False
            verify(record)
            self._intake.check_body(record)
            self._put(PresenceArrived(record))
            return True
        if not self._intake.quota.may_gossip(record.author, len(record.raw), trio.current_time()):
            self._metrics.reject("limit")
            return False
        self._intake.verify(record)
        self._intake.know(record)
        try:
            self._arrive.send_nowait((record, forwarder.to_base58()))
        except trio.WouldBlock:
            self._metrics.dropped.inc()
            self._lost += 1  # not for good: sync brings it
        return True

    def _refuse(self, forwarder: ID, error: RecordError) -> None:
        self._metrics.reject("author" if isinstance(error, NotItsAuthors) else error)
        if isinstance(error, Refused):
            self.blame(forwarder, f"a record with a body that is refused ({error})")
        elif not isinstance(error, FromTheFuture):  # clocks differ, and it may be this node's that is off
            self.blame(forwarder, f"an invalid record ({type(error).__name__}: {error})")

    def blame_for_message(self, forwarder: ID, why: str) -> None:
        """Blame a peer for a message that is not worth judging: unreadable, too large, or falsely signed."""
        self._metrics.reject("message")
        self.blame(forwarder, why)

    def size(self, topic: str) -> int:
        """How many peers this node exchanges the messages of `topic` with; 0 while the network is down."""
        router = None if self.flood is None else self.flood.router
        return len(router.mesh.get(topic, ())) if isinstance(router, Router) else 0

    def kin(self) -> int:
        """How many peers have joined the topic that matters most to this node."""
        return len(self.flood.peer_topics.get(self.records, ())) if self.flood else 0

    @property
    def longest_queue(self) -> int:
        """How many messages wait for the peer that has most to read."""
        return max(map(len, self.flood.peer_queues.values()), default=0) if self.flood else 0

    @property
    def arrivals_waiting(self) -> int:
        """How many records came and are not in the log yet."""
        return self._arrived.statistics().current_buffer_used

    async def store_arrivals(self) -> None:
        """Write what arrives to the log, many at a time. Runs until cancelled; raises LogError."""
        while True:
            arrivals = [await self._arrived.receive()]
            await trio.sleep(STORE_EVERY_SECONDS)  # a thread, a transaction and a wait for the disk, for all that comes
            with contextlib.suppress(trio.WouldBlock):
                while len(arrivals) < STORE_AT_ONCE:
                    arrivals.append(self._arrived.receive_nowait())
            await self._intake.store(arrivals, "gossip")
            if self._lost:
                self._put(Trouble("gossip", f"{self._lost} records came too fast to be stored; sync will fetch them"))
                self._lost = 0

    def members(self) -> set[str]:
        """The peer ids that GossipSub's mesh of this node consists of, in any topic."""
        router = None if self.flood is None else self.flood.router
        meshes = router.mesh if isinstance(router, Router) else {}
        return {str(peer) for topic in self.topics for peer in meshes.get(topic, ())}

    async def publish(self, record: Record) -> None:
        """Send a record of this node to the swarm; waits a moment while peers have much to read.

        Nothing happens while the network is down: peers get the record by sync.
        """
        if record.kind == PRESENCE:
            self._metrics.presences.labels("own").inc()
        else:
            self._metrics.records.labels("own").inc()
            self._intake.know(record)
        self.twins.sent(record)
        flood = self.flood
        if flood is None:
            return
        await _drain(flood, PACE_ABOVE, PACE_SECONDS)
        await flood.publish(self._topic(record), record.raw)
        await trio.lowlevel.checkpoint()  # the library's publish never yields, so the queues would only grow


@asynccontextmanager
async def open_mesh(host: BasicHost, mesh: Mesh, router: Router) -> AsyncIterator[Flood[Record]]:
    """Join the topics of `mesh` on a running host, with a router that is new."""
    flood = Flood(
        host,
        router,
        topics=mesh.topics,
        max_message_bytes=MAX_BYTES,
        screen=mesh.screen,
        accept=mesh.accept,
        blame=mesh.blame_for_message,
        allowed=mesh.allowed,
        overheard=mesh.twins.overheard,
    )
    try:
        async with background_trio_service(flood), background_trio_service(router):
            await flood.wait_until_ready()
            for topic in mesh.topics:
                await flood.subscribe(topic)
            mesh.flood = flood
            try:
                yield flood
            finally:
                mesh.flood = None
                await _drain(flood, 0, FLUSH_SECONDS)
    finally:
        with trio.CancelScope(shield=True):
            # a thread of the library, which would outlive the node
            await trio.to_thread.run_sync(flood.seen_messages.stop)


async def _drain(flood: Flood[Record], below: int, seconds: float) -> None:
    """Wait until no peer's queue is longer than `below`, at most so many seconds; a stalled peer delays no more."""
    with trio.move_on_after(seconds):
        while any(len(queue) > below for queue in flood.peer_queues.values()):  # noqa: ASYNC110 - no event to wait for
            await trio.sleep(0.01)
