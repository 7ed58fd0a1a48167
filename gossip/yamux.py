"""The bounds that libp2p 0.8.1's Yamux announces and does not enforce.

- Symptom: a peer that ignores the receive window fills this node's memory (83 to 382 MB in a few seconds): the library
  logs a warning, sets the window to zero and keeps the data.
- Symptom: the window of each stream grows to 16 MiB, and a peer may open as many streams as it likes.
- Symptom: a flood of pings or empty frames, 12 bytes each, keeps a core busy.

Every frame from a peer passes `Bounds.see` before it is handled (gossip/wire.py). What breaks the protocol or a bound
ends the connection, and the peer is blamed; what is merely too fast is read more slowly, so that the flooder's own
socket fills.
"""

import weakref
from typing import Final

from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import (
    DEFAULT_WINDOW_SIZE,
    FLAG_SYN,
    TYPE_DATA,
    TYPE_WINDOW_UPDATE,
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


class Bounds:
    """What one connection's peer may send, looked at frame by frame."""

    def __init__(self, connection: Yamux, held: Held) -> None:
        self._connection = connection
        self._held = held
        self._uncounted = 0
        self._frames = Bucket(SMALL_FRAMES)

    def see(self, kind: int, flags: int, stream_id: int, length: int, now: float) -> float:
        """Look at a frame before it is handled. Returns the seconds to wait before reading on; raises BrokenMuxing."""
        stream = self._connection.streams.get(stream_id)
        if flags & FLAG_SYN and stream is None and kind in (TYPE_DATA, TYPE_WINDOW_UPDATE):
            self._may_open(stream_id)
        if kind == TYPE_DATA:
            window = DEFAULT_WINDOW_SIZE if stream is None else stream.recv_window
            if length > window:
                raise BrokenMuxing(f"ignored the receive window: {length} bytes where {window} were allowed")
            self._uncounted += length
            if self._uncounted >= COUNT_EVERY:
                self._uncounted = 0
                self._held.note(self._connection)
            if length >= SMALL_FRAME:
                return 0.0
        return self._frames.owe(now)

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
