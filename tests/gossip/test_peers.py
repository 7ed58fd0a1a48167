"""Addresses, peer exchange and finding back, over real sockets."""

import socket
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

from gossip import exchange, peers, sync
from gossip.addressbook import AddressBook
from gossip.clock import now_ms
from gossip.crowd import room
from gossip.dial import DIAL_SECONDS
from gossip.events import PeerRejected, SyncFinished, Trouble
from gossip.frames import Frames, PeerGone
from gossip.host import AddressError, parse_peer_address, peer_id_of, reachable
from gossip.identity import new_identity
from gossip.peers import FIRST_PAUSE, Backoff
from gossip.tuning import Tuning
from tests.gossip import bare
from tests.gossip.nodes import field_of_nodes, node, record


def test_a_peers_address_is_read_and_everything_else_is_a_named_error() -> None:
    name = peer_id_of(new_identity().author)
    peer, address = parse_peer_address(f"/ip4/192.0.2.1/tcp/4001/p2p/{name}")
    assert (str(peer), str(address)) == (name, "/ip4/192.0.2.1/tcp/4001")
    for known in ("/ip6/2001:db8::1", "/dns/example.org", "/dns4/example.org", "/dns6/example.org"):
        peer, address = parse_peer_address(f"{known}/tcp/4001/p2p/{name}")
        assert (str(peer), str(address)) == (name, f"{known}/tcp/4001")
    for unknown in ("/ip4/192.0.2.1/tcp/1/ws", "/dnsaddr/example.org", "/ip4/192.0.2.1/udp/1/quic-v1"):
        with pytest.raises(AddressError, match="only /ip4, /ip6, /dns, /dns4, /dns6 with /tcp and /p2p are dialled"):
            parse_peer_address(f"{unknown}/p2p/{name}")
    for text in ("", "x", "/ip4/192.0.2.1/tcp/4001", f"/ip4/192.0.2.1/p2p/{name}", "/ip4/192.0.2.1/tcp/1/p2p/QmX"):
        with pytest.raises(AddressError, match="paste the whole line"):
            parse_peer_address(text)


def test_the_peer_id_of_an_author_is_libp2ps() -> None:
    keys = bare.create_new_key_pair()
    assert peer_id_of(keys.public_key.to_bytes()) == str(ID.from_pubkey(keys.public_key))


def test_addresses_are_ordered_by_reach() -> None:
    given = [Multiaddr(f"/ip4/{ip}/tcp/1") for ip in ("127.0.0.1", "192.168.0.7", "8.8.8.8")]
    assert [str(a) for a in reachable(given)] == [
        "/ip4/8.8.8.8/tcp/1",
        "/ip4/192.168.0.7/tcp/1",
        "/ip4/127.0.0.1/tcp/1",
    ]


async def test_a_node_that_lost_everyone_finds_those_it_met(tmp_path: Path) -> None:
    async with field_of_nodes(tmp_path) as field:
        first = await field.start("first")
        identity = new_identity()
        one = await field.start("one", bootstrap=first.network.addresses)
        two = await field.start("two", identity=identity, bootstrap=first.network.addresses)
        await one.until(lambda: len(one.network.peers()) == 2)
        await one.until(lambda: len(one.all(SyncFinished)) >= 2)
        listen = [two.network.addresses[0].split("/p2p/")[0]]
        await field.stop("first")
        await field.stop("two")
        await one.until(lambda: not one.network.peers())
        again = await field.start("two", identity=identity, listen=listen)
        await again.until(lambda: [peer.peer for peer in again.network.peers()] == [one.peer])


async def test_a_node_started_again_without_bootstrap_finds_its_swarm_in_its_book(tmp_path: Path) -> None:
    identity, path = new_identity(), tmp_path / "peers.json"
    async with field_of_nodes(tmp_path) as field:
        first = await field.start("first")
        other = await field.start("other", bootstrap=first.network.addresses)
        one = await field.start("one", identity=identity, bootstrap=first.network.addresses, book=AddressBook(path))
        await one.until(lambda: other.peer in one.network._book)
        await field.stop("one")
        await field.stop("first")
        again = await field.start("one", identity=identity, book=AddressBook(path))
        await again.until(lambda: [peer.peer for peer in again.network.peers()] == [other.peer], seconds=5)
        said = await other.say()
        await again.until(lambda: again.log.has(said.id))


