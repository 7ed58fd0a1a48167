"""When, and with whom, histories are exchanged.

- With every new peer, led by the node that dialled; and again a little later, since libp2p drops what is published
  between the first exchange and the peer's subscription. The other node leads later still: of two that dialled each
  other at once, each may take the other for the one who dialled.
- With a random peer every PERIOD_SECONDS, for what gossip has lost; every other time it is enough that a peer came.
- After an exchange that brought something new, with all other peers: it may be new to them too.
"""

import math
import random
from collections.abc import Callable
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID

from gossip import sync
from gossip.bucket import Bucket, Buckets, Rate
from gossip.events import Event, Peer, SyncFinished, Trouble
from gossip.frames import ConversationError, PeerBroke, conversation, open_conversation
from gossip.host import Connections
from gossip.intake import Intake
from gossip.metrics import Metrics, Outcome
from gossip.reasons import reason_of

PERIOD_SECONDS: Final = 120.0
AGAIN_SECONDS: Final = 5.0
INBOUND_SECONDS: Final = 10.0
RIPPLE_SECONDS: Final = 1.0
# While records flow, each exchange finds some that gossip is about to bring, and would set off all others for ever.
RIPPLES: Final = Rate(burst=4, per_second=1 / 30)
RETRY_SECONDS: Final = 5.0
MAX_RETRIES: Final = 5
LEADING: Final = 2
FOLLOWING: Final = 6
# How often one peer may lead; an honest one needs a few a minute.
VISITS: Final = Rate(burst=60, per_second=0.2)


