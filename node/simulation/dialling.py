"""Who dials whom in a simulated network, in the place of gossip/peers.py, whose book and dials cost too much for many.

As there: a node dials until it has WANTED_PEERS connections, and now and then visits one more and lets one go, the mesh
last, so that the parts of a swarm that was cut in two find each other. Unlike there, everybody knows everybody's
address from the start, and a connection that a cut has severed is noticed by a ping, which is drawn and not sent.
"""

import random
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import trio
from libp2p.peer.id import ID

from gossip import crowd, liveness
from gossip.addressbook import MAX_HEARD, MAX_MET
from gossip.host import Connections
from gossip.mesh import Mesh
from gossip.peers import FIRST_PAUSE, SETTLED_MS, WANTED_PEERS, visit_seconds
from node.simulation import virtual
from node.simulation.hosts import MemoryHost, connect
from node.simulation.links import Links

ROUND_TRIPS: Final = 4  # TCP, multistream and Noise, multistream and Yamux
NO_ANSWER_SECONDS: Final = 5.0
LONGEST_PAUSE: Final = 30.0
AT_ONCE: Final = 0.05
TRIES: Final = 8
MOST_PEERS: Final = 180  # that a node takes


class Dialler(Protocol):
    """What is asked of a node that dials."""

    host: MemoryHost
    connections: Connections
    mesh: Mesh

    def allows(self, peer: ID) -> bool:
        """Whether it wants to be connected to that peer."""


class Dialling:
    """Keeps the nodes that joined connected."""

    def __init__(self, links: Links, seed: int) -> None:
        self._links = links
        self._chance = random.Random(f"dialling {seed}")
        self._up: dict[int, Dialler] = {}
        self._known: dict[int, None] = {}  # everybody who was ever up
        self._order: list[int] = []
        self._looking: set[int] = set()

    def joined(self, node: Dialler) -> None:
        """A node has come up."""
        number = node.host.number
        self._up[number] = node
        if number not in self._known:
            self._known[number] = None
            self._order.append(number)
        node.host.lost_one = partial(self._look_soon, node, FIRST_PAUSE)
        self._look_soon(node, FIRST_PAUSE)
        self._visit_later(node)

    def left(self, node: Dialler) -> None:
        """A node has gone down."""
        del self._up[node.host.number]
        self._looking.discard(node.host.number)

    def cut(self) -> None:
        """A partition has begun: connections across it end when a ping is not answered."""
        for node in self._up.values():
            for end in node.host.connections.values():
                if not end.doomed and not self._links.reachable(end.local.number, end.remote.number):
                    end.doomed = True
                    ping = self._chance.uniform(0, liveness.EVERY_SECONDS) + liveness.ANSWER_SECONDS
                    self._later(ping, end.lose)

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        virtual.at(trio.current_time() + seconds, call)

    def _is_up(self, node: Dialler) -> bool:
        return self._up.get(node.host.number) is node

    def _look_soon(self, node: Dialler, pause: float) -> None:
        """After a while, see whether a node needs more connections; once, however often this is called meanwhile."""
        if self._is_up(node) and node.host.number not in self._looking:
            self._looking.add(node.host.number)
            self._later(pause * self._chance.uniform(0.75, 1.25), partial(self._look, node, pause))

    def _look(self, node: Dialler, pause: float) -> None:
        if not self._is_up(node):
            return
        self._looking.discard(node.host.number)
        if len(node.host.connections) < WANTED_PEERS:
            again = partial(self._look_soon, node)
            longer = min(LONGEST_PAUSE, 1.6 * pause)
            self._dial(node, done=partial(again, AT_ONCE), failed=partial(again, longer))

    def _visit_later(self, node: Dialler) -> None:
        pause = visit_seconds(min(len(self._order), MAX_MET + MAX_HEARD))
        self._later(pause * self._chance.uniform(0.5, 1.5), partial(self._visit, node))

    def _visit(self, node: Dialler) -> None:
        if not self._is_up(node):
            return
        self._visit_later(node)
        if len(node.host.connections) >= WANTED_PEERS:
            self._dial(node, done=partial(self._let_go, node), failed=lambda: None)

    def _dial(self, node: Dialler, *, done: Callable[[], object], failed: Callable[[], object]) -> None:
        """Dial somebody, at random; after which `done` or `failed` is called."""
        connected = {end.remote.number for end in node.host.connections.values()} | {node.host.number}
        chosen = next((n for n in self._chance.choices(self._order, k=TRIES) if n not in connected), None)
        if chosen is None:
            self._later(FIRST_PAUSE, failed)
            return
        here, there = node.host.number, self._up.get(chosen)
        if not self._links.reachable(here, chosen):
            self._later(NO_ANSWER_SECONDS, failed)
        elif there is None:
            self._later(2 * self._links.latency(here, chosen), failed)  # it is refused
        else:
            shake_hands = partial(self._meet, node, there, done=done, failed=failed)
            self._later(2 * ROUND_TRIPS * self._links.latency(here, chosen), shake_hands)

    def _meet(self, node: Dialler, other: Dialler, *, done: Callable[[], object], failed: Callable[[], object]) -> None:
        here, there = node.host, other.host
        up = self._is_up(node) and self._is_up(other) and self._links.reachable(here.number, there.number)
        room = len(there.connections) < MOST_PEERS and there.get_id() not in here.connections
        if not (up and room and node.allows(there.get_id()) and other.allows(here.get_id())):
            failed()
        else:
            connect(here, there)
            done()

    def _let_go(self, node: Dialler) -> None:
        dialled = [peer for peer in node.connections.peers.values() if not peer.inbound]
        since = virtual.now_ms() - SETTLED_MS
        going = crowd.surplus(dialled, WANTED_PEERS, useful=node.mesh.members(), since=since, only_inbound=False)
        for peer in going:
            node.host.connections[ID.from_base58(peer.peer)].hang_up()
