"""Getting and staying connected: bootstrap peers, peers of peers, and the protocol `/arnode/peers/1` that names them.

A question is `peers?, swarm`; the answer is `peers, […]`, each entry a peer's own signed peer record, so addresses can
be withheld but not forged. A node asks its peers until it has WANTED_PEERS connections: nodes that know only one
bootstrap address become a mesh that no longer needs it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio
from google.protobuf.message import DecodeError
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.envelope import consume_envelope
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from gossip import upstream
from gossip.frames import ConversationError, PeerBroke, conversation, open_conversation
from gossip.host import Connections
from gossip.metrics import Metrics

PROTOCOL: Final = TProtocol("/arnode/peers/1")
WANTED_PEERS: Final = 8
MAX_NAMED: Final = 32
MAX_ADDRESSES: Final = 8
MAX_ENVELOPE: Final = 4096
BUDGET: Final = 256 * 1024
DIAL_SECONDS: Final = 5.0
TALK_SECONDS: Final = 10.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
LONGEST_KNOWN_PAUSE: Final = 600.0
EXPLORE_SECONDS: Final = 10.0
LONELY_SECONDS: Final = 1.0
KNOWN_PEERS: Final = 1000

Address = tuple[ID, Multiaddr]


@dataclass
class Contact:
    """A peer that might be dialled: its addresses, and when the next try is due, by trio's clock."""

    addresses: list[Multiaddr]
    due: float = 0.0
    pause: float = FIRST_PAUSE


