"""What waits to be sent to one peer over GossipSub, as bytes that are made once for all peers.

A message to forward is a piece: field `publish` of an RPC with its tag and length. Pieces written one after the other
are one RPC with all of them (protobuf joins repeated fields), so what waits for a peer goes out as one packet.

- Symptom: the library copies an RPC for each peer, looks for a way to split it, and serialises it anew; each message
  is an RPC, a frame, a packet and a system call of its own, however many wait.
- Symptom: a message goes out to a peer that has meanwhile sent it here itself. Of the copies that a mesh sends both
  ways along an edge, about half are saved by looking again when the peer's turn comes.
- Symptom: a queue holds 32 RPCs and drops the rest without a word.
"""

from collections import deque
from typing import Final

import trio
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import PriorityQueue, RpcQueue
from libp2p.utils.varint import encode_uvarint

QUEUE_LENGTH: Final = 2048
PACKET_BYTES: Final = 64 * 1024
LINGER_SECONDS: Final = 0.03
BUSY_LINGER_SECONDS: Final = 0.15
BUSY_SECONDS: Final = 0.1
MAX_KNOWN: Final = 1000
PUBLISH_TAG: Final = b"\x12"  # field 2, length-delimited


def linger_seconds(since_last: float) -> float:
    """How long messages wait at most, that long after the last ones went out, in seconds.

    They wait at random: of two peers that have the same one for each other, one then speaks first. While much is said
    they wait longer, so that more go out in one packet.
    """
    return BUSY_LINGER_SECONDS if since_last < BUSY_SECONDS else LINGER_SECONDS


def piece_of(message: rpc_pb2.Message) -> bytes:
    """A message as a part of an RPC."""
    raw = message.SerializeToString()
    return PUBLISH_TAG + encode_uvarint(len(raw)) + raw


def framed(rpc: bytes) -> bytes:
    """An RPC as it travels: its length, then itself."""
    return encode_uvarint(len(rpc)) + rpc


class Outgoing(PriorityQueue):
    """In the place of the queue inside the library's RpcQueue: takes RPCs and pieces, gives frames."""

    def __init__(self) -> None:
        super().__init__(QUEUE_LENGTH)
        self._rpcs: deque[rpc_pb2.RPC] = deque()
        self._pieces: dict[bytes, bytes] = {}
        self._known: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._rpcs) + len(self._pieces)

    def __bool__(self) -> bool:
        return bool(self._rpcs or self._pieces)

    def push(self, rpc: rpc_pb2.RPC, priority: bool = False) -> bool:
        """Queue an RPC of the library's making; they go before messages. False when there is no room."""
        if len(self) >= self.max_size:
            return False
        self._rpcs.append(rpc)
        return True

    def add(self, message_id: bytes, piece: bytes) -> bool:
        """Queue a message. False when there is no room."""
        if len(self) >= self.max_size:
            return False
        self._pieces[message_id] = piece
        return True

    def forget(self, message_id: bytes) -> None:
        """The peer has the message: do not send it."""
        self._pieces.pop(message_id, None)
        self._known[message_id] = None
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def __contains__(self, message_id: bytes) -> bool:
        """Whether the peer has lately shown that it has the message."""
        return message_id in self._known

    def pop(self) -> bytes | None:  # type: ignore[override]
        """The next frame to write, with as many messages as fit; None when nothing waits."""
        if self._rpcs:
            return framed(self._rpcs.popleft().SerializeToString())
        packet = b""
        while self._pieces and len(packet) < PACKET_BYTES:
            packet += self._pieces.pop(next(iter(self._pieces)))
        return framed(packet) if packet else None


def offer(queue: RpcQueue, message_id: bytes, piece: bytes) -> None:
    """Let a message go out to the peer of `queue`, if there is room; what is left out comes by IHAVE and by sync."""
    if not queue.closed and isinstance(queue._queue, Outgoing):
        queue._queue.add(message_id, piece)


def wake(queue: RpcQueue) -> None:
    """Let what waits in `queue` go out, if there is anything."""
    if queue._queue:
        queue._notify.set()
        queue._notify = trio.Event()


def has(queue: RpcQueue, message_id: bytes) -> bool:
    """Whether the peer of `queue` has lately shown that it has the message."""
    return isinstance(queue._queue, Outgoing) and message_id in queue._queue


def withdraw(queue: RpcQueue, message_id: bytes) -> None:
    """The peer of `queue` has the message."""
    if isinstance(queue._queue, Outgoing):
        queue._queue.forget(message_id)
