"""Dialling back: who is dialable is told so, and nobody can be made to dial a third party or to dial often."""

import socket
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

from gossip import reach
from gossip.frames import ConversationError, Frames
from gossip.host import parse_peer_address
from gossip.reach import Declined, Dialable, DialLimits, ask_dialback
from tests.gossip import bare
from tests.gossip.nodes import node


async def test_a_listening_node_is_told_that_it_is_dialable_and_a_silent_port_that_it_is_not(tmp_path: Path) -> None:
    async with node(tmp_path / "a") as a, bare.running(bare.stranger(), bare.ANY) as host:
        peer, address = parse_peer_address(a.network.addresses[0])
        await host.connect(PeerInfo(peer, [address]))
        port = host.get_transport_addrs()[0].value_for_protocol("tcp")
        assert await ask_dialback(host, peer) == Dialable(f"/ip4/127.0.0.1/tcp/{port}")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            refused = await ask_dialback(host, peer, closed.getsockname()[1])
            assert "no TCP connection" in refused.failure
        other = parse_peer_address(a.network.addresses[0])[1].value_for_protocol("tcp")
        assert "not this peer" in (await ask_dialback(host, peer, int(other))).failure
        with pytest.raises(Declined):
            await ask_dialback(host, peer)
        assert len(a.network.peers()) == 1


async def test_an_asker_is_seen_at_its_address_over_ipv6_too(tmp_path: Path) -> None:
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    loopback = "/ip6/::1/tcp/0"
    async with node(tmp_path / "a", listen=[loopback]) as a, bare.running(bare.stranger(), Multiaddr(loopback)) as host:
        peer, address = parse_peer_address(a.network.addresses[0])
        await host.connect(PeerInfo(peer, [address]))
        assert await ask_dialback(host, peer) == Dialable(str(host.get_transport_addrs()[0]))


def _has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.parametrize("question", [["dial?", 22], ["dial?", 65536], ["dial?", "x"], ["dial?", 5000, "192.0.2.1"]])
async def test_a_question_about_anything_but_a_port_of_ones_own_is_not_answered(
    question: list[object], tmp_path: Path
) -> None:
    async with node(tmp_path / "a") as a, bare.running(bare.stranger()) as host:
        peer, address = parse_peer_address(a.network.addresses[0])
        await host.connect(PeerInfo(peer, [address]))
        stream = await host.new_stream(peer, [reach.PROTOCOL])
        frames = Frames(stream, budget=1 << 16)
        await frames.send(*question)
        with pytest.raises(ConversationError):
            await frames.receive()
        await a.until(lambda: str(host.get_id()) in a.network._admission.guard._peers)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 5)), max_size=200))
def test_nobody_is_dialled_back_more_often_than_the_limits_say(asks: list[tuple[int, float]]) -> None:
    limits, now = DialLimits(), 0.0
    allowed: list[int] = []
    for peer, pause in asks:
        now += pause
        if limits.allow(str(peer), now):
            allowed.append(peer)
    assert len(allowed) <= reach.FOR_ALL.burst + now * reach.FOR_ALL.per_second + 1e-6
    for peer in range(4):
        assert allowed.count(peer) <= reach.FOR_A_PEER.burst + now * reach.FOR_A_PEER.per_second + 1e-6


def test_a_peer_gets_its_first_dials_back() -> None:
    limits = DialLimits()
    assert [limits.allow("x", 0.0) for _ in range(4)] == [True, True, True, False]
    assert limits.allow("y", 0.0)


async def test_an_answer_about_another_port_is_not_believed(tmp_path: Path) -> None:
    async def lie(stream: object) -> None:
        frames = Frames(stream, budget=1 << 16)  # type: ignore[arg-type]
        await frames.receive()
        await frames.send("dialed", "/ip4/198.51.100.7/tcp/80", "")
        await trio.sleep(1)

    async with bare.running(bare.stranger(), bare.ANY) as liar, bare.running(bare.stranger(), bare.ANY) as host:
        liar.set_stream_handler(reach.PROTOCOL, lie)
        await host.connect(PeerInfo(ID(liar.get_id().to_bytes()), liar.get_transport_addrs()))
        with pytest.raises(ConversationError, match="did not say"):
            await ask_dialback(host, liar.get_id())
