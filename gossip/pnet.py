"""libp2p's private networks: every byte of a connection under XSalsa20 with a key that both sides hold.

Each side sends 24 random bytes, the nonce of what it sends, and then its bytes, encrypted as one stream
(https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md). Whoever lacks the key sees and can send
random bytes only; that nothing is changed on the way is the business of Noise, which runs inside.
"""

import secrets
import struct
from typing import Final

import trio
from Crypto.Cipher import Salsa20
from libp2p.abc import IRawConnection
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection

NONCE_BYTES: Final = 24
CONSTANTS: Final = struct.unpack("<4I", b"expand 32-byte k")
MASK: Final = 0xFFFFFFFF


def protect(connection: RawConnection | IRawConnection, key_hex: str) -> RawConnection:
    """The same connection under the key (64 hexadecimal digits). In the place of libp2p's `new_protected_conn`.

    Symptom: the library encrypts with Salsa20 under nonces of 8 bytes, so that no other implementation understands it;
    a nonce that arrives in two pieces ends the connection, and asking such a connection for its address raises.
    """
    if not isinstance(connection, RawConnection):
        raise TypeError(f"a {type(connection).__name__} cannot be protected, only a plain connection can")
    return RawConnection(ProtectedStream(connection.stream, bytes.fromhex(key_hex)), connection.is_initiator)


class ProtectedStream(ReadWriteCloser):
    """A byte stream under a key of 32 bytes. The nonce goes out with the first write, or before the first read."""

    def __init__(self, stream: ReadWriteCloser, key: bytes) -> None:
        self._stream = stream
        self._key = key
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._to_peer = xsalsa20(key, self._nonce)
        self._from_peer: Salsa20.Salsa20Cipher | None = None
        self._writing = trio.Lock()

    async def write(self, data: bytes) -> None:
        """Send `data`. Raises what the stream beneath raises."""
        async with self._writing:
            # one piece, and the cipher's place in its stream is that of the bytes on the wire
            first, self._nonce = self._nonce, b""
            await self._stream.write(first + self._to_peer.encrypt(data))

    async def read(self, n: int | None = None) -> bytes:
        """At least one and at most `n` bytes, none at the end; for one reader. Raises what the stream raises."""
        if self._from_peer is None:
            if self._nonce:
                await self.write(b"")  # the other side may wait for the nonce before it says anything
            nonce = b""
            while len(nonce) < NONCE_BYTES:
                piece = await self._stream.read(NONCE_BYTES - len(nonce))
                if not piece:
                    return b""
                nonce += piece
            self._from_peer = xsalsa20(self._key, nonce)
        return self._from_peer.decrypt(await self._stream.read(n))

    async def close(self) -> None:
        """Close the stream beneath."""
        await self._stream.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """The address of the other side."""
        return self._stream.get_remote_address()


def xsalsa20(key: bytes, nonce: bytes) -> Salsa20.Salsa20Cipher:
    """XSalsa20 (key of 32 bytes, nonce of 24): Salsa20 under a key made of the key and the nonce's first 16 bytes.

    D. J. Bernstein, "Extending the Salsa20 nonce" (2011), section 2. libsodium's own is not in PyNaCl's interface, and
    could not go on from one piece to the next.
    """
    return Salsa20.new(key=hsalsa20(key, nonce[:16]), nonce=nonce[16:])


def hsalsa20(key: bytes, block: bytes) -> bytes:
    """HSalsa20: 32 bytes from a key of 32 bytes and a block of 16; once for each direction of a connection."""
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", block)
    c = CONSTANTS
    x = [c[0], *k[:4], c[1], *n, c[2], *k[4:], c[3]]
    for _ in range(10):
        for i in range(4):  # columns
            _quarter(x, 5 * i % 16, (5 * i + 4) % 16, (5 * i + 8) % 16, (5 * i + 12) % 16)
        for i in range(4):  # rows
            _quarter(x, 5 * i, 4 * i + (i + 1) % 4, 4 * i + (i + 2) % 4, 4 * i + (i + 3) % 4)
    return struct.pack("<8I", x[0], x[5], x[10], x[15], *x[6:10])


def _quarter(x: list[int], a: int, b: int, c: int, d: int) -> None:
    for to, one, two, bits in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
        total = (x[one] + x[two]) & MASK
        x[to] ^= (total << bits | total >> (32 - bits)) & MASK
