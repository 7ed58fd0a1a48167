"""Getting and staying connected: bootstrap peers, peers of peers, and those in the address book.

A node looks for peers until it has WANTED_PEERS connections, so nodes that know only one address become a mesh that no
longer needs it. Now and then it visits one more, so that two halves of a swarm find each other; and it lets go of what
is too much (gossip/crowd.py). Who has lost everyone keeps trying everyone it ever met.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from gossip import crowd, exchange, upstream
from gossip.addressbook import AddressBook
from gossip.dial import Unreachable, dial
from gossip.frames import ConversationError, PeerBroke
from gossip.host import Connections
from gossip.metrics import Metrics

WANTED_PEERS: Final = 8
MOST_STRANGERS: Final = 4 * WANTED_PEERS  # connections, while there are too few to nodes with the same shelves
DIALS_AT_ONCE: Final = 4
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
LONGEST_KNOWN_PAUSE: Final = 600.0
FIRST_EXPLORE_SECONDS: Final = 3.0
LONGEST_EXPLORE_SECONDS: Final = 60.0
LONELY_SECONDS: Final = 1.0
VISIT_SECONDS: Final = 60.0
SMALL_SWARM: Final = 40  # nodes; in a larger one each visits as much more rarely, so that all of them visit as often
SETTLED_MS: Final = 60_000
LEFT_SECONDS: Final = 600.0
MAX_NEAR: Final = 64

Address = tuple[ID, Multiaddr]


def visit_seconds(known: int) -> float:
    """How long a node that knows so many others waits between two visits, on average.

    Two halves of a swarm meet when any one of their nodes visits one of the other half.
    """
    return VISIT_SECONDS * max(1.0, known / SMALL_SWARM)


@dataclass
class Backoff:
    """Pauses that grow, each with a jitter of a quarter. Pure: the draw, from 0 to 1, is passed in."""

    longest: float
    first: float = FIRST_PAUSE
    pause: float = 0.0

    def next(self, draw: float) -> float:
        """How many seconds to wait before the next try."""
        self.pause = min(1.6 * self.pause, self.longest) if self.pause else self.first
        return self.pause * (0.75 + draw / 2)


@dataclass
class _Try:
    """When a peer of the book was last dialled in vain, by trio's clock, and for how long it is left alone."""

    at: float
    pause: float
    backoff: Backoff


