"""Shows the faults of the bare library; run as a process of its own, since they end it and would be mended in ours.

`python tests/gossip/bare.py [NAME]…` prints a line {"fault": NAME, "how": text} for each; `how` is empty
for a fault that is gone. The attacks are shared with the tests of the mended library.
"""

import json
import logging
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import Ed25519PrivateKey, create_new_key_pair
from libp2p.crypto.keys import KeyPair, PublicKey
from libp2p.crypto.x25519 import create_new_key_pair as new_x25519
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub import pubsub as pubsub_module
from libp2p.pubsub import rpc_queue
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.varint import encode_uvarint
from multiaddr import Multiaddr

ANY = Multiaddr("/ip4/127.0.0.1/tcp/0")
GARBAGE = b"\x05" + b"\xff" * 5


def stranger(key_pair: KeyPair | None = None) -> BasicHost:
    """A host that speaks Noise only and does as it is told."""
    keys = key_pair or create_new_key_pair()
    host = new_host(key_pair=keys, sec_opt={NOISE: Noise(keys, noise_privkey=new_x25519().private_key)})
    vars(host.get_network().auto_connector)["maybe_connect"] = trio.lowlevel.checkpoint  # type: ignore[attr-defined]
    return host


@asynccontextmanager
async def running(host: BasicHost, *listen: Multiaddr) -> AsyncIterator[BasicHost]:
    """The host, running, and closed at the end, since the library leaks its sockets otherwise."""
    async with host.run(listen):
        try:
            yield host
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(3):
                await host.close()


def framed(rpc: rpc_pb2.RPC) -> bytes:
    data = rpc.SerializeToString()
    return encode_uvarint(len(data)) + data


def garbage_key(topic: str) -> bytes:
    """A message whose author's key has to be read from the message, and cannot."""
    message = rpc_pb2.Message(
        from_id=b"\x12\x20" + bytes(32), seqno=b"1" * 8, data=b"x", topicIDs=[topic], signature=b"s", key=b"\xff\xfe"
    )
    return framed(rpc_pb2.RPC(publish=[message]))


def graft(topic: str) -> bytes:
    rpc = rpc_pb2.RPC()
    rpc.control.graft.add(topicID=topic)
    return framed(rpc)


def impostor(victim: PublicKey) -> BasicHost:
    """A host that claims another's public key over a transport that asks for no proof."""
    own = create_new_key_pair()

    class Lie(Ed25519PrivateKey):
        def get_public_key(self) -> PublicKey:
            return victim

    claimed = KeyPair(Lie(own.private_key.impl), victim)
    return new_host(key_pair=own, sec_opt={TProtocol(PLAINTEXT_PROTOCOL_ID): InsecureTransport(claimed)})


async def send_to(address: Multiaddr, peer: object, protocol: str, data: bytes) -> None:
    async with running(stranger()) as host:
        await host.connect(PeerInfo(peer, [address]))  # type: ignore[arg-type]
        stream = await host.new_stream(peer, [TProtocol(protocol)])  # type: ignore[arg-type]
        await stream.write(data)
        await trio.sleep(0.3)


async def _victim_dies(attack: Callable[[Multiaddr, object], Awaitable[None]], *, px: bool = False) -> str:
    """How a default node ends under `attack`; empty if it lives."""
    host = new_host()
    router = GossipSub([PROTOCOL_ID_V11], degree=6, degree_low=4, degree_high=12, do_px=px)
    pubsub = Pubsub(host, router)

    async def raising(_: object) -> None:
        raise RuntimeError("our own fault")

    host.set_stream_handler(TProtocol("/raises"), raising)
    try:
        async with host.run([ANY]), background_trio_service(pubsub), background_trio_service(router):
            await pubsub.wait_until_ready()
            await pubsub.subscribe("t")
            address = host.get_transport_addrs()[0]
            await attack(address, host.get_id())
            await trio.sleep(5)  # its death ends this
            await host.close()
    except BaseException as error:  # noqa: BLE001 - what it is, is the finding
        return f"{type(error).__name__}"
    return ""


async def garbage() -> str:
    return await _victim_dies(lambda address, peer: send_to(address, peer, PROTOCOL_ID_V11, GARBAGE))


async def garbage_key_message() -> str:
    return await _victim_dies(lambda address, peer: send_to(address, peer, PROTOCOL_ID_V11, garbage_key("t")))


async def graft_for_unknown_topic() -> str:
    return await _victim_dies(lambda a, peer: send_to(a, peer, PROTOCOL_ID_V11, graft("unknown")), px=True)


async def raising_stream_handler() -> str:
    return await _victim_dies(lambda address, peer: send_to(address, peer, "/raises", b""))


async def impersonation() -> str:
    victim = create_new_key_pair()
    host = new_host()
    async with host.run([ANY]), (liar := impostor(victim.public_key)).run([]):
        await liar.connect(PeerInfo(host.get_id(), [host.get_transport_addrs()[0]]))
        names: list[str] = []
        with trio.move_on_after(20):
            while not names:
                await trio.sleep(0.05)
                names = [str(peer) for peer in host.get_connected_peers()]
        await liar.close()
        await host.close()
    return "took the peer id" if str(ID.from_pubkey(victim.public_key)) in names else ""


