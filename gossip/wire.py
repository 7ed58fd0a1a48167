"""Yamux over Noise in fewer steps: what libp2p 0.8.1 spends most of a delivered message's CPU time on, mended.

The library's classes are kept; `LeanYamux` and `LeanStream` replace their reading and writing. What travels is the same
Yamux (https://github.com/hashicorp/yamux/blob/master/spec.md). tests/gossip/test_wire.py counts the symptoms in the
bare library.

- Symptom: every read of a stream sends a window update, a frame of its own that is encrypted, sent, received, decrypted
  and handled: half of all frames. Credit is now given back by half windows, as the specification asks.
- Symptom: a Yamux frame takes two reads of the session. Now frames are cut from all that came (gossip/packets.py).
- Symptom: a frame passes four locks, each of which is a turn of trio's scheduler; every frame has its text for the log
  made, logged or not. A frame now goes out at once, and what the socket does not take goes out together, by a task.
- Symptom: a write that is cancelled half-way breaks the connection, since the cipher has gone on and the bytes have
  not. Whoever is cancelled now leaves whole frames to that task.
- Symptom: a sender gives up after five seconds of a closed window, so a receiver that pauses loses the transfer; while
  it waits, it looks a hundred times a second.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

import trio
from libp2p.abc import IMuxedConn, ISecureConn
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError, MuxedStreamReset
from libp2p.stream_muxer.yamux.yamux import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    HEADER_SIZE,
    MAX_MESSAGE_SIZE,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
    Yamux,
    YamuxStream,
    logger,
)

from gossip.packets import Plain
from gossip.yamux import MAX_FRAME, Bounds, BrokenMuxing, Held

MAX_UNSENT_BYTES: Final = 256 * 1024
CLOSED_WINDOW_SECONDS: Final = 30.0
FRAME_SECONDS: Final = 60.0
FAREWELL_SECONDS: Final = 1.0

_HEADER: Final = struct.Struct(YAMUX_HEADER_FORMAT)


def use_for(swarm: Swarm, blame: Callable[[ID, str], object]) -> None:
    """Let every connection of `swarm` be a LeanYamux; `blame` hears of peers that break the bounds of gossip/yamux.py.

    Symptom: whatever muxer class is given to `new_host`, a connection gets the library's Yamux.
    """
    muxers = swarm.upgrader.muxer_multistream
    held = Held()

    async def new_conn(secured: ISecureConn, peer: ID) -> IMuxedConn:
        protocol, _ = await muxers._selector.select(secured, secured.is_initiator, muxers.negotiate_timeout)
        made = LeanYamux(secured, peer, held, blame, is_initiator=secured.is_initiator)
        return muxers._annotate_connection(made, secured, protocol)

    vars(muxers)["new_conn"] = new_conn


class LeanStream(YamuxStream):
    """One stream. Reads and writes take no lock, since nothing is awaited between looking and acting."""

    conn: "LeanYamux"

    def __init__(self, stream_id: int, conn: "LeanYamux", is_initiator: bool) -> None:
        super().__init__(stream_id, conn, is_initiator)
        # what has come can be read even after the connection has ended, which empties the table
        self._arrived = conn.stream_buffers.setdefault(stream_id, bytearray())

    async def write(self, data: bytes) -> None:
        """Send all of `data`. Raises MuxedStreamError when the stream ends, or the peer takes nothing for long."""
        sent = 0
        while sent < len(data):
            if self.send_window <= 0 and not self.closed:
                await self._wait_for_window()
            if self.send_closed or self.closed:
                raise MuxedStreamError("the stream is closed")
            size = min(self.send_window, MAX_MESSAGE_SIZE - HEADER_SIZE, len(data) - sent)
            self.send_window -= size
            frame = _HEADER.pack(0, TYPE_DATA, 0, self.stream_id, size) + data[sent : sent + size]
            sent += size
            await self.conn._write_frame(frame)

    async def _wait_for_window(self) -> None:
        with trio.move_on_after(CLOSED_WINDOW_SECONDS):
            while self.send_window <= 0 and not self.closed:
                await self._wait_for_frame()
            return
        raise MuxedStreamError(f"the peer has read nothing for {CLOSED_WINDOW_SECONDS:.0f} s")

    async def read(self, n: int | None = -1) -> bytes:
        """At least one byte, at most `n`; whatever is there for -1 or None. Raises MuxedStreamEOF, MuxedStreamReset."""
        buffer = self._arrived
        while not buffer:
            if self.reset_received:
                raise MuxedStreamReset("the stream was reset")
            if self.recv_closed or self.stream_id not in self.conn.streams:
                raise MuxedStreamEOF("the stream has ended")
            await self._wait_for_frame()
        if n is None or n < 0 or n >= len(buffer):
            data = bytes(buffer)
            buffer.clear()
        else:
            data = bytes(buffer[:n])
            del buffer[:n]
        if self.closed:
            self.conn._finalize_stream_locked(self, fully_closed=True)
        elif not self.recv_closed:
            await self._give_credit(len(data), len(buffer))
        return data

    async def _wait_for_frame(self) -> None:
        """Wait until a frame of this stream has come, or the stream has ended here."""
        events = self.conn.stream_events
        event = events.get(self.stream_id)
        if event is not None:
            await event.wait()
            if events.get(self.stream_id) is event:
                events[self.stream_id] = trio.Event()

    async def reset(self) -> None:
        """End the stream both ways at once; whoever reads or writes it is woken."""
        event = self.conn.stream_events.get(self.stream_id)
        await super().reset()
        if event is not None:
            event.set()

    async def _give_credit(self, taken: int, left: int) -> None:
        self._pending_recv_release += taken
        if self._pending_recv_release >= self.target_recv_window // 2:
            credit, self._pending_recv_release = self._pending_recv_release, 0
            self.recv_window += credit
            await self.send_window_update(credit + self._apply_autotune_epoch(left))


class LeanYamux(Yamux):
    """One connection: a task cuts frames from what comes, another sends what the socket did not take at once."""

    streams: dict[int, LeanStream]  # type: ignore[assignment]

    def __init__(
        self, secured_conn: ISecureConn, peer_id: ID, held: Held, blame: Callable[[ID, str], object], **options: Any
    ) -> None:
        super().__init__(secured_conn, peer_id, **options)
        self._bounds = Bounds(self, held)
        self._blame = blame
        self._news = trio.Event()
        self._sent = trio.Event()
        self._failed = False
        self._plain = Plain(secured_conn)

    async def _handle_incoming_with_ready_signal(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._flush)
                await self.handle_incoming()
                nursery.cancel_scope.cancel()
        finally:
            if self._nursery is not None:
                self._nursery.cancel_scope.cancel()

    # ---- writing ----

    async def _write_frame(self, data: bytes) -> None:
        """Send a frame, or leave it to the flushing task; wait while much is unsent, for a farewell until it is out.

        Raises ConnectionClosedError.
        """
        if self._failed:
            raise ConnectionClosedError("the connection has ended", transport="tcp")
        self._plain.send(data)
        if self._plain.unsent:
            self._news.set()
            if data[1] == TYPE_GO_AWAY:
                with trio.move_on_after(FAREWELL_SECONDS):
                    await self._until_unsent(0)
            else:
                await self._until_unsent(MAX_UNSENT_BYTES)

    async def _until_unsent(self, at_most: int) -> None:
        while self._plain.unsent > at_most and not self._failed:
            await self._sent.wait()

    async def _flush(self) -> None:
        try:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                await self._plain.flush()
                self._sent.set()
                self._sent = trio.Event()
        except (BaseLibp2pError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            await self.secured_conn.close()  # the reading task sees it, and cleans up
        finally:
            self._failed = True
            self._sent.set()

    # ---- reading ----

    async def handle_incoming(self) -> None:
        """Read frames until the connection ends, from either side or by a broken frame; then clean up."""
        try:
            await self._read_frames()
        except BrokenMuxing as error:
            self._blame(self.peer_id, f"it {error}")
        except Exception as error:  # noqa: BLE001 - however it ended, whoever waits on the connection is told below
            logger.debug("connection to %s ended: %r", self.peer_id, error)
        with trio.CancelScope(shield=True):
            await self._cleanup_on_error()

    async def _read_frames(self) -> None:
        held = bytearray()
        while not self.event_shutting_down.is_set():
            if held:
                with trio.fail_after(FRAME_SECONDS):
                    held += await self._plain.read()
            else:
                held += await self._plain.read()
            start, now = 0, trio.current_time()
            while len(held) - start >= HEADER_SIZE:
                version, kind, flags, stream_id, length = _HEADER.unpack_from(held, start)
                body = start + HEADER_SIZE
                end = body + length if kind == TYPE_DATA else body
                if version != 0 or kind > TYPE_GO_AWAY or end - body > MAX_FRAME:
                    raise BrokenMuxing(f"sent a frame of version {version}, type {kind}, {length} bytes")
                if end > len(held):
                    break
                delay = self._bounds.see(kind, flags, stream_id, length, now)
                if delay:
                    await trio.sleep(delay)
                if kind == TYPE_PING:
                    await self._on_ping(flags, length)
                elif kind == TYPE_GO_AWAY:
                    return
                else:
                    await self._on_stream(kind, flags, stream_id, length, bytes(held[body:end]))
                start = end
            del held[:start]

    async def _on_ping(self, flags: int, value: int) -> None:
        if flags & FLAG_SYN:
            await self._write_frame(_HEADER.pack(0, TYPE_PING, FLAG_ACK, 0, value))
        elif flags & FLAG_ACK:
            seconds = trio.current_time() - self._ping_sent_time
            self._rtt = (self._rtt + seconds) / 2 if self._rtt else seconds
            self._ping_event.set()

    async def _on_stream(self, kind: int, flags: int, stream_id: int, length: int, data: bytes) -> None:
        stream = self.streams.get(stream_id)
        opened = stream is None and bool(flags & FLAG_SYN)
        if flags & FLAG_SYN and stream is not None:
            await self._write_frame(_HEADER.pack(0, TYPE_WINDOW_UPDATE, FLAG_RST, stream_id, 0))
            return
        if stream is None:
            if not opened:
                return
            stream = self._new_stream(stream_id, is_initiator=False)
        if kind == TYPE_DATA:
            self.stream_buffers[stream_id] += data
            stream.recv_window -= length
        else:
            stream.send_window += length
        if flags & FLAG_FIN:
            stream.recv_closed = True
            stream.closed = stream.closed or stream.send_closed
        if flags & FLAG_RST:
            stream.closed = stream.reset_received = True
        self.stream_events[stream_id].set()
        if stream.closed:
            self._finalize_stream_locked(stream, fully_closed=True)
        if opened:
            if not stream.reset_received:
                await self._write_frame(_HEADER.pack(0, TYPE_WINDOW_UPDATE, FLAG_ACK, stream_id, 0))
            await self.new_stream_send_channel.send(stream)

    # ---- opening ----

    async def open_stream(self) -> YamuxStream:
        """Open a stream. Raises MuxedStreamError when the connection is ending."""
        await self.stream_backlog_semaphore.acquire()
        if self.event_shutting_down.is_set() or self._failed:
            self.stream_backlog_semaphore.release()
            raise MuxedStreamError("the connection is ending")
        stream = self._new_stream(self.next_stream_id, is_initiator=True)
        stream._owns_backlog_slot = True
        self.next_stream_id += 2
        await self._write_frame(_HEADER.pack(0, TYPE_WINDOW_UPDATE, FLAG_SYN, stream.stream_id, 0))
        return stream

    def _new_stream(self, stream_id: int, *, is_initiator: bool) -> LeanStream:
        stream = LeanStream(stream_id, self, is_initiator)
        self.streams[stream_id] = stream
        self.stream_events[stream_id] = trio.Event()
        return stream