async def test_a_peer_that_comes_back_at_another_port_is_found_there_by_those_that_know_it_only_by_record(
    tmp_path: Path,
) -> None:
    identity = new_identity()
    async with field_of_nodes(tmp_path) as field:
        first = await field.start("first")
        one = await field.start("one", bootstrap=first.network.addresses)
        mover = await field.start("mover", identity=identity, bootstrap=first.network.addresses)
        await one.until(lambda: len(one.network.peers()) == 2)
        before = mover.network.addresses
        await field.stop("mover")
        await one.until(lambda: len(one.network.peers()) == 1)
        mover = await field.start("mover", identity=identity, bootstrap=first.network.addresses)
        assert mover.network.addresses != before
        await one.until(lambda: len(one.network.peers()) == 2)
        address = mover.network.addresses[0].split("/p2p/")[0]
        await one.until(lambda: dict(one.network._book.peers()).get(mover.peer) == (address,))


async def test_a_broken_book_is_told_once_and_the_node_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_bytes(b"no book")
    async with (
        node(tmp_path / "a") as a,
        node(tmp_path / "b", bootstrap=a.network.addresses, book=AddressBook(path)) as b,
    ):
        await b.until(lambda: bool(b.network.peers()))
        (trouble,) = b.all(Trouble)
        assert isinstance(trouble, Trouble)
        assert trouble.what == "address book"
        assert "corrupt" in trouble.why
        await b.until(path.exists)


async def test_a_bootstrap_may_be_given_by_name(tmp_path: Path) -> None:
    async with node(tmp_path / "a") as a:
        named = a.network.addresses[0].replace("/ip4/127.0.0.1", "/dns4/localhost")
        nobody = named.replace("localhost", "nobody.invalid")
        async with node(tmp_path / "b", bootstrap=[named]) as b, node(tmp_path / "c", bootstrap=[nobody]) as c:
            await b.until(lambda: bool(b.network.peers()))
            address = a.network.addresses[0].split("/p2p/")[0]
            await b.until(lambda: b.network._book.peers() == [(a.peer, (address,))])
            await c.until(lambda: bool(c.all(Trouble)))
            (trouble,) = c.all(Trouble)
            assert isinstance(trouble, Trouble)
            assert "the name nobody.invalid is not found" in trouble.why


async def test_an_address_that_swallows_everything_does_not_keep_a_node_from_the_next_one(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # connects, and never says a word
        async with node(tmp_path / "a") as a:
            dead = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}/p2p/{a.peer}"
            async with node(tmp_path / "b", bootstrap=[dead, *a.network.addresses]) as b:
                await b.until(lambda: bool(b.network.peers()), seconds=DIAL_SECONDS - 0.5)


async def test_where_it_is_crowded_newcomers_get_in_and_hear_of_others(tmp_path: Path) -> None:
    """Eleven nodes, and a bootstrap that can hold six connections."""
    crowded = Tuning(heartbeat=0.3, max_connections=6, grace=0.3)
    async with field_of_nodes(tmp_path) as field:
        first = await field.start("first", tuning=crowded)
        others = []
        for number in range(10):
            other = await field.start(f"{number}", bootstrap=first.network.addresses)
            await other.until(
                lambda other=other: any(p.peer != first.peer for p in other.network.peers()) or not others
            )  # type: ignore[misc]
            others.append(other)
        await first.until(lambda: len(first.network.peers()) <= room(crowded.max_connections))
        said = [await each.say() for each in (first, *others)]
        for each in (first, *others):
            await each.until(lambda each=each: each.log.count() == len(said))  # type: ignore[misc]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_pauses_grow_to_their_limit_with_a_jitter_of_a_quarter(draws: list[float]) -> None:
    backoff = Backoff(longest=30.0)
    pauses = [backoff.next(draw) for draw in draws]
    for number, pause in enumerate(pauses):
        middle = min(FIRST_PAUSE * 1.6**number, 30.0)
        assert 0.74 * middle <= pause <= 1.26 * middle


