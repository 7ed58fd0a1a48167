"""Each fault of libp2p: shown in the bare library, and sent for real against our node, which lives."""

import gc
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.pb import rpc_pb2

from gossip import upstream
from gossip.events import PeerConnected, PeerRejected, RecordArrived, Trouble
from gossip.guard import MAX_OFFENCES
from gossip.host import parse_peer_address, peer_id_of
from gossip.identity import Identity, new_identity
from gossip.layout import topic_of
from gossip.tuning import Tuning
from tests.gossip import bare
from tests.gossip.hostile import meshsub, serves_others, signed_message, stranger_to
from tests.gossip.nodes import hardened, node, record

RECORDS, PRESENCE = topic_of("test", "records"), topic_of("test", "presence")


@pytest.fixture(scope="session")
def faults() -> dict[str, str]:
    """What each demonstration against the bare library showed, by name."""
    script = Path(bare.__file__)
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    return {line["fault"]: line["how"] for line in map(json.loads, run.stdout.splitlines())}


@pytest.mark.parametrize("fault", bare.FAULTS)
def test_the_bare_library_still_has_the_fault(faults: dict[str, str], fault: str) -> None:
    how = faults[fault]
    assert not how.startswith("(the demonstration failed"), how
    assert how, f"libp2p has mended {fault!r}: take its workaround out of gossip/upstream.py or flood.py"


ATTACKS: dict[str, bytes] = {
    "six bytes of garbage": bare.GARBAGE,
    "a message with a garbage key": bare.garbage_key(RECORDS),
    "a GRAFT for an unknown topic": bare.graft("unknown"),
    "a frame of 200 MB": b"\xff\xff\xff\x5f" + b"x" * 1000,
    "an endless varint": b"\xff" * 64,
    "a forged peer record": bare.framed(rpc_pb2.RPC(senderRecord=b"\x0a\x03abc")),
    "a message in two topics": bare.framed(
        rpc_pb2.RPC(publish=[rpc_pb2.Message(data=b"x", topicIDs=[RECORDS, PRESENCE], from_id=b"a", seqno=b"b")])
    ),
    "ten thousand subscriptions": bare.framed(
        rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=f"t{n}") for n in range(10_000)])
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_node_survives_on_its_meshsub_stream(attack: str, tmp_path: Path) -> None:
    async with node(tmp_path / "victim") as victim:
        async with stranger_to(victim) as (host, peer):
            stream = await meshsub(host, peer)
            await stream.write(ATTACKS[attack])
            await trio.sleep(0.1)
        assert await serves_others(victim, tmp_path)


async def test_a_stream_handler_that_raises_ends_its_stream_only() -> None:
    called = trio.Event()

    async def raises(stream: INetStream) -> None:
        await stream.read(1)
        called.set()
        raise RuntimeError("our own fault")

    host = hardened()
    host.set_stream_handler(TProtocol("/raises"), raises)
    async with bare.running(host, bare.ANY):
        address = host.get_transport_addrs()[0]
        await bare.send_to(address, host.get_id(), "/raises", b"x")
        await called.wait()
        await bare.send_to(address, host.get_id(), "/ipfs/ping/1.0.0", b"p" * 32)
        assert upstream.swarm_of(host).manager.is_running


async def test_only_noise_is_offered_and_an_impostor_is_refused(tmp_path: Path) -> None:
    async with node(tmp_path / "victim") as victim:
        peer, address = parse_peer_address(victim.network.addresses[0])
        someone = create_new_key_pair()
        async with bare.running(bare.impostor(someone.public_key)) as liar:
            with pytest.raises(SwarmException, match="unable to connect"):
                await liar.connect(PeerInfo(peer, [address]))
        assert victim.network.peers() == []
        assert await serves_others(victim, tmp_path)


async def test_inbound_slots_come_back(tmp_path: Path) -> None:
    limit = 3
    async with node(tmp_path / "victim", tuning=Tuning(max_connections=limit, heartbeat=0.3)) as victim:
        for count in range(2 * limit + 1):
            async with stranger_to(victim):
                await victim.until(lambda count=count: len(victim.all(PeerConnected)) == count + 1)  # type: ignore[misc]
            await victim.until(lambda: not victim.network.peers())


async def test_three_hundred_idle_sockets_delay_nobody(tmp_path: Path) -> None:
    async with node(tmp_path / "victim", tuning=Tuning(max_connections=20)) as victim:
        port = int(victim.network.addresses[0].split("/")[4])
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(300)]
        with trio.fail_after(upstream.HANDSHAKE_SECONDS / 2):
            async with stranger_to(victim):
                await victim.until(lambda: bool(victim.network.peers()))
        for stream in idle:
            await stream.aclose()
        assert await serves_others(victim, tmp_path)


