"""libp2p hosts in memory: streams between them carry bytes as late as the modelled internet says.

What the gossip code uses of a host, its network and its connections is here, without sockets, Noise, Yamux and their
tasks. A stream takes a round trip to open, as with multistream-select; bytes arrive in order, or the connection ends.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import trio
from libp2p.abc import INetStream, INotifee, IPeerStore
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamReset
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.rcmgr import Direction
from multiaddr import Multiaddr

from gossip.identity import Identity
from gossip.reasons import reason_of
from gossip.upstream import reset
from node.simulation import virtual
from node.simulation.links import PACKET_OVERHEAD, SEGMENT_BYTES, Links
from node.simulation.traffic import Traffic

SEND_BUFFER_SECONDS: Final = 0.25  # of its uplink a writer is ahead at most
NEGOTIATION_BYTES: Final = len("/multistream/1.0.0\n") + 4

Report = Callable[[str, str], object]
Handler = Callable[[INetStream], Awaitable[None]]


class MemoryHost(BasicHost):
    """A host that runs while it has a nursery. connections: by peer; lost_one: called when one of them has ended."""

    def __init__(self, number: int, signer: Identity, links: Links, traffic: Traffic, report: Report) -> None:
        self.number = number
        self.links = links
        self.traffic = traffic
        self.nursery: trio.Nursery | None = None
        self.handlers: dict[str, Handler] = {}
        self.connections: dict[ID, End] = {}
        self.lost_one: Callable[[], object] = lambda: None
        self._report = report
        self._keys = create_new_key_pair(signer.private_bytes)
        self._id = ID.from_pubkey(self._keys.public_key)
        self._memory_network = MemoryNetwork(self)
        self.peerstore = PeerStore()
        self._addresses = [Multiaddr(f"/ip4/10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/tcp/4001")]

    def get_id(self) -> ID:
        return self._id

    def get_private_key(self) -> Any:
        return self._keys.private_key

    def get_public_key(self) -> Any:
        return self._keys.public_key

    def get_addrs(self) -> list[Multiaddr]:
        return self._addresses

    def get_peerstore(self) -> IPeerStore:
        return self.peerstore

    def get_network(self) -> "MemoryNetwork":
        return self._memory_network

    def set_stream_handler(self, protocol_id: TProtocol, stream_handler: Handler) -> None:
        self.handlers[protocol_id] = stream_handler

    async def new_stream(self, peer_id: ID, protocol_ids: Sequence[TProtocol]) -> "MemoryStream":
        """A stream to a connected peer, after a round trip. Raises SwarmException."""
        end = self.connections.get(peer_id)
        if end is None:
            await trio.lowlevel.checkpoint()
            raise SwarmException(f"there is no connection to {peer_id}")
        here, there = self.number, end.remote.number
        now = trio.current_time()
        size = NEGOTIATION_BYTES + len(protocol_ids[0]) + PACKET_OVERHEAD
        asked = self.links.carry(here, there, size, now)
        for number in (here, there):
            self.traffic.send(number, size)
        await trio.sleep(self.links.carry(there, here, size, asked) - now)
        handler = next((end.remote.handlers[name] for name in protocol_ids if name in end.remote.handlers), None)
        if end.closed or end.doomed or handler is None:
            raise SwarmException(f"the peer {peer_id} has gone, or does not know {protocol_ids[0]}")
        stream, other = MemoryStream(end, protocol_ids[0]), MemoryStream(end.other, protocol_ids[0])
        stream.other, other.other = other, stream
        end.remote.serve(handler, other)
        return stream

    def go_down(self) -> None:
        """End all connections, as the system does for a process that was killed."""
        self.nursery = None
        for end in list(self.connections.values()):
            end.hang_up()

    def serve(self, handler: Handler, stream: "MemoryStream") -> None:
        """Have a handler converse on a stream that a peer opened."""
        if self.nursery is not None:
            self.nursery.start_soon(self._serve, handler, stream)

    async def _serve(self, handler: Handler, stream: "MemoryStream") -> None:
        try:
            await handler(stream)
        except Exception as error:  # noqa: BLE001 - as in gossip.upstream: a handler that fails ends its stream
            if not isinstance(error, BaseLibp2pError):
                self._report("answering a peer", reason_of(error))
            await reset(stream)

    def notify(self, tell: Callable[[INotifee], Awaitable[None]]) -> None:
        """Tell whoever listens of a connection that was made, or that ended."""
        if self.nursery is not None:
            for notifee in self._memory_network.notifees:
                self.nursery.start_soon(tell, notifee)


class MemoryNetwork(Swarm):
    """The part of a host that knows its connections."""

    def __init__(self, host: MemoryHost) -> None:
        self.notifees: list[INotifee] = []
        self._memory_host = host

    @property
    def connections(self) -> dict[ID, list["End"]]:  # type: ignore[override]
        return {peer: [end] for peer, end in self._memory_host.connections.items()}

    def get_connections(self, peer_id: ID | None = None) -> list["End"]:  # type: ignore[override]
        found = self._memory_host.connections
        if peer_id is None:
            return list(found.values())
        return [found[peer_id]] if peer_id in found else []

    def register_notifee(self, notifee: INotifee) -> None:
        self.notifees.append(notifee)


class End(SwarmConn):
    """One end of a connection, as libp2p's own code sees it. doomed: a cut lies between, which nobody has noticed."""

    other: "End"

    def __init__(self, local: MemoryHost, remote: MemoryHost, direction: Direction) -> None:
        self.local = local
        self.remote = remote
        self.closed = False
        self.doomed = False
        self.streams: set[Any] = set()
        self._open: dict[MemoryStream, None] = {}
        self._direction = direction
        vars(self)["muxed_conn"] = SimpleNamespace(peer_id=remote.get_id(), is_closed=False)

    @property
    def is_closed(self) -> bool:
        return self.closed

    def get_transport_addresses(self) -> list[Multiaddr]:
        return self.remote.get_addrs()

    async def close(self) -> None:
        """End the connection; the other side learns it after the path's latency."""
        await trio.lowlevel.checkpoint()
        self.hang_up()

    def hang_up(self) -> None:
        """As `close`."""
        if self.closed:
            return
        links, now = self.local.links, trio.current_time()
        if not self.doomed:
            path = links.carry(self.local.number, self.remote.number, PACKET_OVERHEAD, now)
            virtual.at(path, self.other.lose)
        self.lose()

    def lose(self) -> None:
        """This end learns that the connection has ended."""
        if self.closed:
            return
        self.closed = self.muxed_conn.is_closed = True  # type: ignore[misc]
        if self.local.connections.get(self.remote.get_id()) is self:
            del self.local.connections[self.remote.get_id()]
        for stream in list(self._open):
            stream.fail()
        self._open.clear()
        self.local.notify(lambda notifee: notifee.disconnected(self.local.get_network(), self))
        self.local.lost_one()


