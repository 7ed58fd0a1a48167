"""Length-prefixed msgpack frames over a libp2p stream, bounded in bytes and time."""

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Protocol

import msgpack
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID

from gossip.reasons import alone
from gossip.upstream import reset

MAX_FRAME: Final = 512 * 1024
FRAME_SECONDS: Final = 20.0
SLACK_SECONDS: Final = 1.0  # more at most: moving a deadline costs more than most frames
HEADER_BYTES: Final = 4


class ConversationError(Exception):
    """A conversation with a peer that did not come to its end."""


class PeerGone(ConversationError):
    """The stream ended, or the peer was silent for too long."""


class PeerBroke(ConversationError):
    """The peer broke the protocol."""


class ByteStream(Protocol):
    """What frames travel on: a libp2p stream, or a test's."""

    async def read(self, n: int | None = None) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


class Frames:
    """One side of a conversation. At most `budget` bytes in each direction; `in_time` bounds its time.

    sent, received: bytes of frames so far.
    """

    def __init__(self, stream: ByteStream, *, budget: int) -> None:
        self._stream = stream
        self._held = bytearray()
        self._budget = budget
        self.sent = 0
        self.received = 0
        self._ahead: trio.MemoryReceiveChannel[list[Any] | ConversationError] | None = None
        self._limit = trio.CancelScope()
        self._end = math.inf

    @contextmanager
    def in_time(self, seconds: float) -> Iterator[None]:
        """Bound what is done inside to `seconds`, and each wait for the peer to FRAME_SECONDS. Raises PeerGone.

        What this side does itself between two frames has as long, and while it reads ahead as long as it takes.
        """
        self._end = trio.current_time() + seconds
        with self._limit:
            self._expect()
            yield
        if self._limit.cancelled_caught:
            if self._limit.deadline < self._end:
                raise PeerGone(f"nothing came or went for {FRAME_SECONDS:.0f} s")
            raise PeerGone(f"not done after {seconds:.0f} s")

    def _expect(self) -> None:
        """The peer's turn: FRAME_SECONDS from now on, or a little more."""
        least = trio.current_time() + FRAME_SECONDS
        if not least <= self._limit.deadline <= least + SLACK_SECONDS:
            self._limit.deadline = min(self._end, least + SLACK_SECONDS)

    def _go_on(self) -> None:
        """This side's turn; while it reads ahead that may mean much work."""
        if self._ahead is None:
            self._expect()
        else:
            self._limit.deadline = self._end

    async def send(self, *message: Any) -> None:
        """Send one frame: a msgpack array. Raises PeerGone, ConversationError when the budget is spent."""
        body = msgpack.packb(message, use_bin_type=True)
        if len(body) > MAX_FRAME:
            raise ValueError(f"a frame of {len(body)} bytes, of at most {MAX_FRAME}")
        self.sent += HEADER_BYTES + len(body)
        if self.sent > self._budget:
            raise ConversationError("the byte budget of this conversation is spent")
        self._expect()
        try:
            await self._stream.write(len(body).to_bytes(HEADER_BYTES, "big") + body)
        except (BaseLibp2pError, trio.TooSlowError) as error:
            raise _ended(error) from error
        self._go_on()

    async def receive(self) -> list[Any]:
        """The next frame, a non-empty array. Raises PeerGone at the end of the stream, PeerBroke for garbage."""
        self._expect()
        frame = await (self._next() if self._ahead is None else self._ahead.receive())
        self._go_on()
        if isinstance(frame, ConversationError):
            raise frame
        return frame

    async def close(self, stream: INetStream) -> None:
        """Close the stream under these frames. Raises PeerGone."""
        self._expect()
        try:
            await stream.close()
        except (BaseLibp2pError, trio.TooSlowError) as error:
            raise _ended(error) from error

    @asynccontextmanager
    async def reading_ahead(self, count: int) -> AsyncIterator[None]:
        """Read up to `count` frames before they are asked for, so that the peer can send while this side works.

        A reader that pauses for five seconds ends a libp2p transfer. Raises what the block raises.
        """
        put, self._ahead = trio.open_memory_channel[list[Any] | ConversationError](count)
        self._go_on()

        async def read() -> None:
            while True:
                try:
                    await put.send(await self._next())
                except ConversationError as error:
                    return await put.send(error)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                yield
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise alone(group)  # noqa: B904 - the same error without its wrapping
        finally:
            self._ahead = None

    async def _next(self) -> list[Any]:
        length = int.from_bytes(await self._exactly(HEADER_BYTES), "big")
        if length > MAX_FRAME:
            raise PeerBroke(f"announced a frame of {length} bytes, of at most {MAX_FRAME}")
        self.received += HEADER_BYTES + length
        if self.received > self._budget:
            raise ConversationError("the byte budget of this conversation is spent")
        body = await self._exactly(length)
        try:
            message = msgpack.unpackb(body, raw=False, use_list=True)
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            raise PeerBroke(f"sent a frame that is not msgpack ({type(error).__name__})") from error
        if not isinstance(message, list) or not message:
            raise PeerBroke("sent a frame that is not an array")
        return message

    async def _exactly(self, count: int) -> bytes:
        while len(self._held) < count:
            try:
                chunk = await self._stream.read(64 * 1024)
            except (BaseLibp2pError, trio.TooSlowError) as error:
                raise _ended(error) from error
            if not chunk:
                raise PeerGone("the stream ended")
            self._held += chunk
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken


def _ended(error: Exception) -> PeerGone:
    return PeerGone(f"the stream ended ({type(error).__name__})")


@asynccontextmanager
async def conversation(stream: INetStream, *, budget: int, seconds: float) -> AsyncIterator[Frames]:
    """Frames over `stream`, which is closed at the end, or reset if the body raises or takes more than `seconds`.

    Raises ConversationError subclasses only, besides what the body raises itself.
    """
    frames = Frames(stream, budget=budget)
    try:
        with frames.in_time(seconds):
            yield frames
            await frames.close(stream)
    except BaseException:
        await reset(stream)
        raise


@asynccontextmanager
async def open_conversation(
    host: BasicHost, peer: ID, protocol: TProtocol, *, budget: int, seconds: float
) -> AsyncIterator[Frames]:
    """Open a stream of `protocol` to a connected peer and converse. Raises ConversationError subclasses."""
    try:
        with trio.fail_after(min(seconds, FRAME_SECONDS)):
            stream = await host.new_stream(peer, [protocol])
    except (BaseLibp2pError, trio.TooSlowError) as error:
        raise PeerGone(f"no stream could be opened ({type(error).__name__})") from error
    async with conversation(stream, budget=budget, seconds=seconds) as frames:
        yield frames
