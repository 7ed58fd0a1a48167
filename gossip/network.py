"""The network as the node sees it: publish, announce, peers, events.

A record of another node goes: size, form, clock, signature, the node's check; forwarded; stored; then its event. If the
network's machinery fails, it is built anew on the same port, and the node goes on meanwhile.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from gossip import addressbook, crowd, liveness, upstream
from gossip.addressbook import AddressBook, BookError
from gossip.clock import PeerClocks
from gossip.door import LOCAL, PUBLIC, Door, Width
from gossip.events import Event, EventQueue, Notice, Peer, PeerRejected, RecordArrived, SyncFinished, Trouble
from gossip.guard import Guard, Origin, origin_of
from gossip.host import (
    CLOSE_SECONDS,
    MAX_CONNECTIONS,
    AddressError,
    Connections,
    ListenError,
    listen_on,
    open_host,
    parse_peer_address,
)
from gossip.identity import ED25519_PREFIX, Identity
from gossip.intake import Intake
from gossip.lan import stay_visible
from gossip.layout import WHOLE, Layout
from gossip.log import Log
from gossip.mesh import Mesh, open_mesh
from gossip.metrics import Metrics, look_up
from gossip.peers import Address, Peers
from gossip.quota import LIMITS, Limits, Quota
from gossip.reach import DialBack
from gossip.record import MAX_BYTES, Record
from gossip.router import Router
from gossip.schedule import Schedule
from gossip.supervise import alone, supervise
from gossip.swarmkey import SwarmKey
from gossip.twin import Twins
from gossip.vantage import FIRST_SECONDS, Vantage

__all__ = ["AddressError", "ListenError", "Network", "Tuning", "open_network"]

HEARTBEAT_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 15.0
BROKEN_PROTOCOL: Final = 5.0
BROKEN_MUXING: Final = 10.0
OTHER_SWARM: Final = 1000.0


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Tuning:
    """What tests and large machines set differently.

    public, local: what one address may do, and one of this machine or a private network. limits: of an author. grace:
    how long a newcomer stays at least where it is crowded. ping, patience: how often a peer is pinged, and how long its
    answer may take. vantage: when a peer is first asked to dial back. Times are seconds.
    """

    max_connections: int = MAX_CONNECTIONS
    heartbeat: float = HEARTBEAT_SECONDS
    public: Width = PUBLIC
    local: Width = LOCAL
    limits: Limits = LIMITS
    grace: float = GRACE_SECONDS
    ping: float = liveness.EVERY_SECONDS
    patience: float = liveness.ANSWER_SECONDS
    vantage: float = FIRST_SECONDS


@asynccontextmanager
async def open_network(
    identity: Identity,
    log: Log,
    *,
    swarm: str,
    listen: Sequence[str],
    bootstrap: Sequence[str],
    check: Callable[[Record], None],
    clock: Callable[[], int] = now_ms,
    tuning: Tuning = Tuning(),
    key: SwarmKey | None = None,
    book: AddressBook | None = None,
    lan: bool = False,
    archive: bool = False,
    layout: Layout = WHOLE,
) -> AsyncIterator["Network"]:
    """Join `swarm`: listen on `listen`, stay connected to `bootstrap`, and exchange records until the block ends.

    `check` raises RecordError for a record whose body the node does not accept; it must be pure, since it is also
    called in worker threads. `clock` gives milliseconds since 1970. Peers that do not answer are no error: they are
    tried again for as long as the block lasts. With a `key` the swarm is private: only nodes that hold it can connect.
    `book` remembers peers from one block to the next. With `lan` nodes on the local network find each other by mDNS.
    `archive`: tell peers that this node forgets nothing. `layout`: which records this node keeps; all of a swarm agree
    on where a record belongs.
    Raises ListenError, AddressError.
    """
    contacts = [parse_peer_address(text) for text in bootstrap]
    known = AddressBook() if book is None else book
    network = Network(
        identity,
        log,
        swarm,
        listen,
        contacts,
        check,
        clock,
        tuning,
        key,
        known,
        lan=lan,
        archive=archive,
        layout=layout,
    )
    network._open_book()
    await network._intake.prepare()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(network._run)
            try:
                await network._up.wait()
                yield network
            finally:
                network._close()
    except BaseExceptionGroup as group:
        raise alone(group)  # noqa: B904 - the same error without its wrapping


class Network:
    """A joined swarm, made by `open_network`.

    layout: of the swarm's records. addresses: what another node passes to `--bootstrap`, the most reachable first.
    events: everything that happens, for one reader. metrics: what happened so far, in figures.
    """

    def __init__(
        self,
        identity: Identity,
        log: Log,
        swarm: str,
        listen: Sequence[str],
        contacts: Sequence[Address],
        check: Callable[[Record], None],
        clock: Callable[[], int],
        tuning: Tuning,
        key: SwarmKey | None,
        book: AddressBook,
        layout: Layout,
        *,
        lan: bool,
        archive: bool,
    ) -> None:
        self.addresses: list[str] = []
        self.events = EventQueue()
        self.metrics = Metrics()
        self.layout = layout
        self._identity = identity
        self._swarm = swarm
        self._listen = list(listen)
        self._contacts = contacts
        self._clock = clock
        self._tuning = tuning
        self._key = key
        self._book = book
        self._lan = lan
        self._guard = Guard()
        self._door = Door(self._shut, public=tuning.public, local=tuning.local)
        self._connections = Connections(self._tell, clock, self._allowed)
        quota = Quota(identity.author, tuning.limits)
        self._intake = Intake(
            log,
            check,
            clock,
            self._tell,
            lambda: self.events.records_waiting,
            self.metrics,
            quota,
            archive=archive,
            layout=layout,
        )
        self.storage = self._intake.storage
        self._peer_clocks = PeerClocks()
        self._twins = Twins(identity.author, clock, self._report)
        self._mesh = Mesh(swarm, self._intake, clock, self._tell, self._blame, self.metrics, self._allowed, self._twins)
        self._own_id = ID(ED25519_PREFIX + identity.author)
        self._up = trio.Event()
        self._closing = trio.Event()
        self._serving = False
        self._scope = trio.CancelScope(shield=True)
        self._to_disconnect, self._disconnects = trio.open_memory_channel[ID](1000)
        self._measure(log)

    def _open_book(self) -> None:
        try:
            self._book.load(self._clock())
        except BookError as error:
            self._report("address book", str(error))

    def _measure(self, log: Log) -> None:
        metrics, connections, mesh, events = self.metrics, self._connections, self._mesh, self.events
        for direction in ("inbound", "outbound"):
            inbound = direction == "inbound"
            look_up(metrics.peers, partial(connections.count, inbound=inbound), direction)
        look_up(metrics.mesh, lambda: mesh.size(mesh.records), "records")
        look_up(metrics.mesh, lambda: mesh.size(mesh.presence), "presence")
        look_up(metrics.queue, lambda: mesh.longest_queue, "outbound")
        look_up(metrics.queue, lambda: mesh.arrivals_waiting, "arrivals")
        look_up(metrics.queue, lambda: events.waiting, "events")
        look_up(metrics.log_bytes, log.file.bytes_on_disk)
        look_up(metrics.clock_offset, self._clock_offset_seconds)

    async def publish(self, record: Record) -> None:
        """Send a record that is already in the log to the swarm."""
        if len(record.raw) > MAX_BYTES:
            raise ValueError(f"a record of {len(record.raw)} bytes")
        await self._mesh.publish(record)

    async def announce(self, record: Record) -> None:
        """Send a presence record, which nobody stores."""
        await self._mesh.publish(record)

    async def forget(self, gists: Sequence[tuple[Record, bytes]]) -> int:
        """Keep of these records nothing but a gist each: they stay in the set that peers compare. How many were here.

        Raises LogBlocked, LogDamaged.
        """
        return await self._intake.forget(gists)

    def peers(self) -> list[Peer]:
        """The peers that are connected now, the longest-connected first."""
        return list(self._connections.peers.values())

    def mesh_size(self) -> int:
        """With how many peers records are exchanged at once."""
        return self._mesh.size(self._mesh.records)

    async def _run(self) -> None:
        """Serve, again and again; what fails before the first start is the caller's to know.

        Shielded, so that whatever ends the block, peers get a proper farewell; `_close` bounds how long it takes.
        """
        with self._scope:
            await supervise("network", self._serve, self._report, fatal=lambda: not self._up.is_set())

    def _close(self) -> None:
        self._closing.set()
        self._scope.deadline = trio.current_time() + (CLOSE_SECONDS if self._serving else 0)

    async def _serve(self) -> None:
        self._connections.forget()
        vantage = Vantage(lambda: self._moved(host))
        async with open_host(
            self._identity,
            door=self._door,
            admit=self._admit,
            blame=partial(self._blame, weight=BROKEN_MUXING),
            report=self._report,
            max_connections=self._tuning.max_connections,
            key=self._key,
            announced=vantage.announced,
        ) as host:
            host.get_network().register_notifee(self._connections)
            async with open_mesh(host, self._mesh, Router(self._tuning.heartbeat)), trio.open_nursery() as nursery:
                peers = Peers(
                    host,
                    self._connections,
                    self._swarm,
                    self._contacts,
                    self._book,
                    keep=crowd.room(self._tuning.max_connections),
                    grace=self._tuning.grace,
                    useful=self._mesh.members,
                    clock=self._clock,
                    allowed=self._allowed,
                    blame=partial(self._blame, weight=BROKEN_PROTOCOL),
                    report=self._report,
                    metrics=self.metrics,
                    kin=self._mesh.kin if self.layout.shelf_of else None,
                )
                schedule = Schedule(
                    host,
                    self._connections,
                    self._intake,
                    self._swarm,
                    put=self._tell,
                    blame=partial(self._blame, weight=BROKEN_PROTOCOL),
                    foreign=self._foreign,
                    metrics=self.metrics,
                )
                DialBack(host, partial(self._blame, weight=BROKEN_PROTOCOL))
                pings = {"every": self._tuning.ping, "patience": self._tuning.patience}
                await listen_on(host, self._listen)
                self._listen = [str(address) for address in host.get_transport_addrs()]
                self.addresses = [str(address) for address in host.get_addrs()]
                for name, task in (
                    ("storing records", self._mesh.store_arrivals),
                    ("watching the disk", self.storage.watch),
                    ("checking records", self._intake.checkers.run),
                    ("bootstrap", peers.stay_connected),
                    ("peer exchange", peers.explore),
                    ("visits", peers.visit),
                    ("room for newcomers", peers.keep_room),
                    ("address book", partial(addressbook.keep, self._book, self._report)),
                    ("liveness", partial(liveness.watch, host, self._connections, self._clock, **pings)),
                    ("view from outside", partial(vantage.look, host, self._connections, first=self._tuning.vantage)),
                    ("sync", schedule.run),
                    ("identity check", partial(self._twins.ask, host, self._own_contacts())),
                    ("disconnecting", partial(self._disconnect, upstream.swarm_of(host))),
                ):
                    nursery.start_soon(supervise, name, task, self._report)
                if self._lan:
                    near = partial(
                        stay_visible,
                        host.get_id(),
                        host.get_addrs,
                        self._swarm,
                        self._key,
                        found=peers.found_near,
                        note=lambda text: self._tell(Notice(text)),
                    )
                    nursery.start_soon(supervise, "local network", near, self._report)
                self._serving = True
                self._up.set()
                try:
                    await self._closing.wait()
                    nursery.cancel_scope.cancel()
                finally:
                    self._serving = False

    def _own_contacts(self) -> list[Multiaddr]:
        """Bootstrap addresses that have this node's own id, and are not known to be its own."""
        return [
            address
            for peer, address in self._contacts
            if peer == self._own_id and f"{address}/p2p/{peer}" not in self.addresses
        ]

    def _clock_offset_seconds(self) -> float:
        offset_ms = self._peer_clocks.offset_ms
        return math.nan if offset_ms is None else offset_ms / 1000

    async def _disconnect(self, swarm: Swarm) -> None:
        async with trio.open_nursery() as nursery:
            async for peer in self._disconnects:
                nursery.start_soon(upstream.disconnect, swarm, peer)

    def _moved(self, host: BasicHost) -> None:
        self.addresses[:] = [str(address) for address in host.get_addrs()]
        self._tell(Notice(f"others reach this node at {self.addresses[0]}"))

    def _tell(self, event: Event) -> None:
        self.metrics.count(event)
        self.events.put(event)
        match event:
            case RecordArrived(record):
                self._twins.arrived(record)
            case SyncFinished():
                self._compare_clocks(event)

    def _compare_clocks(self, event: SyncFinished) -> None:
        self._peer_clocks.note(event.peer, event.offset_ms, trio.current_time())
        change = self._peer_clocks.change()
        if change is not None:
            self._tell(Trouble("clock", change) if self._peer_clocks.wrong else Notice(change))

    def _report(self, what: str, why: str) -> None:
        self.metrics.troubles.inc()
        self._tell(Trouble(what, why))

    def _foreign(self, peer: ID, reason: str) -> None:
        self._book.forget(peer.to_base58())
        self._blame(peer, reason, OTHER_SWARM)

    def _allowed(self, peer: ID) -> bool:
        return peer != self._own_id and not self._guard.banned(peer.to_base58(), trio.current_time())

    def _admit(self, peer: ID) -> bool:
        """Whether a peer that has just proved its id may stay."""
        if peer == self._own_id:
            self._twins.met()
        return self._allowed(peer)

    def _shut(self, origin: Origin) -> bool:
        return self._guard.shut(origin, trio.current_time())

    def _blame(self, peer: ID, reason: str, weight: float = 1.0) -> None:
        name = peer.to_base58()
        connected = self._connections.peers.get(peer)
        origin = origin_of(_ip_of(connected.address)) if connected else None
        # one who is of another swarm is no evil-doer, and his neighbours may be of this one
        count = self._guard.blame(name, trio.current_time(), weight, origin, evil=weight < OTHER_SWARM)
        if count:
            self._tell(PeerRejected(name, reason, count))
        if count or not self._allowed(peer):
            try:
                self._to_disconnect.send_nowait(peer)
            except trio.WouldBlock:
                self._report("guard", f"too many peers to disconnect at once; {name} stays a while")


def _ip_of(address: str) -> str:
    """The IP address in a multiaddress such as `/ip4/192.0.2.1/tcp/4001`."""
    return address.split("/")[2] if address.count("/") >= 2 else ""
