"""Each way in which a peer cannot be reached, by the real thing, and each told from the others."""

import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost

from gossip import probe as probing
from gossip import sync
from gossip.clock import now_ms
from gossip.frames import PeerGone, conversation
from gossip.host import ListenError, peer_id_of
from gossip.identity import new_identity
from gossip.probe import dialback, probe
from gossip.swarmkey import new_swarm_key
from tests.e2e.processes import ROOT
from tests.gossip import bare
from tests.gossip.nodes import node

SOMEBODY = peer_id_of(new_identity().author)


def at(port: int, peer: str = SOMEBODY, host: str = "/ip4/127.0.0.1") -> str:
    return f"{host}/tcp/{port}/p2p/{peer}"


@asynccontextmanager
async def program(serve: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """Another program on a port; the address of a peer that should be there."""
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield at(listener.socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def test_a_node_of_the_swarm_is_fine_by_address_and_by_name(tmp_path: Path) -> None:
    async with node(tmp_path / "a") as a:
        address = a.network.addresses[0]
        found = await probe(address, "test")
        assert (found.outcome, found.address) == ("fine", address)
        assert found.agent
        assert found.round_trip_ms is not None
        assert found.round_trip_ms >= 0
        named = address.replace("/ip4/127.0.0.1", "/dns4/localhost")
        assert (await probe(named, "test")).outcome == "fine"


async def test_another_swarm_says_its_name_and_another_peer_its_id(tmp_path: Path) -> None:
    async with node(tmp_path / "a") as a:
        port = int(a.network.addresses[0].split("/")[4])
        wrong = await probe(at(port), "test")
        assert (wrong.outcome, wrong.told) == ("wrong_peer", a.peer)
        other = await probe(at(port, a.peer), "elsewhere")
        assert (other.outcome, other.told) == ("other_swarm", "test")


async def test_keys_of_private_swarms_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "STEP_SECONDS", 1.0)
    key = new_swarm_key()
    async with node(tmp_path / "a", key=key) as private, node(tmp_path / "b") as public:
        assert (await probe(private.network.addresses[0], "test", key)).outcome == "fine"
        assert (await probe(private.network.addresses[0], "test")).outcome == "private"
        assert (await probe(private.network.addresses[0], "test", new_swarm_key())).outcome == "private"
        assert (await probe(public.network.addresses[0], "test", key)).outcome == "public"


async def test_a_closed_port_is_refused() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert (await probe(at(closed.getsockname()[1]), "test")).outcome == "refused"


async def test_a_port_that_drops_everything_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "STEP_SECONDS", 0.5)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # the queue is full, so what comes is dropped
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        assert (await probe(at(full.getsockname()[1]), "test")).outcome == "timeout"
        for one in waiting:
            one.close()


def test_an_address_without_a_way_to_it_is_told_so() -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-n", "true"], check=False).returncode:
        pytest.skip("a network namespace needs `unshare` and root")
    program = (
        f"import trio; from gossip.probe import probe; print(trio.run(probe, {at(9, host='/ip4/192.0.2.1')!r}, 'x'))"
    )
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "outcome='no_route'" in done.stdout


async def test_a_name_that_does_not_resolve_is_told_and_soon() -> None:
    with trio.fail_after(20):
        found = await probe(at(4477, host="/dns4/nobody.invalid"), "test")
    assert found.outcome == "name"
    assert "nobody.invalid" in found.told


@pytest.mark.parametrize(
    "text", ["", "garbage", "10.0.0.1:4477", "/ip4/127.0.0.1/tcp/1", "/ip4/1.2.3.4/udp/9/p2p/x", "\x1b[2J"]
)
async def test_what_is_no_address_is_told_so(text: str) -> None:
    assert (await probe(text, "test")).outcome == "bad_address"


async def test_another_program_is_quoted() -> None:
    async def speak_http(stream: trio.SocketStream) -> None:
        await stream.receive_some(100)
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with program(speak_http) as address:
        found = await probe(address, "test")
    assert (found.outcome, found.told) == ("not_libp2p", "HTTP/1.1 400 Bad Request")