def connect(dialler: MemoryHost, listener: MemoryHost) -> End:
    """Make a connection, now; the dialler's end of it."""
    end, other = End(dialler, listener, Direction.OUTBOUND), End(listener, dialler, Direction.INBOUND)
    end.other, other.other = other, end
    for half in (end, other):
        half.local.connections[half.remote.get_id()] = half
        half.local.notify(partial(_tell_connected, half))
    return end


async def _tell_connected(end: End, notifee: INotifee) -> None:
    await notifee.connected(end.local.get_network(), end)


class MemoryStream(INetStream):
    """One end of a stream."""

    other: "MemoryStream"
    metric_send_channel = None

    def __init__(self, end: End, protocol: TProtocol) -> None:
        self.muxed_conn = end.muxed_conn
        self._end = end
        self._protocol = protocol
        self._held = bytearray()
        self._reader: trio.lowlevel.Task | None = None
        self._ended: type[BaseLibp2pError] | None = None  # what reading raises when all is read
        self._closed = False
        end._open[self] = None

    def get_protocol(self) -> TProtocol:
        return self._protocol

    def set_protocol(self, protocol_id: TProtocol) -> None:
        self._protocol = protocol_id

    def get_remote_address(self) -> tuple[str, int] | None:
        return None

    async def read(self, n: int | None = None) -> bytes:
        """At most `n` bytes, as soon as there are any. Raises StreamEOF, StreamReset."""
        while not self._held:
            if self._ended is not None:
                await trio.lowlevel.checkpoint()
                raise self._ended
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)
        taken = bytes(self._held[:n])
        del self._held[: len(taken)]
        return taken

    async def write(self, data: bytes) -> None:
        """Send; waits while the uplink has more than SEND_BUFFER_SECONDS to do. Raises StreamClosed, StreamReset."""
        if self._closed:
            raise StreamClosed
        if self._end.closed:
            raise StreamReset
        self._send(len(data), partial(self.other._arrive, bytes(data)))
        host = self._end.local
        behind = host.links.backlog(host.number, trio.current_time())
        if behind > SEND_BUFFER_SECONDS:
            await trio.sleep(behind - SEND_BUFFER_SECONDS)

    async def close(self) -> None:
        """Say that no more will be written; what the peer still says can be read."""
        await trio.lowlevel.checkpoint()
        if not self._closed and not self._end.closed:
            self._closed = True
            self._send(0, partial(self.other._finish, StreamEOF))
            self._forget()

    async def reset(self) -> None:
        """End the stream in both directions."""
        await trio.lowlevel.checkpoint()
        if not self._end.closed and not (self._closed and self._ended):
            self._send(0, partial(self.other._finish, StreamReset))
        self.fail()
        self._forget()

    def fail(self) -> None:
        """The connection has ended, or the stream was reset."""
        self._closed = True
        self._held.clear()
        self._finish(StreamReset)

    def _send(self, size: int, arrive: Callable[[], None]) -> None:
        end, links = self._end, self._end.local.links
        size += PACKET_OVERHEAD * (1 + size // SEGMENT_BYTES)
        end.local.traffic.send(end.local.number, size)
        if end.doomed:
            links.lost += 1
            return
        moment = links.carry(end.local.number, end.remote.number, size, trio.current_time())
        virtual.at(moment, arrive)

    def _arrive(self, data: bytes) -> None:
        if self._ended is not None or self._end.doomed:
            return
        self._held += data
        self._wake()

    def _finish(self, how: type[BaseLibp2pError]) -> None:
        if self._ended is None or how is StreamReset:
            self._ended = how
        self._wake()
        self._forget()

    def _forget(self) -> None:
        if self._closed and self._ended is not None:
            self._end._open.pop(self, None)

    def _wake(self) -> None:
        if self._reader is not None:
            task, self._reader = self._reader, None
            trio.lowlevel.reschedule(task)

    def _stop_waiting(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED
