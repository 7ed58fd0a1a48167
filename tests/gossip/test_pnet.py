"""A private swarm over real sockets: holders of the key are one network, all others see and send noise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.pnet.protector import new_protected_conn
from nacl.bindings import crypto_secretbox

from gossip import upstream
from gossip.events import PeerConnected, RecordArrived, Trouble
from gossip.pnet import ProtectedStream, hsalsa20, xsalsa20
from gossip.record import Record
from gossip.swarmkey import SwarmKey, new_swarm_key
from tests.gossip.nodes import Node, field_of_nodes, node

WORDS = (b"multistream", b"/noise", b"yamux", b"meshsub", b"arnode", b"secret-plans", b"the-swarm-name")


def test_hsalsa20_is_that_of_its_paper() -> None:
    """The example of section 8 of "Cryptography in NaCl" (D. J. Bernstein, 2009)."""
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    block = bytes.fromhex("69696ee955b62b73cd62bda875fc73d6")
    assert hsalsa20(key, block).hex() == "dc908dda0b9344a953629b733820778880f3ceb421bb61b91cbd4c3e66256ce4"


@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=24, max_size=24),
    pieces=st.lists(st.binary(max_size=200), max_size=8),
)
def test_xsalsa20_in_pieces_is_libsodiums_in_one(key: bytes, nonce: bytes, pieces: list[bytes]) -> None:
    cipher = xsalsa20(key, nonce)
    cipher.encrypt(bytes(32))  # secretbox spends the first 32 bytes of the stream on its authenticator
    assert b"".join(map(cipher.encrypt, pieces)) == crypto_secretbox(b"".join(pieces), nonce, key)[16:]


class _Pipe:
    """A byte stream that hands out what it was given, so many bytes at a time."""

    def __init__(self, held: bytes = b"", at_once: int = 1 << 20) -> None:
        self.held = held
        self.sent: list[bytes] = []
        self._at_once = at_once

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        size = min(self._at_once, len(self.held) if n is None else n)
        piece, self.held = self.held[:size], self.held[size:]
        return piece

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(data)


async def test_a_stream_arrives_whole_however_it_is_cut() -> None:
    key = bytes(range(32))
    out = _Pipe()
    sender = ProtectedStream(out, key)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:  # writers at once: each piece stays whole
        for number in range(50):
            nursery.start_soon(sender.write, bytes([number]) * 100)
    wire = b"".join(out.sent)
    assert len(wire) == 24 + 5000
    receiver = ProtectedStream(_Pipe(wire, at_once=7), key)  # type: ignore[arg-type]
    text = b""
    while piece := await receiver.read(64):
        text += piece
    assert sorted(text[start : start + 100] for start in range(0, 5000, 100)) == [bytes([n]) * 100 for n in range(50)]


async def test_the_nonce_goes_out_before_the_first_read_and_an_end_within_it_is_an_end() -> None:
    pipe = _Pipe(bytes(23))
    stream = ProtectedStream(pipe, bytes(32))  # type: ignore[arg-type]
    assert await stream.read(10) == b""
    assert [len(piece) for piece in pipe.sent] == [24]


async def test_the_bare_library_is_not_what_the_specification_says() -> None:
    pipe = _Pipe()
    bare = new_protected_conn(RawConnection(pipe, True), "00" * 32)  # type: ignore[arg-type]
    await bare.write(b"hello")
    assert [len(piece) for piece in pipe.sent] == [8, 5]
    with pytest.raises(AttributeError):
        bare.get_transport_addresses()


class _Tap:
    """A TCP relay that keeps what passes."""

    def __init__(self, target: int) -> None:
        self.seen = bytearray()
        self._target = target

    async def serve(self, inbound: trio.SocketStream) -> None:
        outbound = await trio.open_tcp_stream("127.0.0.1", self._target)
        async with inbound, outbound, trio.open_nursery() as nursery:
            nursery.start_soon(self._pass, inbound, outbound)
            await self._pass(outbound, inbound)
            nursery.cancel_scope.cancel()

    async def _pass(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            async for chunk in source:
                self.seen += chunk
                await sink.send_all(bytes(chunk))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


@asynccontextmanager
async def tapped(address: str) -> AsyncIterator[tuple[str, _Tap]]:
    """The same peer through a relay; the address to dial, and what was overheard."""
    _, _, ip, _, port, *rest = address.split("/")
    tap = _Tap(int(port))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, tap.serve, 0)
        taken = listeners[0].socket.getsockname()[1]
        yield "/".join(["", "ip4", ip, "tcp", str(taken), *rest]), tap
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("private", [True, False])
async def test_who_listens_on_the_line_sees_noise_in_a_private_swarm_only(private: bool, tmp_path: Path) -> None:
    key = new_swarm_key() if private else None
    swarm = "the-swarm-name"
    async with node(tmp_path / "a", swarm=swarm, key=key) as one, tapped(one.network.addresses[0]) as (address, tap):
        async with node(tmp_path / "b", swarm=swarm, key=key, bootstrap=[address]) as two:
            await one.until_heard_by(1)
            await two.until_heard_by(1)
            said = await one.say()
            await two.until(lambda: _got(two, said))
        overheard = bytes(tap.seen)
    assert len(overheard) > 2000
    assert [word for word in (*WORDS, said.body) if word in overheard] == (
        [] if private else [b"multistream", b"/noise"]
    )


def keys() -> list[tuple[SwarmKey | None, SwarmKey | None]]:
    one, other = new_swarm_key(), new_swarm_key()
    return [(one, other), (one, None), (None, one)]


@pytest.mark.parametrize(("here", "there"), keys(), ids=["wrong key", "dialler without", "listener without"])
async def test_without_the_same_key_nobody_connects_and_the_others_go_on(
    here: SwarmKey | None, there: SwarmKey | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "HANDSHAKE_SECONDS", 0.7)
    async with field_of_nodes(tmp_path) as field:
        member = await field.start("member", key=here)
        stranger = await field.start("stranger", key=there, bootstrap=member.network.addresses)
        await stranger.until(lambda: bool(stranger.all(Trouble)))
        friend = await field.start("friend", key=here, bootstrap=member.network.addresses)
        await friend.until(lambda: bool(friend.all(PeerConnected)))
        await member.until_heard_by(1)
        await friend.until_heard_by(1)
        said = await member.say()
        await friend.until(lambda: _got(friend, said))
        assert {event.peer.peer for event in member.all(PeerConnected)} == {friend.peer}
        assert stranger.all(PeerConnected) == []
        assert not any(isinstance(event, RecordArrived) for event in stranger.heard)


@pytest.mark.parametrize("opening", [b"", b"\x13/multistream/1.0.0\n", bytes(24), bytes(2000), b"\xff" * 2000], ids=len)
async def test_a_stranger_gets_random_bytes_and_is_hung_up_on_in_time(
    opening: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "HANDSHAKE_SECONDS", 0.7)
    key = new_swarm_key()
    async with node(tmp_path / "a", key=key) as member:
        port = int(member.network.addresses[0].split("/")[4])
        answers: list[bytes] = []
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(_call, port, opening, answers)
        assert len(answers) == 2
        assert all(len(answer) >= 24 for answer in answers)
        assert answers[0][:24] != answers[1][:24]
        assert not any(word in answer for word in WORDS for answer in answers)
        assert member.all(PeerConnected) == []


async def _call(port: int, opening: bytes, answers: list[bytes]) -> None:
    with trio.fail_after(30):
        async with await trio.open_tcp_stream("127.0.0.1", port) as line:
            await line.send_all(opening)
            answers.append(await _all_of(line))


async def _all_of(line: trio.SocketStream) -> bytes:
    answer = b""
    try:
        async for chunk in line:
            answer += chunk
    except trio.BrokenResourceError:
        pass  # hung up with bytes unread
    return answer


async def test_strangers_do_not_use_up_the_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "HANDSHAKE_SECONDS", 0.7)
    key = new_swarm_key()
    async with node(tmp_path / "a", key=key) as member:
        port = int(member.network.addresses[0].split("/")[4])
        async with trio.open_nursery() as nursery:
            for _ in range(300):
                nursery.start_soon(_call, port, b"\x13/multistream/1.0.0\n", [])
        async with node(tmp_path / "b", key=key, bootstrap=member.network.addresses) as friend:
            await friend.until(lambda: bool(friend.all(PeerConnected)))


def _got(node: Node, record: Record) -> bool:
    return any(isinstance(event, RecordArrived) and event.record == record for event in node.heard)