class Schedule:
    """Exchanges histories. `blame` hears of peers that break the protocol, `foreign` of those of another swarm."""

    def __init__(
        self,
        host: BasicHost,
        connections: Connections,
        intake: Intake,
        swarm: str,
        *,
        put: Callable[[Event], object],
        blame: Callable[[ID, str], object],
        foreign: Callable[[ID, str], object],
        metrics: Metrics,
    ) -> None:
        self._host = host
        self._connections = connections
        self._intake = intake
        self._swarm = swarm
        self._put = put
        self._blame = blame
        self._foreign = foreign
        self._metrics = metrics
        self._due: dict[ID, float] = {}
        self._wanted: dict[ID, float] = {}  # when what is due was asked for
        self._retries: dict[ID, int] = {}
        self._new: set[ID] = set()
        self._leading: set[ID] = set()
        self._following: set[ID] = set()
        self._other_version: set[ID] = set()
        self._visits: Buckets[ID] = Buckets(VISITS)
        self._visited = False
        self._ripples = Bucket(RIPPLES)
        self._changed = trio.Event()
        host.set_stream_handler(TProtocol(sync.PROTOCOL), self._follow)

    def want(self, peer: ID, after: float = 0.0) -> None:
        """Exchange histories with `peer`, in `after` seconds or sooner."""
        due = trio.current_time() + after
        self._due[peer] = min(due, self._due.get(peer, due))
        self._wanted[peer] = trio.current_time()
        self._wake()

    def _give_up(self, peer: ID, began: float) -> None:
        """An exchange that the peer led from `began` on was as good as one that had been wanted for a while."""
        if peer in self._due and began >= self._wanted[peer] + AGAIN_SECONDS:
            del self._due[peer], self._wanted[peer]

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def run(self) -> None:
        """Lead exchanges as they become due, LEADING at once. Runs until cancelled; raises LogError."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._meet_new_peers)
            nursery.start_soon(self._meet_now_and_then)
            nursery.start_soon(self._meet_after_a_block)
            while True:
                await self._intake.storage.unblocked()  # what cannot be stored need not be fetched
                changed = self._changed
                now = trio.current_time()
                for peer, due in sorted(self._due.items(), key=lambda item: item[1]):
                    if due > now or len(self._leading) >= LEADING:
                        break
                    if peer not in self._leading:
                        del self._due[peer], self._wanted[peer]
                        self._leading.add(peer)
                        nursery.start_soon(self._lead, peer)
                soonest = min((due for peer, due in self._due.items() if peer not in self._leading), default=math.inf)
                with trio.move_on_after(max(0.0, soonest - now) if len(self._leading) < LEADING else math.inf):
                    await changed.wait()

    async def _meet_new_peers(self) -> None:
        met: dict[ID, Peer] = {}
        while True:
            changed = self._connections.changed
            for peer_id, peer in self._connections.peers.items():
                if met.get(peer_id) is peer:
                    continue  # another value is a peer that left and came back
                if peer.inbound:
                    self.want(peer_id, INBOUND_SECONDS)
                else:
                    self._new.add(peer_id)
                    self.want(peer_id)
            met = dict(self._connections.peers)
            self._new &= met.keys()
            await changed.wait()

    async def _meet_now_and_then(self) -> None:
        while True:
            self._visited = False
            await trio.sleep(PERIOD_SECONDS * random.uniform(0.75, 1.25))
            if self._visited:  # but a peer that comes all the time does not keep this node from asking others
                await trio.sleep(PERIOD_SECONDS * random.uniform(0.75, 1.25))
            if self._connections.peers:
                self.want(random.choice(list(self._connections.peers)))

    async def _meet_after_a_block(self) -> None:
        """What came while nothing could be stored comes again."""
        while True:
            await self._intake.storage.block_ended()
            for peer in self._connections.peers:
                self.want(peer)

    async def _lead(self, peer: ID) -> None:
        name = peer.to_base58()
        try:
            if peer not in self._connections.peers:
                return
            if peer in self._following:
                self.want(peer, INBOUND_SECONDS)  # it leads just now, and both would carry the same records
                return
            async with open_conversation(
                self._host, peer, TProtocol(sync.PROTOCOL), budget=sync.SESSION_BYTES, seconds=sync.SESSION_SECONDS
            ) as frames:
                exchanged = await sync.lead(frames, self._intake, self._swarm, name)
        except ConversationError as error:
            self._metrics.sync_ended("leader", _outcome(error))
            self._failed(peer, error)
        else:
            self._metrics.sync_ended("leader", "done")
            self._retries.pop(peer, None)
            self._finished(peer, exchanged)
            if not exchanged.whole:
                self.want(peer)
            elif peer in self._new:
                self._new.remove(peer)
                self.want(peer, AGAIN_SECONDS)
        finally:
            self._leading.discard(peer)
            self._wake()

    async def _follow(self, stream: INetStream) -> None:
        peer, began = stream.muxed_conn.peer_id, trio.current_time()
        busy = peer in self._following or len(self._following) >= FOLLOWING
        busy = busy or not self._visits.take(peer, trio.current_time())
        if not busy:
            self._following.add(peer)
        try:
            async with conversation(stream, budget=sync.SESSION_BYTES, seconds=sync.SESSION_SECONDS) as frames:
                exchanged = await sync.follow(frames, self._intake, self._swarm, peer.to_base58(), busy=busy)
            self._metrics.sync_ended("follower", "done")
            self._visited = True
            self._give_up(peer, began)
            self._finished(peer, exchanged)
        except ConversationError as error:
            self._metrics.sync_ended("follower", _outcome(error))
            self._judge(peer, error)
        except Exception as error:  # noqa: BLE001 - our own fault, such as a full disk; not the stream handler's caller's
            self._metrics.sync_ended("follower", "failed")
            self._put(Trouble("sync", reason_of(error)))
        finally:
            if not busy:
                self._following.discard(peer)

    def _finished(self, peer: ID, exchanged: sync.Exchanged) -> None:
        done = exchanged
        self._put(SyncFinished(peer.to_base58(), done.received, done.sent, done.offset_ms, done.archived))
        if exchanged.received:
            after = RIPPLE_SECONDS if self._ripples.take(trio.current_time()) else 1 / RIPPLES.per_second
            for other in self._connections.peers:
                if other != peer:
                    self.want(other, after * random.uniform(0.5, 2.0))

    def _failed(self, peer: ID, error: ConversationError) -> None:
        self._judge(peer, error)
        retries = self._retries.get(peer, 0)
        hopeless = isinstance(error, sync.OtherSwarm | sync.OtherVersion)
        if peer in self._connections.peers and not hopeless and retries < MAX_RETRIES:
            self._retries[peer] = retries + 1
            self.want(peer, RETRY_SECONDS * 2**retries * random.uniform(0.5, 1.5))
        else:
            self._retries.pop(peer, None)

    def _judge(self, peer: ID, error: ConversationError) -> None:
        if isinstance(error, sync.OtherSwarm):
            self._foreign(peer, str(error))
        elif isinstance(error, sync.OtherVersion) and peer not in self._other_version:
            self._other_version.add(peer)
            self._put(Trouble("sync", f"{error}; upgrade the older one ({peer})"))
        elif isinstance(error, PeerBroke):
            self._blame(peer, f"in a history exchange it {error}")


def _outcome(error: ConversationError) -> Outcome:
    match error:
        case sync.OtherSwarm():
            return "other_swarm"
        case sync.OtherVersion():
            return "other_version"
        case sync.Busy():
            return "busy"
        case PeerBroke():
            return "broken"
    return "gone"