async def test_a_program_that_hangs_up_and_one_that_is_mute_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.aclose()

    async def be_mute(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(probing, "STEP_SECONDS", 0.5)
    async with program(hang_up) as one, program(be_mute) as other:
        assert (await probe(one, "test")).outcome == "closed"
        assert (await probe(other, "test")).outcome == "silent"


async def test_broken_noise_is_told_from_another_program() -> None:
    async def garble(stream: trio.SocketStream) -> None:
        await stream.send_all(b"\x13/multistream/1.0.0\n")
        await stream.receive_some(1000)
        await stream.send_all(b"\x07/noise\n\x00\x60" + bytes(0x60))
        await stream.receive_some(1000)

    async with program(garble) as address:
        assert (await probe(address, "test")).outcome == "noise"


@asynccontextmanager
async def answering(*reply: Any) -> AsyncIterator[str]:
    """A libp2p host that answers every hello so."""

    async def follow(stream: INetStream) -> None:
        async with conversation(stream, budget=10_000, seconds=10) as frames:
            await frames.receive()
            await frames.send(*reply)

    async with bare.running(bare.stranger(), bare.ANY) as host:
        host.set_stream_handler(TProtocol(sync.PROTOCOL), follow)
        yield _address(host)


def _address(host: BasicHost) -> str:
    port = host.get_transport_addrs()[0].value_for_protocol("tcp")
    return at(int(str(port)), host.get_id().to_base58())


@pytest.mark.parametrize(
    ("reply", "outcome", "told"),
    [
        (["refuse", "version", 7], "other_version", "7"),
        (["refuse", "busy"], "busy", ""),
        (["refuse", "swarm", "x" * 1000], "other_swarm", "x" * 64),
        (["hello", sync.VERSION, "other", 1, {"archive": False}], "other_swarm", "other"),
        (["hello", sync.VERSION + 1, "test"], "other_version", str(sync.VERSION + 1)),
        (["good day"], "not_arnode", "it did not say hello"),
        (["hello", "one", None], "not_arnode", "it did not say hello"),
    ],
)
async def test_answers_to_the_hello_are_told_apart(reply: list[Any], outcome: str, told: str) -> None:
    async with answering(*reply) as address:
        found = await probe(address, "test")
    assert (found.outcome, found.told) == (outcome, told)


async def test_the_clocks_difference_is_read_from_the_hello() -> None:
    async with answering("hello", sync.VERSION, "test", now_ms() + 3_600_000, {"archive": False}) as address:
        found = await probe(address, "test")
    assert found.outcome == "fine"
    assert found.offset_ms is not None
    assert abs(found.offset_ms - 3_600_000) < 10_000


async def test_a_nodes_clock_that_is_ahead_is_seen(tmp_path: Path) -> None:
    async with node(tmp_path / "a", clock=lambda: now_ms() + 300_000) as a:
        found = await probe(a.network.addresses[0], "test")
        assert found.offset_ms is not None
        assert abs(found.offset_ms - 300_000) < 10_000


async def test_a_libp2p_node_without_our_protocol_is_no_arnode() -> None:
    async with bare.running(bare.stranger(), bare.ANY) as host:
        assert (await probe(_address(host), "test")).outcome == "not_arnode"


async def test_a_peer_dials_back_to_where_somebody_listens_and_to_a_running_node(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with node(tmp_path / "a") as a, node(tmp_path / "b") as b:
        assert not (await dialback(a.network.addresses[0], port, None, [f"/ip4/127.0.0.1/tcp/{port}"])).failure
        assert "no TCP connection" in (await dialback(a.network.addresses[0], port)).failure
        of_running = await dialback(a.network.addresses[0], int(b.network.addresses[0].split("/")[4]))
        assert of_running.failure.startswith("TCP connects")
        with pytest.raises(ListenError, match="in use"):
            await dialback(a.network.addresses[0], 1, None, [b.network.addresses[0].rpartition("/p2p/")[0]])
        with pytest.raises(PeerGone):
            await dialback(at(port), port)
