"""What comes from one peer over GossipSub: RPCs cut from its stream, and weighed.

What is weighed is a piece: a message, a control entry, IDS_A_PIECE ids, or PIECE_BYTES.
"""

from typing import Final

from google.protobuf.message import DecodeError
from libp2p.abc import INetStream
from libp2p.exceptions import ParseError
from libp2p.io.exceptions import MessageTooLarge
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.stream.net_stream import NetStream
from libp2p.pubsub.pb import rpc_pb2
from libp2p.stream_muxer.exceptions import MuxedStreamEOF
from libp2p.utils.varint import decode_varint_with_size

READ_BYTES: Final = 64 * 1024
MAX_LENGTH_BYTES: Final = 5
PIECE_BYTES: Final = 1024
IDS_A_PIECE: Final = 10
MAX_SUBSCRIPTIONS: Final = 16
MAX_CONTROL_ENTRIES: Final = 256
MAX_IDS_PER_RPC: Final = 5000


class Frames:
    """The RPCs of a stream, cut from large pieces of it.

    Symptom: each of the three or four small reads of an RPC sends its own window update, and its length is read byte
    by byte; 4.4 ms of CPU time per delivered message instead of 2.8.
    """

    def __init__(self, stream: INetStream, max_bytes: int) -> None:
        self._stream = stream.muxed_stream if isinstance(stream, NetStream) else stream
        self._max_bytes = max_bytes
        self._held = bytearray()

    async def next(self) -> bytes:
        """The next RPC. Raises StreamEOF at the end, MessageTooLarge and ParseError for what no peer should send."""
        while (found := self._find()) is None:
            try:
                self._held += await self._stream.read(READ_BYTES)
            except MuxedStreamEOF as error:
                raise StreamEOF from error
        start, end = found
        frame = bytes(self._held[start:end])
        del self._held[:end]
        return frame

    def _find(self) -> tuple[int, int] | None:
        """Where the first RPC that is held begins and ends, if it is whole."""
        head = bytes(self._held[:MAX_LENGTH_BYTES])
        size, start = decode_varint_with_size(head)
        if not start or head[start - 1] & 0x80:
            if len(head) == MAX_LENGTH_BYTES:
                raise ParseError(f"a length of more than {MAX_LENGTH_BYTES} bytes")
            return None
        if size > self._max_bytes:
            raise MessageTooLarge(f"{size} bytes at once, of at most {self._max_bytes}")
        return (start, start + size) if len(self._held) >= start + size else None


def pieces_of(rpc: rpc_pb2.RPC, size: int) -> int:
    """How many pieces there are in an RPC of `size` bytes. Raises DecodeError for one that no honest peer sends."""
    if not rpc.HasField("control") and len(rpc.subscriptions) <= MAX_SUBSCRIPTIONS:
        return 1 + len(rpc.publish) + len(rpc.subscriptions) + size // PIECE_BYTES
    control = rpc.control
    entries = len(control.ihave) + len(control.iwant) + len(control.graft) + len(control.prune) + len(control.idontwant)
    ids = sum(len(entry.messageIDs) for part in (control.ihave, control.iwant, control.idontwant) for entry in part)
    if len(rpc.subscriptions) > MAX_SUBSCRIPTIONS or entries > MAX_CONTROL_ENTRIES or ids > MAX_IDS_PER_RPC:
        raise DecodeError(f"{len(rpc.subscriptions)} subscriptions, {entries} control entries and {ids} ids at once")
    return 1 + len(rpc.publish) + len(rpc.subscriptions) + entries + ids // IDS_A_PIECE + size // PIECE_BYTES
