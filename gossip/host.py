"""A libp2p host with this node's identity, listening, and a register of who is connected."""

import errno
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import psutil
import trio
from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID
from libp2p.rcmgr import Direction
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from gossip import upstream
from gossip.door import Door
from gossip.events import Event, Peer, PeerConnected, PeerLost
from gossip.flood import forget_own_record
from gossip.identity import ED25519_PREFIX, Identity
from gossip.swarmkey import SwarmKey

MAX_CONNECTIONS: Final = 200
CLOSE_SECONDS: Final = 2.0

DIALLED: Final = ("ip4", "ip6", "dns", "dns4", "dns6")


class ListenError(Exception):
    """The node cannot listen where it was told to; the message says why and what to do."""


class AddressError(ValueError):
    """An address that a person gave is not one of a peer."""


def peer_id_of(author: bytes) -> str:
    """The libp2p peer id, as `12D3Koo…`, of a record's author (32 bytes)."""
    return ID(ED25519_PREFIX + author).to_base58()


def author_of(peer: str) -> bytes:
    """The author (32 bytes) whose peer id that is: what `peer_id_of` does, undone."""
    return ID.from_base58(peer).to_bytes().removeprefix(ED25519_PREFIX)


def parse_peer_address(text: str) -> tuple[ID, Multiaddr]:
    """Split `/ip4/…/tcp/…/p2p/ID`, or the same with `/ip6`, `/dns`, `/dns4` or `/dns6`, into peer id and address.

    Raises AddressError.
    """
    try:
        address = Multiaddr(text)
        names = [protocol.name for protocol in address.protocols()]
        if len(names) != 3 or names[0] not in DIALLED or names[1:] != ["tcp", "p2p"]:
            raise ValueError(
                f"it is /{'/'.join(names)}, and only /{', /'.join(DIALLED)} with /tcp and /p2p are dialled"
            )
        peer = address.value_for_protocol("p2p")
        identifier = ID.from_string(str(peer))
    except (MultiaddrError, ValueError, LookupError) as error:
        raise AddressError(
            f"{text!r} is not a peer's address ({error}): paste the whole line that the other node printed, "
            "/ip4/ADDRESS/tcp/PORT/p2p/ID"
        ) from error
    return identifier, address.decapsulate(Multiaddr(f"/p2p/{peer}"))


@asynccontextmanager
async def open_host(
    identity: Identity,
    *,
    door: Door,
    admit: Callable[[ID], bool],
    blame: Callable[[ID, str], object],
    report: Callable[[str, str], object],
    max_connections: int = MAX_CONNECTIONS,
    key: SwarmKey | None = None,
    announced: Callable[[Sequence[Multiaddr]], list[Multiaddr]] | None = None,
) -> AsyncIterator[BasicHost]:
    """A running host that does not listen yet, so that protocols can be set first.

    `announced` gives the addresses to tell others, for those that the host listens on; by default `reachable`.

    On leaving, connections, listeners and tasks are gone: the library leaks them unless the host is closed while its
    service still runs, and it closes connections one after the other, 0.1 s each.
    """
    upstream.install()
    key_pair = create_new_key_pair(identity.private_bytes)
    host = upstream.noise_host(
        key_pair,
        max_connections=max_connections,
        door=door,
        admit=admit,
        blame=blame,
        report=report,
        addresses=announced or reachable,
        key=key,
    )
    async with host.run([]):
        try:
            yield host
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_SECONDS):
                async with trio.open_nursery() as nursery:
                    for connection in upstream.swarm_of(host).get_connections():
                        nursery.start_soon(connection.close)
                await host.close()


async def listen_on(host: BasicHost, listen: Sequence[str]) -> None:
    """Accept connections on all of `listen`, such as `/ip4/0.0.0.0/tcp/4001`. Raises ListenError."""
    for text in listen:
        address = _free_address(text)
        swarm = upstream.swarm_of(host)
        if not await swarm.listen(address):
            raise ListenError(f"cannot listen on {text}: libp2p refused the address; choose another")
    forget_own_record(host)


