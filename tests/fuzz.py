"""What strangers' bytes go through, as functions of bytes that raise nothing: hypothesis (test_fuzz.py) and atheris
(scripts/fuzz.py) look for input that makes one raise something else than its named errors."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio
from google.protobuf.message import DecodeError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.noise.io import BaseNoiseMsgReadWriter
from libp2p.security.secure_session import SecureSession

from agent import entries, packed
from gossip import exchange, invite, negentropy
from gossip.frames import ConversationError, Frames
from gossip.guard import origin_of
from gossip.host import AddressError, parse_peer_address
from gossip.incoming import pieces_of
from gossip.items import Items
from gossip.record import KINDS, Record, RecordError, decode, parse
from gossip.wire import LeanYamux
from gossip.yamux import Held
from trainer.errors import RecipeError

NOW_MS: Final = 1_800_000_000_000
ITEMS: Final = Items((1000 + number, bytes([number]) * 32) for number in range(50))
T = TypeVar("T")


def record(data: bytes) -> None:
    """Whatever is read as a record is exactly that record."""
    for read in (lambda: decode(data, NOW_MS), lambda: parse(data)):
        with contextlib.suppress(RecordError):
            assert read().raw == data


def body(data: bytes) -> None:
    """The body of each kind, presence among them."""
    for kind in KINDS:
        with contextlib.suppress(RecordError):
            entries.check(parse(Record(kind, bytes(32), bytes(32), NOW_MS, data, bytes(64)).raw))


def packed_text(data: bytes) -> None:
    """An edited file as a record carries it, with and without a dictionary."""
    for like in ("", "a text"):
        with contextlib.suppress(RecipeError):
            assert len(packed.unpack(data, like).encode()) <= packed.MAX_TEXT_BYTES


def reconciliation(data: bytes) -> None:
    """A Negentropy message, at either end."""
    for step in (negentropy.reply, negentropy.compare):
        with contextlib.suppress(negentropy.BadMessage):
            step(ITEMS, data, limit=64 * 1024)


def frames(data: bytes) -> None:
    """A stream of frames."""

    async def read_all() -> None:
        talk = Frames(_Stream(data), budget=1 << 20)
        try:
            while True:
                assert isinstance(await talk.receive(), list)
        except ConversationError:
            pass

    finish(read_all)


def peer_records(data: bytes) -> None:
    """A signed peer record that another peer passes on."""
    assert list(exchange.read([data])) is not None


def gossip(data: bytes) -> None:
    """A GossipSub RPC, before anything is done with it."""
    rpc = rpc_pb2.RPC()
    try:
        rpc.ParseFromString(data)
        assert pieces_of(rpc, len(data)) > 0
    except DecodeError:
        pass


def muxer(data: bytes) -> None:
    """The frames of a Yamux connection, whose handling ends with it and raises nothing."""

    async def read_all() -> None:
        connection = LeanYamux(_secured(data), ID(b"x"), Held(), lambda peer, why: None, is_initiator=False)
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_drain, connection)
                await connection.handle_incoming()
                nursery.cancel_scope.cancel()

    finish(read_all)


async def _drain(connection: LeanYamux) -> None:
    async for _ in connection.new_stream_receive_channel:
        pass


def text(data: bytes) -> None:
    """What a person pastes, and what an address may be."""
    pasted = data.decode("utf-8", "replace")
    with contextlib.suppress(AddressError):
        parse_peer_address(pasted)
    for whole in (pasted, f"{invite.PREFIX}{pasted}"):
        with contextlib.suppress(invite.InviteError):
            invite.decode(whole, 0.0)
    origin_of(pasted)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (record, body, packed_text, reconciliation, frames, peer_records, gossip, muxer, text)
}


class _Stream:
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        piece, self._data = self._data[:n], self._data[len(self._data[:n]) :]
        return piece

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


class _Clear(BaseNoiseMsgReadWriter):
    """Noise without a cipher."""

    def encrypt(self, data: bytes) -> bytes:
        return data

    def decrypt(self, data: bytes) -> bytes:
        return data


def _secured(data: bytes) -> SecureSession:
    packet = len(data).to_bytes(2, "big") + data if len(data) < 2**16 else data
    return SecureSession(
        local_peer=ID(b"y"),
        local_private_key=None,  # type: ignore[arg-type]
        remote_peer=ID(b"x"),
        remote_permanent_pubkey=None,  # type: ignore[arg-type]
        is_initiator=False,
        conn=_Clear(_Stream(packet), None),  # type: ignore[arg-type]
    )


def finish(run: Callable[[], Awaitable[T]]) -> T:
    """Run an async function to its end."""
    return trio.run(run)
