"""The network as the node sees it: publish, announce, peers, events.

A record of another node goes: size, form, clock, signature, the node's check; forwarded; stored; then its event. If the
network's machinery fails, it is built anew on the same port, and the node goes on meanwhile.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from gossip import addressbook, crowd, liveness, upstream
from gossip.addressbook import AddressBook, BookError
from gossip.admission import BROKEN_MUXING, BROKEN_PROTOCOL, OTHER_SWARM, Admission
from gossip.clock import now_ms
from gossip.door import Door
from gossip.events import Notice, Peer
from gossip.host import CLOSE_SECONDS, Connections, listen_on, open_host, parse_peer_address
from gossip.identity import ED25519_PREFIX, Identity
from gossip.intake import Intake
from gossip.lan import stay_visible
from gossip.layout import WHOLE, Layout
from gossip.log import Log
from gossip.mesh import Mesh, open_mesh
from gossip.metrics import look_up
from gossip.peers import Address, Peers
from gossip.quota import Quota
from gossip.reach import DialBack
from gossip.reasons import alone
from gossip.record import MAX_BYTES, Record
from gossip.router import Router
from gossip.schedule import Schedule
from gossip.supervise import supervise
from gossip.swarmkey import SwarmKey
from gossip.teller import Teller
from gossip.tuning import USUAL, Tuning
from gossip.vantage import Vantage


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
    tuning: Tuning = USUAL,
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
        identity, log, swarm, listen, contacts, check, clock, tuning, key, known, layout, lan=lan, archive=archive
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
        teller = Teller(identity.author, clock)
        self.addresses: list[str] = []
        self.events, self.metrics = teller.events, teller.metrics
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
        self._tell, self._report, self._twins = teller.tell, teller.report, teller.twins
        self._own_id = ID(ED25519_PREFIX + identity.author)
        self._admission = Admission(self._own_id, lambda peer: self._connections.peers.get(peer), teller)
        self._door = Door(self._admission.shut, public=tuning.public, local=tuning.local)
        self._connections = Connections(self._tell, clock, self._admission.allowed)
        self._intake = Intake(
            log,
            check,
            clock,
            self._tell,
            lambda: self.events.records_waiting,
            self.metrics,
            Quota(identity.author, tuning.limits),
            archive=archive,
            layout=layout,
        )
        self.storage = self._intake.storage
        blame, allowed = self._admission.blame, self._admission.allowed
        self._mesh = Mesh(swarm, self._intake, clock, self._tell, blame, self.metrics, allowed, self._twins)
        self._up = trio.Event()
        self._closing = trio.Event()
        self._serving = False
        self._scope = trio.CancelScope(shield=True)
        self._measure(log)

    def _open_book(self) -> None:
        try:
            self._book.load(self._clock())
        except BookError as error:
            self._report("address book", str(error))

    def _measure(self, log: Log) -> None:
        metrics, connections, mesh = self.metrics, self._connections, self._mesh
        for direction in ("inbound", "outbound"):
            inbound = direction == "inbound"
            look_up(metrics.peers, partial(connections.count, inbound=inbound), direction)
        look_up(metrics.mesh, lambda: mesh.size(mesh.records), "records")
        look_up(metrics.mesh, lambda: mesh.size(mesh.presence), "presence")
        look_up(metrics.queue, lambda: mesh.longest_queue, "outbound")
        look_up(metrics.queue, lambda: mesh.arrivals_waiting, "arrivals")
        look_up(metrics.log_bytes, log.file.bytes_on_disk)

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
            admit=self._admission.admit,
            blame=partial(self._admission.blame, weight=BROKEN_MUXING),
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
                    allowed=self._admission.allowed,
                    blame=partial(self._admission.blame, weight=BROKEN_PROTOCOL),
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
                    blame=partial(self._admission.blame, weight=BROKEN_PROTOCOL),
                    foreign=self._foreign,
                    metrics=self.metrics,
                )
                DialBack(host, partial(self._admission.blame, weight=BROKEN_PROTOCOL))
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
                    ("disconnecting", partial(self._admission.disconnect, upstream.swarm_of(host))),
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

    def _moved(self, host: BasicHost) -> None:
        self.addresses[:] = [str(address) for address in host.get_addrs()]
        self._tell(Notice(f"others reach this node at {self.addresses[0]}"))

    def _foreign(self, peer: ID, reason: str) -> None:
        self._book.forget(peer.to_base58())
        self._admission.blame(peer, reason, OTHER_SWARM)
