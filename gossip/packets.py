"""The plain text of a connection under Noise, read and written with as few steps as it takes.

- Symptom: between a Yamux frame and libp2p 0.8.1's socket lie five objects and a lock for each direction; the lock, and
  trio's own `send`, are a turn of the scheduler each, for every packet, even if nobody waits for them.
- Symptom: a Noise packet takes two reads of the socket. Now the socket is read in large pieces, and all packets that
  have come are opened at once.
"""

import contextlib
import os
from typing import Final, Protocol

import trio
from libp2p.abc import ISecureConn
from libp2p.io.exceptions import IncompleteReadError
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.noise.io import BaseNoiseMsgReadWriter
from libp2p.security.secure_session import SecureSession

READ_BYTES: Final = 64 * 1024
LENGTH_BYTES: Final = 2
MAX_PLAIN_BYTES: Final = 65_519  # what a Noise packet holds


class Plain:
    """A connection's plain text; one task reads it, one flushes what could not be sent at once.

    `read` and `flush` raise BaseLibp2pError, OSError or one of trio's errors when the connection has ended.
    """

    def __init__(self, secured: ISecureConn) -> None:
        if not (isinstance(secured, SecureSession) and isinstance(secured.conn, BaseNoiseMsgReadWriter)):
            raise TypeError(f"a connection under {type(secured).__name__}, not under Noise")
        self._noise = secured.conn
        self._bytes: _Bytes = secured.conn.read_writer.read_write_closer
        if isinstance(self._bytes, RawConnection) and isinstance(self._bytes.stream, TrioTCPStream):
            self._bytes = _Socket(self._bytes.stream.stream.socket)
        self._opened = secured._drain(None)  # what came in one packet with the end of the negotiation
        self._held = bytearray()
        self._sealed = bytearray()

    async def read(self) -> bytes:
        """All that has come, at least one byte."""
        opened, self._opened = self._opened, b""
        while not opened:
            piece = await self._bytes.read(READ_BYTES)
            if not piece:
                raise IncompleteReadError(
                    "the connection has ended", expected_bytes=LENGTH_BYTES, received_bytes=len(self._held)
                )
            self._held += piece
            opened = self._open()
        return opened

    def _open(self) -> bytes:
        held, start = self._held, 0
        texts: list[bytes] = []
        while (body := start + LENGTH_BYTES) <= len(held):
            end = body + int.from_bytes(held[start:body], "big")
            if end > len(held):
                break
            texts.append(self._noise.decrypt(bytes(held[body:end])))
            start = end
        del held[:start]
        return texts[0] if len(texts) == 1 else b"".join(texts)

    @property
    def unsent(self) -> int:
        """How many bytes wait for `flush`."""
        return len(self._sealed)

    def send(self, data: bytes) -> None:
        """Send as much of `data` as the socket takes now; the rest is left for `flush`."""
        waiting = bool(self._sealed)
        for start in range(0, len(data), MAX_PLAIN_BYTES):
            packet = self._noise.encrypt(data[start : start + MAX_PLAIN_BYTES])
            self._sealed += len(packet).to_bytes(LENGTH_BYTES, "big") + packet
        if not waiting and isinstance(self._bytes, _Socket):
            with contextlib.suppress(OSError, trio.ClosedResourceError):  # flush will meet the same
                del self._sealed[: self._bytes.send(self._sealed)]

    async def flush(self) -> None:
        """Send all that waits; whoever is cancelled meanwhile has broken the connection."""
        while self._sealed:
            piece = bytes(self._sealed)
            await self._bytes.write(piece)
            del self._sealed[: len(piece)]


class _Bytes(Protocol):
    async def read(self, n: int | None = None) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


class _Socket:
    """A socket, without turns of the scheduler but those that wait."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self._socket = socket

    async def read(self, n: int | None = None) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._number())
            try:
                return os.read(self._number(), n or READ_BYTES)
            except BlockingIOError:
                continue  # the kernel had dropped a packet with a false checksum, say

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """How many bytes went out. Raises OSError."""
        try:
            return os.write(self._number(), data)
        except BlockingIOError:
            return 0

    async def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            await trio.lowlevel.wait_writable(self._number())
            left = left[self.send(left) :]

    def _number(self) -> int:
        """The descriptor, asked for each time: a closed socket's may be another file's by now."""
        number = self._socket.fileno()
        if number < 0:
            raise trio.ClosedResourceError("this node has closed the connection")
        return number
