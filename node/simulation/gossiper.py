"""One node's gossip in a simulated network: the real parts, put together as gossip/network.py does on a real host.

Left out are what the simulation models itself (dialling, pings, addresses) and what watches the disk.
"""

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2

from gossip import upstream
from gossip.admission import BROKEN_PROTOCOL, OTHER_SWARM
from gossip.events import Event, PresenceArrived, RecordArrived, SyncFinished, Trouble
from gossip.flood import Flood
from gossip.guard import Guard
from gossip.host import Connections
from gossip.identity import Identity
from gossip.intake import Intake
from gossip.log import Log
from gossip.mesh import Mesh, open_mesh
from gossip.metrics import Metrics
from gossip.quota import Quota
from gossip.record import PRESENCE, Record
from gossip.router import Router
from gossip.schedule import Schedule
from gossip.supervise import supervise
from gossip.tuning import HEARTBEAT_SECONDS
from gossip.twin import Twins
from node.retention import Retention
from node.simulation import virtual
from node.simulation.hosts import MemoryHost, Report
from node.simulation.keeping import Keeping
from node.simulation.pulse import Pulse, phase_after
from node.simulation.traffic import Traffic

# what nursery.start passes: trio.TaskStatus[None], which the stubs that libp2p brings along do not know
Started: TypeAlias = Any

SWARM: Final = "simulated"


@dataclass(frozen=True)
class Surroundings:
    """What nodes of one network share. number_of: by peer id, as `12D3Koo…`; left: called when a node has gone down."""

    traffic: Traffic
    metrics: Metrics
    check: Callable[[Record], None]
    pulse: Pulse
    number_of: Callable[[str], int]
    left: Callable[["Gossiper"], None]


class Gossiper:
    """A node that gossips while `live` runs: a `Member` of the network. duplicates: messages that came once more."""

    def __init__(
        self,
        host: MemoryHost,
        around: Surroundings,
        signer: Identity,
        log: Log,
        on_record: Callable[[Record], None],
        report: Report,
        keeping: Keeping,
    ) -> None:
        self.host = host
        self.connections = Connections(self._tell, virtual.now_ms, self.allows)
        self._around = around
        self._on_record = on_record
        self._report = report
        self._guard = Guard()
        quota = Quota(signer.author)
        self._intake = Intake(
            log,
            around.check,
            virtual.now_ms,
            self._tell,
            lambda: 0,
            around.metrics,
            quota,
            archive=keeping.archive,
            layout=keeping.layout,
        )
        self._retention = Retention(
            log, keeping.rule, self._intake.forget, lambda text: None, keeping.keep_days, keeping.layout
        )
        twins = Twins(signer.author, virtual.now_ms, report)
        self.mesh = Mesh(
            SWARM, self._intake, virtual.now_ms, self._tell, self._blame, around.metrics, self.allows, twins
        )
        self._flood: Flood[Record] | None = None
        self._scope = trio.CancelScope()
        self._down = trio.Event()

    @property
    def duplicates(self) -> int:
        return self._flood.duplicates if self._flood else 0

    async def live(self, task_status: Started) -> None:
        """Be up until `stop`."""
        try:
            with self._scope:
                await self._intake.prepare()
                async with trio.open_nursery() as self.host.nursery:
                    await self._serve(task_status)
        finally:
            self.host.go_down()
            self._around.left(self)
            self._down.set()

    async def _serve(self, task_status: Started) -> None:
        self.host.get_network().register_notifee(self.connections)
        async with (
            open_mesh(self.host, self.mesh, _Router(self._around.pulse)) as self._flood,
            trio.open_nursery() as nursery,
        ):
            schedule = Schedule(
                self.host,
                self.connections,
                self._intake,
                SWARM,
                put=self._tell,
                blame=lambda peer, why: self._blame(peer, why, BROKEN_PROTOCOL),
                foreign=lambda peer, why: self._blame(peer, why, OTHER_SWARM),
                metrics=self._around.metrics,
            )
            nursery.start_soon(supervise, "storing records", self.mesh.store_arrivals, self._report)
            nursery.start_soon(supervise, "sync", schedule.run, self._report)
            nursery.start_soon(supervise, "forgetting", self._retention.run, self._report)
            task_status.started()
            await trio.sleep_forever()

    async def publish(self, record: Record) -> None:
        if record.kind != PRESENCE:
            self._around.traffic.publish(self.host.number, record)
        await self.mesh.publish(record)

    async def stop(self) -> None:
        self._scope.cancel()
        await self._down.wait()

    def peers(self) -> int:
        return len(self.connections.peers)

    def _tell(self, event: Event) -> None:
        self._around.metrics.count(event)
        match event:
            case RecordArrived(record, via, peer):
                bringer = self._around.number_of(peer)
                self._around.traffic.deliver(self.host.number, record, bringer, by_sync=via == "sync")
                self._on_record(record)
            case PresenceArrived(record):
                self._around.traffic.presences += 1
                self._on_record(record)
            case SyncFinished():
                self._retention.archived(event.archived)
            case Trouble(what, why):
                self._report(what, why)

    def allows(self, peer: ID) -> bool:
        """Whether a peer is not banned here."""
        return not self._guard.banned(peer.to_base58(), trio.current_time())

    def _blame(self, peer: ID, reason: str, weight: float = 1.0) -> None:
        count = self._guard.blame(peer.to_base58(), trio.current_time(), weight, evil=weight < OTHER_SWARM)
        if count and self.host.nursery is not None:
            self._around.metrics.bans.inc()
            self.host.nursery.start_soon(upstream.disconnect, self.host.get_network(), peer)


class _Router(Router):
    """The router with its heartbeat called, where a task of its own would wake up each second in each node.

    While the mesh is whole and no message is young it is not called either: only what the methods below are told of can
    change that. What the heartbeats in between would have done is then caught up.
    """

    def __init__(self, pulse: Pulse) -> None:
        super().__init__(HEARTBEAT_SECONDS)
        self._pulse = pulse
        self._running = False
        self._beating = False
        self._last = 0.0

    async def heartbeat(self) -> None:
        self._running = True
        self._last = phase_after(trio.current_time() + self.heartbeat_initial_delay) - 1
        self._stir()
        try:
            await trio.sleep_forever()
        finally:
            self._running = False

    def _stir(self) -> None:
        if self._running and not self._beating:
            self._beating = True
            missed = max(0, math.ceil(trio.current_time() - self._last) - 1)
            for _ in range(missed):
                self.grow_older()
            self._last += missed
            self._pulse.add(self._last + 1, self._beat)

    def _beat(self) -> bool:
        if not self._running:
            return False
        self._last += 1
        if self.has_to_speak():
            _finish(self.beat())
        else:
            self.grow_older()
        self._beating = bool(self.mcache.msgs) or not self.is_whole()
        return self._beating

    async def handle_rpc(self, rpc: rpc_pb2.RPC, sender_peer_id: ID) -> None:
        try:
            await super().handle_rpc(rpc, sender_peer_id)
        finally:
            self._stir()

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        self._stir()  # first, or the message would grow old with what is caught up
        await super().publish(msg_forwarder, pubsub_msg)

    async def join(self, topic: str) -> None:
        await super().join(topic)
        self._stir()

    async def leave(self, topic: str) -> None:
        await super().leave(topic)
        self._stir()

    async def on_peer_subscribed(self, peer_id: ID, topic: str) -> None:
        await super().on_peer_subscribed(peer_id, topic)
        self._stir()

    def remove_peer(self, peer_id: ID) -> None:
        super().remove_peer(peer_id)
        self._stir()


def _finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError(f"{coroutine} waits for something")
