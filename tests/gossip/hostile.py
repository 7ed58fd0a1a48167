"""Hostile peers for tests: bare libp2p hosts that say what they like, on real sockets."""

import itertools
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from libp2p.abc import IMuxedStream, INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11
from libp2p.pubsub.pb import rpc_pb2
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT, Yamux

from gossip.events import Trouble
from gossip.host import parse_peer_address
from gossip.identity import Identity
from gossip.layout import topic_of
from tests.gossip import bare
from tests.gossip.nodes import Node, node, record

RECORDS, PRESENCE = topic_of("test", "records"), topic_of("test", "presence")
_numbers = itertools.count(1)


@asynccontextmanager
async def stranger_to(victim: Node) -> AsyncIterator[tuple[BasicHost, ID]]:
    """A host of the bare library, connected to `victim`."""
    peer, address = parse_peer_address(victim.network.addresses[0])
    async with bare.running(bare.stranger()) as host:
        await host.connect(PeerInfo(peer, [address]))
        yield host, peer


async def meshsub(host: BasicHost, peer: ID) -> INetStream:
    return await host.new_stream(peer, [PROTOCOL_ID_V11])


async def serves_others(victim: Node, folder: Path) -> bool:
    """Whether a newcomer still gets what the node has and says."""
    async with node(folder / "newcomer", bootstrap=victim.network.addresses) as newcomer:
        said = await victim.say()
        await newcomer.until(lambda: newcomer.log.has(said.id))
    return not [event for event in victim.all(Trouble) if isinstance(event, Trouble) and event.what == "network"]


def signed_message(host: BasicHost, topic: str, data: bytes, seqno: int | None = None) -> rpc_pb2.Message:
    """What the library's own publish would send."""
    author = host.get_id().to_bytes()
    number = next(_numbers) if seqno is None else seqno
    message = rpc_pb2.Message(data=data, topicIDs=[topic], from_id=author, seqno=number.to_bytes(8, "big"))
    message.signature = host.get_private_key().sign(b"libp2p-pubsub:" + message.SerializeToString())
    message.key = host.get_public_key().serialize()
    return message


def identity_of(host: BasicHost) -> Identity:
    """The host's key as a record's author."""
    return Identity(Ed25519PrivateKey.from_private_bytes(host.get_private_key().to_bytes()))


# ---- messages that no honest peer sends; each is made anew, so that none is known already ----


def false_envelope(host: BasicHost) -> rpc_pb2.Message:
    message = signed_message(host, RECORDS, record(identity_of(host)).raw)
    message.signature = bytes(64)
    return message


def false_record(host: BasicHost) -> rpc_pb2.Message:
    true = record(identity_of(host)).raw
    return signed_message(host, RECORDS, true[:-64] + bytes(64))


def not_a_record(host: BasicHost) -> rpc_pb2.Message:
    return signed_message(host, RECORDS, b"\x97" + next(_numbers).to_bytes(8, "big"))


def not_canonical(host: BasicHost) -> rpc_pb2.Message:
    # the array's length in a longer form than needed
    return signed_message(host, RECORDS, b"\xdc\x00\x07" + record(identity_of(host)).raw[1:])


def of_another(host: BasicHost) -> rpc_pb2.Message:
    someone = Identity(Ed25519PrivateKey.generate())
    return signed_message(host, RECORDS, record(someone).raw)


def in_the_wrong_topic(host: BasicHost) -> rpc_pb2.Message:
    return signed_message(host, PRESENCE, record(identity_of(host)).raw)


def too_large(host: BasicHost) -> rpc_pb2.Message:
    return signed_message(host, RECORDS, bytes(70_000))


def with_a_long_number(host: BasicHost) -> rpc_pb2.Message:
    message = signed_message(host, RECORDS, record(identity_of(host)).raw)
    message.seqno = bytes(50_000) + next(_numbers).to_bytes(8, "big")
    return message


def with_a_large_key(host: BasicHost) -> rpc_pb2.Message:
    message = signed_message(host, RECORDS, record(identity_of(host)).raw)
    message.key = bytes(100_000)
    return message


INVALID: dict[str, Callable[[BasicHost], rpc_pb2.Message]] = {
    made.__name__: made
    for made in (
        false_envelope,
        false_record,
        not_a_record,
        not_canonical,
        of_another,
        in_the_wrong_topic,
        too_large,
        with_a_long_number,
        with_a_large_key,
    )
}


def controls(fill: Callable[[rpc_pb2.ControlMessage], object]) -> rpc_pb2.RPC:
    rpc = rpc_pb2.RPC()
    fill(rpc.control)
    return rpc


def many_grafts(control: rpc_pb2.ControlMessage) -> None:
    for _ in range(1000):
        control.graft.add(topicID=RECORDS)


def many_prunes(control: rpc_pb2.ControlMessage) -> None:
    for _ in range(1000):
        control.prune.add(topicID=RECORDS, backoff=1)


def many_ihave_ids(control: rpc_pb2.ControlMessage) -> None:
    control.ihave.add(topicID=RECORDS, messageIDs=[b"%024x" % number for number in range(25_000)])


def many_iwant_ids(control: rpc_pb2.ControlMessage) -> None:
    control.iwant.add(messageIDs=[b"00" * 8] * 25_000)


CONTROL_FLOODS = {made.__name__: made for made in (many_grafts, many_prunes, many_ihave_ids, many_iwant_ids)}


async def send_all(host: BasicHost, peer: ID, rpcs: Iterable[rpc_pb2.RPC]) -> None:
    """Send them all, on a new stream when the last was reset, until the connection ends."""
    stream: INetStream | None = None
    for rpc in rpcs:
        try:
            stream = stream or await meshsub(host, peer)
            await stream.write(bare.framed(rpc))
        except BaseLibp2pError:
            stream = None
            if not host.get_connected_peers():
                return
            await trio.sleep(0.02)


def muxer_of(host: BasicHost, peer: ID) -> Yamux:
    (connection, *_) = host.get_network().get_connections(peer)
    muxed = connection.muxed_conn
    assert isinstance(muxed, Yamux)
    return muxed


async def ignore_the_window(host: BasicHost, peer: ID, protocol: str, frames: int) -> None:
    """Send so many frames of 60 kB on a stream, whatever the other side allows, until the connection ends."""
    muxer = muxer_of(host, peer)
    await host.new_stream(peer, [TProtocol(protocol)])
    number = max(number for number in muxer.streams if number % 2)
    frame = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, number, 60_000) + bytes(60_000)
    try:
        for _ in range(frames):
            await muxer._write_frame(frame)
    except (BaseLibp2pError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def ended(stream: INetStream | IMuxedStream) -> None:
    """Wait until the other side ends a stream."""
    try:
        while True:
            await stream.read(100)
    except BaseLibp2pError:
        return