async def inbound_slots() -> str:
    host = new_host(
        connection_config=ConnectionConfig(max_connections=3, min_connections=0, low_watermark=0, high_watermark=3)
    )
    async with host.run([ANY]):
        info = PeerInfo(host.get_id(), [host.get_transport_addrs()[0]])
        for number in range(5):
            async with (guest := stranger()).run([]):
                try:
                    with trio.fail_after(3):
                        await guest.get_network().dial_addr(info.addrs[0], info.peer_id)  # type: ignore[attr-defined]
                except Exception:  # noqa: BLE001
                    return f"refused connection {number + 1}, none is open"
                finally:
                    await guest.close()
            with trio.move_on_after(2):
                while host.get_connected_peers():  # noqa: ASYNC110
                    await trio.sleep(0.02)
        await host.close()
    return ""


async def port_in_use() -> str:
    first, second = new_host(), new_host()
    async with first.run([ANY]):
        address = first.get_transport_addrs()[0]
        async with second.run([address]):
            both = [str(a) for a in second.get_transport_addrs()] == [str(address)]
            await second.close()
        await first.close()
    return "both listen" if both else ""


async def sequence_numbers() -> str:
    host = new_host()
    router = GossipSub([PROTOCOL_ID_V11], degree=6, degree_low=4, degree_high=12)
    pubsub = Pubsub(host, router)
    pubsub.seen_messages.stop()
    await trio.lowlevel.checkpoint()
    return f"start at {pubsub.counter}" if abs(pubsub.counter - time.time()) < 5 else ""


async def small_queues() -> str:
    await trio.lowlevel.checkpoint()
    sizes = rpc_queue.OutBoundQueueSize, pubsub_module.SUBSCRIPTION_CHANNEL_SIZE
    return f"{sizes}" if max(sizes) < 100 else ""


async def security_offered() -> str:
    await trio.lowlevel.checkpoint()
    upgrader = new_host().get_network().upgrader  # type: ignore[attr-defined]
    return str([str(p) for p in upgrader.security_multistream.transports if "noise" not in str(p)])


async def leaked_listener() -> str:
    host = new_host()
    async with host.run([ANY]):
        port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
    with socket.socket() as probe:
        open_still = probe.connect_ex(("127.0.0.1", port)) == 0
    await host.close()
    return "the port is still open after host.run()" if open_still else ""


async def prints_to_stderr() -> str:
    await trio.lowlevel.checkpoint()
    return "the logger libp2p has no handler" if not logging.getLogger("libp2p").handlers else ""


async def receive_window() -> str:
    host, guest = new_host(), stranger()

    async def reads_nothing(_: object) -> None:
        await trio.sleep_forever()

    host.set_stream_handler(TProtocol("/sleeps"), reads_nothing)
    async with host.run([ANY]), guest.run([]):
        await guest.connect(PeerInfo(host.get_id(), [host.get_transport_addrs()[0]]))
        stream = await guest.new_stream(host.get_id(), [TProtocol("/sleeps")])
        muxer = stream.muxed_conn
        frame = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, stream.muxed_stream.stream_id, 60_000)  # type: ignore[attr-defined]
        for _ in range(50):
            await muxer._write_frame(frame + bytes(60_000))  # type: ignore[attr-defined]
        held = 0
        with trio.move_on_after(20):
            while held <= 1_000_000:
                await trio.sleep(0.05)
                held = sum(
                    len(buffer)
                    for connection in host.get_network().get_connections()
                    for buffer in connection.muxed_conn.stream_buffers.values()  # type: ignore[attr-defined]
                )
        await guest.close()
        await host.close()
    return f"{held} bytes are held for a window of 256 KiB" if held > 1_000_000 else ""


async def streams_without_end() -> str:
    host, guest = new_host(), stranger()
    async with host.run([ANY]), guest.run([]):
        await guest.connect(PeerInfo(host.get_id(), [host.get_transport_addrs()[0]]))
        (connection,) = guest.get_network().get_connections(host.get_id())
        for _ in range(200):
            await connection.muxed_conn.open_stream()
        count = 0
        with trio.move_on_after(20):
            while count < 200:
                await trio.sleep(0.05)
                count = sum(len(c.muxed_conn.streams) for c in host.get_network().get_connections())  # type: ignore[attr-defined]
        await guest.close()
        await host.close()
    return f"{count} streams are open" if count >= 200 else ""


async def repeated_iwant() -> str:
    router = GossipSub([PROTOCOL_ID_V11], degree=6, degree_low=4, degree_high=12)
    pubsub = Pubsub(new_host(), router)
    pubsub.seen_messages.stop()
    packets: list[rpc_pb2.RPC] = []
    vars(router)["send_rpc"] = lambda peer, packet: packets.append(packet)
    router.mcache.put(rpc_pb2.Message(data=b"x", topicIDs=["t"], from_id=b"a", seqno=b"b"))
    await router.handle_iwant(rpc_pb2.ControlIWant(messageIDs=[b"ab".hex().encode()] * 1000), ID(b"asker"))
    copies = sum(len(packet.publish) for packet in packets)
    return f"{copies} copies for one request" if copies > 1 else ""


FAULTS: dict[str, Callable[[], Awaitable[str]]] = {
    fault.__name__: fault
    for fault in (
        garbage,
        garbage_key_message,
        graft_for_unknown_topic,
        raising_stream_handler,
        impersonation,
        inbound_slots,
        port_in_use,
        sequence_numbers,
        small_queues,
        security_offered,
        leaked_listener,
        prints_to_stderr,
        receive_window,
        streams_without_end,
        repeated_iwant,
    )
}


def main() -> None:
    for name in sys.argv[1:] or FAULTS:
        try:
            how = trio.run(FAULTS[name])
        except BaseException as error:  # noqa: BLE001
            how = f"(the demonstration failed: {error!r})"
        print(json.dumps({"fault": name, "how": how}), flush=True)


if __name__ == "__main__":
    main()