def _free_address(text: str) -> Multiaddr:
    """Check that a listen address is well-formed and that its port is free.

    libp2p sets SO_REUSEPORT, so of two nodes on one port both would listen and each get a part of the connections.
    """
    try:
        address = Multiaddr(text)
        port = int(address.value_for_protocol("tcp"))
        ip = _ip(address)
    except (MultiaddrError, ValueError, LookupError) as error:
        raise ListenError(f"cannot listen on {text!r} ({error}): write it as /ip4/0.0.0.0/tcp/4001") from error
    with socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((str(ip), port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ListenError(
                    f"cannot listen on {text}: port {port} is in use, perhaps by another node; "
                    "choose another port, or 0 for any free one"
                ) from error
            raise ListenError(f"cannot listen on {text}: {error.strerror}") from error
    return address


def reachable(addresses: Sequence[Multiaddr]) -> list[Multiaddr]:
    """Listen addresses with `any` replaced by this machine's own addresses: public, then private, then loopback."""
    found: dict[str, int] = {}
    for address in addresses:
        ip = _ip(address)
        port = address.value_for_protocol("tcp")
        for own in _interface_addresses(ip.version) if ip.is_unspecified else [ip]:
            rank = 2 if own.is_loopback else 1 if own.is_private else 0
            found[f"/ip{own.version}/{own}/tcp/{port}"] = rank
    return [Multiaddr(text) for text in sorted(found, key=lambda text: found[text])]


def _ip(address: Multiaddr) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    name = address.protocols()[0].name
    if name not in ("ip4", "ip6"):
        raise ValueError(f"it starts with /{name}, not with /ip4 or /ip6")
    return ipaddress.ip_address(address.value_for_protocol(name))


def _interface_addresses(version: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    entries = (entry for interface in psutil.net_if_addrs().values() for entry in interface if entry.family == family)
    own = (ipaddress.ip_address(entry.address.split("%")[0]) for entry in entries)
    # link-local addresses need an interface name, which other machines do not have
    return [address for address in own if not address.is_link_local]


class Connections(INotifee):
    """Who is connected, of those that are `allowed`. Reports PeerConnected and PeerLost.

    `changed` is set, and replaced, at each change.
    """

    def __init__(self, put: Callable[[Event], object], clock: Callable[[], int], allowed: Callable[[ID], bool]) -> None:
        self.peers: dict[ID, Peer] = {}
        self.changed = trio.Event()
        self._put = put
        self._clock = clock
        self._allowed = allowed

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """The library's hook: a connection was made."""
        await trio.lowlevel.checkpoint()
        peer_id = conn.muxed_conn.peer_id
        if peer_id not in self.peers and not conn.is_closed and self._allowed(peer_id):
            inbound = isinstance(conn, SwarmConn) and conn.direction == Direction.INBOUND
            address = next((str(a) for a in conn.get_transport_addresses()), "")
            peer = Peer(peer_id.to_base58(), address, inbound, self._clock())
            self.peers[peer_id] = peer
            self._tell(PeerConnected(peer))

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """The library's hook: a connection ended."""
        await trio.lowlevel.checkpoint()
        peer_id = conn.muxed_conn.peer_id
        if any(not other.is_closed for other in network.connections.get(peer_id, [])):
            return
        peer = self.peers.pop(peer_id, None)
        if peer is not None:
            self._tell(PeerLost(peer))

    def count(self, *, inbound: bool) -> int:
        """How many peers dialled this node, or were dialled by it."""
        return sum(peer.inbound is inbound for peer in self.peers.values())

    def forget(self) -> None:
        """Report all as lost: their connections went down with the host."""
        for peer in self.peers.values():
            self._put(PeerLost(peer))
        self.peers.clear()

    def _tell(self, event: Event) -> None:
        self._put(event)
        self.changed.set()
        self.changed = trio.Event()

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """The library's hook, not needed."""
        await trio.lowlevel.checkpoint()

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """The library's hook, not needed."""
        await trio.lowlevel.checkpoint()

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """The library's hook, not needed."""
        await trio.lowlevel.checkpoint()

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """The library's hook, not needed."""
        await trio.lowlevel.checkpoint()