async def test_a_false_signature_is_blamed_and_does_not_suppress_the_true_message(tmp_path: Path) -> None:
    async with node(tmp_path / "victim") as victim, stranger_to(victim) as (host, peer):
        author = Identity(Ed25519PrivateKey.from_private_bytes(host.get_private_key().to_bytes()))
        message = signed_message(host, RECORDS, record(author).raw)
        forged = rpc_pb2.Message()
        forged.CopyFrom(message)
        forged.signature = bytes(64)
        stream = await meshsub(host, peer)
        for part in (forged, message):
            await stream.write(bare.framed(rpc_pb2.RPC(publish=[part])))
        await victim.until(lambda: len(victim.all(RecordArrived)) == 1)
        for number in range(MAX_OFFENCES + 1):
            other = signed_message(host, RECORDS, record(author).raw, seqno=2 + number)
            other.signature = bytes(64)
            await stream.write(bare.framed(rpc_pb2.RPC(publish=[other])))
        await victim.until(lambda: bool(victim.all(PeerRejected)))
        await victim.until(lambda: not victim.network.peers())


async def test_a_banned_peer_is_disconnected_when_it_comes_back(tmp_path: Path) -> None:
    keys = create_new_key_pair()
    async with node(tmp_path / "victim") as victim:
        for _ in range(MAX_OFFENCES + 1):
            victim.network._admission.blame(ID.from_pubkey(keys.public_key), "a test")
        peer, address = parse_peer_address(victim.network.addresses[0])
        async with bare.running(bare.stranger(keys)) as host:
            await host.connect(PeerInfo(peer, [address]))
            with trio.fail_after(5):
                while host.get_connected_peers():  # noqa: ASYNC110 - the bare host tells nobody
                    await trio.sleep(0.02)
        assert victim.all(PeerRejected)


async def test_nothing_is_printed_and_no_thread_or_port_is_left(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = threading.active_count()
    nobody = f"/ip4/127.0.0.1/tcp/9/p2p/{peer_id_of(new_identity().author)}"
    async with node(tmp_path / "a", bootstrap=[nobody]) as a:
        await a.until(lambda: bool(a.all(Trouble)))
        async with stranger_to(a) as (host, peer):
            await (await meshsub(host, peer)).write(bare.GARBAGE)
        port = int(a.network.addresses[0].split("/")[4])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    gc.collect()
    assert threading.active_count() <= threads + 2  # trio keeps idle worker threads for ten seconds
    assert not [thread for thread in threading.enumerate() if "cleanup" in str(thread)]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("made", "dials"), [(bare.stranger, True), (hardened, False)])
async def test_opening_a_stream_dials_nobody(made: Callable[[], BasicHost], dials: bool) -> None:
    async with bare.running(bare.stranger(), bare.ANY) as other, bare.running(made()) as host:
        host.get_peerstore().add_addrs(other.get_id(), other.get_transport_addrs(), 60)
        try:
            await host.new_stream(other.get_id(), [TProtocol("/ipfs/ping/1.0.0")])
        except SwarmException:
            assert not dials
        assert (host.get_id() in other.get_connected_peers()) is dials


# ---- random messages ----


def random_rpc(stream: random.Random) -> bytes:
    """A GossipSub message of valid form and senseless content, sometimes with flipped bits."""

    def blob() -> bytes:
        return stream.randbytes(stream.choice((0, 1, 8, 32, 38, 300)))

    def topic() -> str:
        return stream.choice((RECORDS, PRESENCE, "unknown", ""))

    rpc = rpc_pb2.RPC()
    for _ in range(stream.randrange(3)):
        rpc.publish.add(
            from_id=blob(),
            data=blob(),
            seqno=blob(),
            topicIDs=[topic()],
            signature=blob(),
            key=stream.choice((b"", blob())),
        )
    for _ in range(stream.randrange(3)):
        rpc.subscriptions.add(subscribe=stream.random() < 0.5, topicid=topic())
    for _ in range(stream.randrange(3)):
        rpc.control.ihave.add(topicID=topic(), messageIDs=[blob() for _ in range(3)])
        rpc.control.iwant.add(messageIDs=[blob() for _ in range(3)])
        rpc.control.graft.add(topicID=topic())
        rpc.control.prune.add(topicID=topic(), backoff=stream.getrandbits(64), peers=[rpc_pb2.PeerInfo(peerID=blob())])
        rpc.control.idontwant.add(messageIDs=[blob()])
    if stream.random() < 0.1:
        rpc.senderRecord = blob()
    data = bytearray(bare.framed(rpc))
    if stream.random() < 0.1:
        data[stream.randrange(len(data))] ^= 1 << stream.randrange(8)
    return bytes(data)


async def test_a_thousand_senseless_messages_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.guard.MAX_OFFENCES", 10**9)
    source = random.Random(7)
    async with node(tmp_path / "victim") as victim:
        async with stranger_to(victim) as (host, peer):
            stream = await meshsub(host, peer)
            for _ in range(1000):
                try:
                    await stream.write(random_rpc(source))
                except BaseLibp2pError:  # garbage: the victim has ended this stream
                    stream = await meshsub(host, peer)
        assert await serves_others(victim, tmp_path)