@given(st.integers(0, 5000))
def test_a_swarm_as_a_whole_visits_as_often_however_large_it_is(nodes: int) -> None:
    visits = nodes / peers.visit_seconds(nodes)
    assert visits == pytest.approx(min(nodes, peers.SMALL_SWARM) / peers.VISIT_SECONDS)


async def test_halves_that_have_peers_enough_find_each_other_by_visits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "WANTED_PEERS", 1)
    monkeypatch.setattr(peers, "VISIT_SECONDS", 0.5)
    async with (
        node(tmp_path / "a") as a,
        node(tmp_path / "b", bootstrap=a.network.addresses) as b,
        node(tmp_path / "c") as c,
        node(tmp_path / "d", bootstrap=c.network.addresses) as d,
    ):
        await d.until(lambda: bool(d.network.peers()))
        d.network._book.hear(a.peer, [a.network.addresses[0].split("/p2p/")[0]], 1, "someone", now_ms())
        said = [await b.say(), await c.say()]
        for each in (a, b, c, d):
            await each.until(lambda each=each: each.log.count() == len(said))  # type: ignore[misc]


GARBAGE = {
    "nothing": b"",
    "text": b"hello, world",
    "a huge length": b"\xff\xff\xff\xff",
    "not msgpack": b"\x00\x00\x00\x01\xc1",
    "half a frame": b"\x00\x00\x01\x00abc",
}


@pytest.mark.parametrize("protocol", [sync.PROTOCOL, exchange.PROTOCOL])
async def test_garbage_on_our_own_protocols_does_no_harm(protocol: str, tmp_path: Path) -> None:
    async with node(tmp_path / "victim") as victim:
        peer, address = parse_peer_address(victim.network.addresses[0])
        async with bare.running(bare.stranger()) as host:
            await host.connect(PeerInfo(peer, [address]))
            for data in GARBAGE.values():
                stream = await host.new_stream(peer, [TProtocol(protocol)])
                await stream.write(data)
            await trio.sleep(0.2)
        async with node(tmp_path / "other", bootstrap=victim.network.addresses) as other:
            said = await victim.say()
            await other.until(lambda: other.log.has(said.id))
        assert not victim.all(Trouble)


async def give(host: BasicHost, peer: ID, raw: bytes) -> None:
    """Lead an exchange with `peer` in which it is given these bytes for a record."""
    stream = await host.new_stream(peer, [TProtocol(sync.PROTOCOL)])
    frames = Frames(stream, budget=1 << 24)
    await frames.send("hello", sync.VERSION, "test", now_ms(), {"archive": False})
    await frames.receive()
    await frames.send("give", [raw])
    await frames.receive()
    await frames.send("bye")


async def test_a_stranger_that_gives_forged_records_again_and_again_is_shut_out(tmp_path: Path) -> None:
    true = record(new_identity())
    async with node(tmp_path / "victim") as victim:
        peer, address = parse_peer_address(victim.network.addresses[0])
        async with bare.running(bare.stranger()) as host:
            await host.connect(PeerInfo(peer, [address]))
            await give(host, peer, true.raw)
            await victim.until(lambda: bool(victim.all(SyncFinished)))
            with trio.fail_after(10):
                while not victim.all(PeerRejected):
                    with pytest.raises((PeerGone, BaseLibp2pError)):
                        await give(host, peer, record(new_identity()).raw[:-64] + bytes(64))
            await victim.until(lambda: not victim.network.peers())
        assert [item[1] for item in victim.log.ids()] == [true.id]


async def test_a_peer_that_names_garbage_as_peers_is_blamed(tmp_path: Path) -> None:
    async def answer(stream: INetStream) -> None:
        frames = Frames(stream, budget=1 << 20)
        await frames.receive()
        await frames.send("peers", [b"garbage", bytes(5000)])

    async with bare.running(bare.stranger(), bare.ANY) as host:
        host.set_stream_handler(exchange.PROTOCOL, answer)
        name = str(host.get_id())
        async with node(tmp_path / "a", bootstrap=[f"{host.get_transport_addrs()[0]}/p2p/{name}"]) as a:
            await a.until(lambda: name in a.network._admission.guard._peers)
