"""The bounds that libp2p 0.8.1's Yamux announces and does not enforce.

- Symptom: a peer that ignores the receive window fills this node's memory (83 to 382 MB in a few seconds): the library
  logs a warning, sets the window to zero and keeps the data.
- Symptom: the window of each stream grows to 16 MiB, and a peer may open as many streams as it likes.
- Symptom: a flood of pings or empty frames, 12 bytes each, keeps a core busy.

Every byte from a peer passes `Inspector.see` before the library takes it. What breaks the protocol or a bound ends the
connection, and the peer is blamed; what is merely too fast is read more slowly, so that the flooder's own socket fills.
"""

import struct
import weakref
from collections.abc import Callable
from typing import Final

import trio
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import (
    DEFAULT_WINDOW_SIZE,
    FLAG_SYN,
    HEADER_SIZE,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
    Yamux,
)

from gossip.bucket import Bucket, Rate

MAX_WINDOW: Final = 1 << 20
MAX_FRAME: Final = (
    DEFAULT_WINDOW_SIZE  # what any peer may send at once; Go's and JavaScript's Yamux send 64 KiB at most
)
MAX_STREAMS: Final = 128
MAX_HELD_PER_CONNECTION: Final = 4 << 20
MAX_HELD: Final = 64 << 20
COUNT_EVERY: Final = 64 * 1024
SMALL_FRAME: Final = 1024
SMALL_FRAMES: Final = Rate(burst=10_000, per_second=1000)

_HEADER: Final = struct.Struct(YAMUX_HEADER_FORMAT)


class BrokenMuxing(Exception):
    """What a peer sent breaks Yamux or one of the bounds."""


class Held:
    """The bytes that wait in this node's memory to be read from streams, over all its connections."""

    def __init__(self) -> None:
        self._held: weakref.WeakKeyDictionary[Yamux, int] = weakref.WeakKeyDictionary()
        self._sum = 0

    def note(self, connection: Yamux) -> None:
        """Count what `connection` holds. Raises BrokenMuxing where that is too much, for it or in all."""
        held = _held_by(connection)
        self._sum += held - self._held.get(connection, 0)
        self._held[connection] = held
        if held > MAX_HELD_PER_CONNECTION:
            raise BrokenMuxing(f"left {held} bytes unread in this node's memory")
        if self._sum > MAX_HELD:
            # the counts of connections that fell silent may be old
            self._held = weakref.WeakKeyDictionary({one: _held_by(one) for one in self._held})
            self._sum = sum(self._held.values())
            if self._sum > MAX_HELD and held * len(self._held) >= self._sum:
                raise BrokenMuxing(f"holds {held} of the {self._sum} bytes that wait in this node's memory")


def _held_by(connection: Yamux) -> int:
    return sum(map(len, connection.stream_buffers.values()))


class Inspector:
    """Follows the frames of one connection as they are read."""

    def __init__(self, connection: Yamux, held: Held) -> None:
        self._connection = connection
        self._held = held
        self._header = bytearray()
        self._body = 0
        self._uncounted = 0
        self._frames = Bucket(SMALL_FRAMES)

    def see(self, data: bytes, now: float) -> float:
        """Look at what came. Returns the seconds to wait before reading on; raises BrokenMuxing."""
        start, delay = 0, 0.0
        while start < len(data):
            if self._body:
                step = min(self._body, len(data) - start)
                self._body -= step
            else:
                step = min(HEADER_SIZE - len(self._header), len(data) - start)
                self._header += data[start : start + step]
                if len(self._header) == HEADER_SIZE:
                    version, kind, flags, stream_id, length = _HEADER.unpack(self._header)
                    self._header.clear()
                    self._check(version, kind, flags, stream_id, length)
                    if kind != TYPE_DATA or length < SMALL_FRAME:
                        delay = self._frames.owe(now)
            start += step
        return delay

    def _check(self, version: int, kind: int, flags: int, stream_id: int, length: int) -> None:
        if version != 0 or kind > TYPE_GO_AWAY:
            raise BrokenMuxing(f"sent a Yamux frame of version {version} and type {kind}")
        stream = self._connection.streams.get(stream_id)
        if flags & FLAG_SYN and stream is None and kind in (TYPE_DATA, TYPE_WINDOW_UPDATE):
            self._may_open(stream_id)
        if kind != TYPE_DATA:
            return
        self._body = length
        if length > MAX_FRAME:
            raise BrokenMuxing(f"sent a Yamux frame of {length} bytes")
        if stream is not None and length > stream.recv_window:
            raise BrokenMuxing(f"ignored the receive window: {length} bytes where {stream.recv_window} were allowed")
        self._uncounted += length
        if self._uncounted >= COUNT_EVERY:
            self._uncounted = 0
            self._held.note(self._connection)

    def _may_open(self, stream_id: int) -> None:
        if stream_id == 0 or stream_id % 2 != _parity_of_peer(self._connection):
            raise BrokenMuxing(f"opened a stream with the number {stream_id}, which is not one of its own")
        if streams_of_peer(self._connection) >= MAX_STREAMS:
            raise BrokenMuxing(f"opened more than {MAX_STREAMS} streams")


def streams_of_peer(connection: Yamux) -> int:
    """How many streams that the peer opened have not ended on both sides."""
    theirs = _parity_of_peer(connection)
    return sum(1 for number in connection.streams if number % 2 == theirs)


def _parity_of_peer(connection: Yamux) -> int:
    return 0 if connection.is_initiator else 1


def install() -> None:
    """Let no stream's window grow beyond MAX_WINDOW, in the whole process."""
    vars(yamux)["MAX_WINDOW_SIZE"] = MAX_WINDOW


def inspect(connection: Yamux, held: Held, blame: Callable[[ID, str], object]) -> None:
    """Watch a connection that has not been started yet."""
    inspector = Inspector(connection, held)
    read = connection.secured_conn.read

    async def watched(n: int | None = None) -> bytes:
        data = await read(n)
        try:
            delay = inspector.see(data, trio.current_time())
        except BrokenMuxing as error:
            blame(connection.peer_id, f"it {error}")
            raise
        if delay:
            await trio.sleep(delay)
        return data

    vars(connection.secured_conn)["read"] = watched