class Peers:
    """Dials, asks and lets go. `allowed` says whether a peer may be dialled; `report` hears (what, why) of trouble.

    useful: the peer ids that GossipSub's mesh relies on. kin: with how many peers this node shares what matters to it,
    None where that is everything. clock: milliseconds since 1970.
    """

    def __init__(
        self,
        host: BasicHost,
        connections: Connections,
        swarm: str,
        bootstrap: Sequence[Address],
        book: AddressBook,
        *,
        keep: int,
        grace: float,
        useful: Callable[[], set[str]],
        clock: Callable[[], int],
        allowed: Callable[[ID], bool],
        blame: Callable[[ID, str], object],
        report: Callable[[str, str], object],
        metrics: Metrics,
        kin: Callable[[], int] | None = None,
    ) -> None:
        self._host = host
        self._connections = connections
        self._swarm = swarm
        self._book = book
        self._keep = keep
        self._grace = grace
        self._useful = useful
        self._clock = clock
        self._allowed = allowed
        self._blame = blame
        self._report = report
        self._metrics = metrics
        self._kin = kin
        self._bootstrap: dict[ID, list[Multiaddr]] = {}
        for peer, address in bootstrap:
            if peer != host.get_id():
                self._bootstrap.setdefault(peer, []).append(address)
        self._tries: dict[str, _Try] = {}
        self._left: dict[ID, float] = {}
        self._near: dict[ID, list[Multiaddr]] = {}
        host.set_stream_handler(exchange.PROTOCOL, self._answer)

    # ---- bootstrap peers ----

    async def stay_connected(self) -> None:
        """Keep a connection to every bootstrap peer that does not send this node away. Runs until cancelled."""
        async with trio.open_nursery() as nursery:
            for peer, addresses in self._bootstrap.items():
                nursery.start_soon(self._stay_connected_to, peer, addresses)
            await trio.sleep_forever()

    async def _stay_connected_to(self, peer: ID, addresses: list[Multiaddr]) -> None:
        backoff, complained = Backoff(LONGEST_PAUSE), False
        while True:
            while peer in self._connections.peers:
                backoff, complained = Backoff(LONGEST_PAUSE), False
                await self._connections.changed.wait()
            if self._sent_away_by(peer):
                with trio.move_on_after(LONGEST_PAUSE * random.uniform(0.75, 1.25)):
                    await self._connections.changed.wait()
                continue
            try:
                changed = self._connections.changed
                await self._dial(peer, addresses)
                with trio.move_on_after(1):
                    await changed.wait()
                continue
            except Unreachable as error:
                if not complained and self._allowed(peer):
                    self._report(f"bootstrap peer {peer}", f"it does not answer ({error}); trying again until it does")
                    complained = True
            await trio.sleep(backoff.next(random.random()))

    def _sent_away_by(self, peer: ID) -> bool:
        """Whether the peer has asked to be left alone for now; who is alone may come back."""
        return bool(self._connections.peers) and self._left.get(peer, 0.0) > trio.current_time()

    # ---- peers of peers, and the book ----

    async def explore(self) -> None:
        """Look for peers while there are fewer than WANTED_PEERS connections. Runs until cancelled."""
        backoff = Backoff(LONGEST_EXPLORE_SECONDS, FIRST_EXPLORE_SECONDS)
        while True:
            changed = self._connections.changed
            connected = list(self._connections.peers)
            random.shuffle(connected)
            for peer in connected:
                self._learn(exchange.envelopes_of(self._host, [peer]), peer)
            for peer in connected:
                if not self._wants_more():
                    break
                await self._ask(peer)
                await self._dial_known()
            await self._dial_known()
            with trio.move_on_after(backoff.next(random.random()) if connected else LONELY_SECONDS):
                await changed.wait()
                backoff = Backoff(LONGEST_EXPLORE_SECONDS, FIRST_EXPLORE_SECONDS)
            await trio.sleep(random.uniform(0.1, 0.5))  # let a burst of connections settle

    def _wants_more(self) -> bool:
        connected = len(self._connections.peers)
        strangers = self._kin is not None and self._kin() < WANTED_PEERS and connected < MOST_STRANGERS
        return connected < WANTED_PEERS or strangers

    async def _ask(self, peer: ID) -> None:
        try:
            self._learn(await exchange.ask(self._host, peer, self._swarm), peer)
        except ConversationError as error:
            if isinstance(error, PeerBroke):
                self._blame(peer, str(error))

    def _learn(self, envelopes: Sequence[bytes], source: ID) -> None:
        for named in exchange.read(envelopes):
            if named.peer != self._host.get_id():
                self._book.hear(str(named.peer), named.addresses, named.seq, str(source), self._clock())

    async def _dial_known(self) -> None:
        waiting = self._due()

        async def work() -> None:
            while waiting and self._wants_more():
                await self._try(*waiting.pop())

        async with trio.open_nursery() as nursery:
            for _ in range(DIALS_AT_ONCE):
                nursery.start_soon(work)

    def _due(self) -> list[tuple[ID, list[Multiaddr]]]:
        """Whom of the book to dial, the best last: at random, but who is alone begins with those it met last."""
        now, alone = trio.current_time(), not self._connections.peers
        found = []
        near = [(str(peer), tuple(map(str, addresses))) for peer, addresses in self._near.items()]
        for name, addresses in (*near, *self._book.peers()):
            tried = self._tries.get(name)
            if tried and now < tried.at + min(tried.pause, LONGEST_PAUSE if alone else LONGEST_KNOWN_PAUSE):
                continue
            peer = ID.from_string(name)
            if self._worth_dialling(peer):
                found.append((peer, [Multiaddr(address) for address in addresses]))
        if alone:
            found.reverse()
        else:
            random.shuffle(found)
        return found

    def _worth_dialling(self, peer: ID) -> bool:
        connected = peer in self._connections.peers or peer == self._host.get_id()
        return not connected and self._allowed(peer) and not self._sent_away_by(peer)

    async def _try(self, peer: ID, addresses: list[Multiaddr]) -> None:
        name = str(peer)
        tried = self._tries.setdefault(name, _Try(0.0, 0.0, Backoff(LONGEST_KNOWN_PAUSE)))
        tried.at, tried.pause = trio.current_time(), tried.backoff.next(random.random())
        try:
            await self._dial(peer, addresses)
        except Unreachable:
            if self._connections.peers:  # else it may be this node's own network that is down
                self._book.failed(name, self._clock())

    async def _dial(self, peer: ID, addresses: Sequence[Multiaddr]) -> None:
        if not self._allowed(peer):
            raise Unreachable("it is shut out for a while")
        try:
            address = await dial(self._host, peer, addresses)
        except Unreachable:
            self._metrics.dials.labels("failed").inc()
            raise
        self._metrics.dials.labels("connected").inc()
        self._tries.pop(str(peer), None)
        if address is not None:
            self._book.met(str(peer), str(address), self._clock())

    def found_near(self, peer: ID, addresses: list[Multiaddr]) -> None:
        """Take note of a peer on the local network."""
        if peer == self._host.get_id() or not addresses:
            return
        if self._near.get(peer) != addresses:
            self._tries.pop(str(peer), None)
        self._near.pop(peer, None)
        self._near[peer] = addresses
        if len(self._near) > MAX_NEAR:
            del self._near[next(iter(self._near))]

    # ---- visits, and letting go ----

    async def visit(self) -> None:
        """Now and then connect to one peer more than needed, and then let one go. Runs until cancelled.

        Halves of a swarm that were cut off from each other, each with peers enough, become one again by this.
        """
        while True:
            await trio.sleep(visit_seconds(len(self._book)) * random.uniform(0.5, 1.5))
            if self._wants_more():
                continue  # `explore` is at it
            due = self._due()
            if due:
                await self._try(*due.pop())
            dialled = [peer for peer in self._connections.peers.values() if not peer.inbound]
            own = [peer for peer in dialled if ID.from_string(peer.peer) not in self._bootstrap]
            settled = self._clock() - SETTLED_MS
            going = crowd.surplus(own, WANTED_PEERS, useful=self._useful(), since=settled, only_inbound=False)
            await self._dismiss([ID.from_string(peer.peer) for peer in going])

    async def keep_room(self) -> None:
        """Let go of peers that have had time to find others, so that newcomers get in. Runs until cancelled."""
        while True:
            changed = self._connections.changed
            peers = list(self._connections.peers.values())
            since = self._clock() - round(1000 * self._grace)
            going = crowd.surplus(peers, self._keep, useful=self._useful(), since=since)
            await self._dismiss([ID.from_string(peer.peer) for peer in going])
            with trio.move_on_after(max(0.5, self._grace) if len(peers) > self._keep else float("inf")):
                await changed.wait()

    async def _dismiss(self, going: Sequence[ID]) -> None:
        async with trio.open_nursery() as nursery:
            for peer in going:
                nursery.start_soon(self._dismiss_one, peer)

    async def _dismiss_one(self, peer: ID) -> None:
        self._note_left(peer)
        try:
            await exchange.dismiss(self._host, peer, self._named_to(peer))
        except ConversationError as error:
            if isinstance(error, PeerBroke):
                self._blame(peer, str(error))
        await upstream.disconnect(upstream.swarm_of(self._host), peer)

    def _note_left(self, peer: ID) -> None:
        now = trio.current_time()
        self._left = {other: until for other, until in self._left.items() if until > now}
        self._left[peer] = now + LEFT_SECONDS * random.uniform(0.75, 1.25)

    # ---- what others ask ----

    async def _answer(self, stream: INetStream) -> None:
        asker = stream.muxed_conn.peer_id
        try:
            await exchange.answer(stream, self._swarm, name=self._named_to, dismissed=self._dismissed)
        except PeerBroke as error:
            self._blame(asker, str(error))
        except ConversationError:
            return

    def _named_to(self, asker: ID) -> list[bytes]:
        others = [peer for peer in self._connections.peers if peer != asker]
        random.shuffle(others)
        return exchange.envelopes_of(self._host, others)

    def _dismissed(self, peer: ID, envelopes: list[bytes]) -> None:
        self._note_left(peer)
        self._learn(envelopes, peer)