class Peers:
    """Dials. `allowed` says whether a peer may be dialled; `report` hears (what, why) of bootstrap peers that fail."""

    def __init__(
        self,
        host: BasicHost,
        connections: Connections,
        swarm: str,
        bootstrap: Sequence[Address],
        *,
        allowed: Callable[[ID], bool],
        blame: Callable[[ID, str], object],
        report: Callable[[str, str], object],
        metrics: Metrics,
    ) -> None:
        self._host = host
        self._connections = connections
        self._swarm = swarm
        self._allowed = allowed
        self._blame = blame
        self._report = report
        self._metrics = metrics
        self._bootstrap: dict[ID, list[Multiaddr]] = {}
        for peer, address in bootstrap:
            if peer != host.get_id():
                self._bootstrap.setdefault(peer, []).append(address)
        self._known: dict[ID, Contact] = {}
        host.set_stream_handler(PROTOCOL, self._answer)

    async def stay_connected(self) -> None:
        """Keep a connection to every bootstrap peer. Runs until cancelled."""
        async with trio.open_nursery() as nursery:
            for peer, addresses in self._bootstrap.items():
                nursery.start_soon(self._stay_connected_to, peer, addresses)
            await trio.sleep_forever()

    async def _stay_connected_to(self, peer: ID, addresses: list[Multiaddr]) -> None:
        pause = FIRST_PAUSE
        failures = 0
        while True:
            while peer in self._connections.peers:
                pause, failures = FIRST_PAUSE, 0
                await self._connections.changed.wait()
            if await self.dial(peer, addresses):
                continue
            failures += 1
            if failures == 1 and self._allowed(peer):
                self._report(f"bootstrap peer {peer}", "it does not answer; trying again until it does")
            await trio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(1.6 * pause, LONGEST_PAUSE)

    async def explore(self) -> None:
        """Ask peers for peers while there are fewer than WANTED_PEERS connections. Runs until cancelled.

        Who was ever met is tried again too, so a node that lost everyone, its bootstrap peers included, finds back.
        """
        while True:
            changed = self._connections.changed
            connected = list(self._connections.peers)
            random.shuffle(connected)
            self._learn(self._records_of(connected))
            for peer in connected:
                if len(self._connections.peers) >= WANTED_PEERS:
                    break
                try:
                    self._learn(await self._ask(peer))
                except ConversationError as error:
                    if isinstance(error, PeerBroke):
                        self._blame(peer, str(error))
                    continue
                await self._dial_known()
            await self._dial_known()
            with trio.move_on_after(EXPLORE_SECONDS * random.uniform(0.5, 1.5) if connected else LONELY_SECONDS):
                await changed.wait()
            await trio.sleep(random.uniform(0.1, 0.5))  # let a burst of connections settle

    async def _dial_known(self) -> None:
        candidates = list(self._known.items())
        random.shuffle(candidates)
        for peer, contact in candidates:
            if len(self._connections.peers) >= WANTED_PEERS:
                return
            if peer in self._connections.peers:
                contact.due, contact.pause = 0.0, FIRST_PAUSE
                continue
            if contact.due > trio.current_time():
                continue
            connected = await self.dial(peer, contact.addresses)
            contact.pause = FIRST_PAUSE if connected else min(2 * contact.pause, LONGEST_KNOWN_PAUSE)
            contact.due = trio.current_time() + contact.pause * random.uniform(0.75, 1.25)

    async def dial(self, peer: ID, addresses: Sequence[Multiaddr]) -> bool:
        """Try each address until one connects to that very peer; whether there is a connection in the end.

        One by one through `dial_addr`: the library's `connect` tries one address only, and shuts a peer out for a
        minute after a failure.
        """
        if peer == self._host.get_id() or not self._allowed(peer):
            await trio.lowlevel.checkpoint()
            return False
        swarm = upstream.swarm_of(self._host)
        for address in addresses[:MAX_ADDRESSES]:
            if swarm.get_connections(peer):
                break
            swarm.unblock_peer(peer)
            with trio.move_on_after(DIAL_SECONDS):
                try:
                    await swarm.dial_addr(address, peer)
                except (BaseLibp2pError, MultiaddrError, OSError, ValueError):
                    continue
        await trio.lowlevel.checkpoint()
        connected = bool(swarm.get_connections(peer))
        self._metrics.dials.labels("connected" if connected else "failed").inc()
        return connected

    async def _ask(self, peer: ID) -> list[bytes]:
        async with open_conversation(self._host, peer, PROTOCOL, budget=BUDGET, seconds=TALK_SECONDS) as frames:
            await frames.send("peers?", self._swarm)
            match await frames.receive():
                case ["peers", list(envelopes)] if len(envelopes) <= MAX_NAMED and all(
                    isinstance(envelope, bytes) and len(envelope) <= MAX_ENVELOPE for envelope in envelopes
                ):
                    return envelopes
        raise PeerBroke("did not name its peers")

    def _learn(self, envelopes: Sequence[bytes]) -> None:
        for envelope in envelopes:
            try:
                _, record = consume_envelope(envelope, "libp2p-peer-record")
            except (ValueError, DecodeError, MultiaddrError):
                continue  # the peer that passes it on could not know better
            addresses = list(record.addrs)[:MAX_ADDRESSES]
            if record.peer_id == self._host.get_id() or not addresses:
                continue
            before = self._known.pop(record.peer_id, None)
            unchanged = before is not None and before.addresses == addresses
            self._known[record.peer_id] = before if before and unchanged else Contact(addresses)
            while len(self._known) > KNOWN_PEERS:
                del self._known[next(iter(self._known))]

    async def _answer(self, stream: INetStream) -> None:
        asker = stream.muxed_conn.peer_id
        try:
            async with conversation(stream, budget=BUDGET, seconds=TALK_SECONDS) as frames:
                match await frames.receive():
                    case ["peers?", self._swarm]:
                        await frames.send("peers", self._named_to(asker))
                    case ["peers?", str()]:
                        await frames.send("peers", [])
                    case _:
                        raise PeerBroke("asked for peers in an unknown way")
        except PeerBroke as error:
            self._blame(asker, str(error))
        except ConversationError:
            return

    def _named_to(self, asker: ID) -> list[bytes]:
        others = [peer for peer in self._connections.peers if peer != asker]
        random.shuffle(others)
        return self._records_of(others)[:MAX_NAMED]

    def _records_of(self, peers: Sequence[ID]) -> list[bytes]:
        store = self._host.get_peerstore()
        found = [record.marshal_envelope() for peer in peers if (record := store.get_peer_record(peer)) is not None]
        return [envelope for envelope in found if len(envelope) <= MAX_ENVELOPE]
