"""Faults of libp2p's GossipSub that flood.py, router.py and incoming.py mend: the bare one shows each, ours none."""

import itertools
from collections.abc import Callable, Iterable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import ParseError
from libp2p.io.exceptions import MessageTooLarge
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.envelope import seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.utils import maybe_consume_signed_record

from gossip import flood, incoming
from gossip.layout import topic_of
from gossip.outgoing import QUEUE_LENGTH, framed
from gossip.router import DEGREE_LAZY, Router
from tests.gossip import bare
from tests.gossip.nodes import hardened

RECORDS = topic_of("test", "records")


async def test_an_rpc_with_a_stale_peer_record_is_used_all_the_same() -> None:
    keys = create_new_key_pair()
    peer = ID.from_pubkey(keys.public_key)
    new, old = (
        seal_record(PeerRecord(peer, [bare.ANY], seq=seq), keys.private_key).marshal_envelope() for seq in (2, 1)
    )
    host = hardened()
    assert maybe_consume_signed_record(rpc_pb2.RPC(senderRecord=new), host, peer)
    assert not maybe_consume_signed_record(rpc_pb2.RPC(senderRecord=old), host, peer)
    assert flood._consume_record_once(rpc_pb2.RPC(senderRecord=old), host, peer)
    envelope = host.get_peerstore().get_peer_record(peer)
    assert envelope is not None
    assert envelope.marshal_envelope() == new


def members(router_class: Callable[[], GossipSub], count: int = 20) -> tuple[GossipSub, Pubsub, list[ID]]:
    """A router that is not running, subscribed to RECORDS, with `count` peers that are too."""
    router = router_class()
    pubsub = Pubsub(hardened(), router)
    pubsub.seen_messages.stop()
    peers = [ID.from_pubkey(create_new_key_pair().public_key) for _ in range(count)]
    for peer in peers:
        router.peer_protocol[peer] = PROTOCOL_ID_V11
    pubsub.peer_topics[RECORDS] = set(peers)
    if router_class is Router:
        pubsub.peer_queues = flood._Queues()
    for peer in peers:
        pubsub.peer_queues[peer] = RpcQueue()
    router.mesh[RECORDS] = set()
    return router, pubsub, peers


def bare_router() -> GossipSub:
    return GossipSub([PROTOCOL_ID_V11], degree=6, degree_low=4, degree_high=12, do_px=True)


def test_a_full_mesh_is_pruned_at_random() -> None:
    choices = {}
    for made in (bare_router, Router):
        router, _, peers = members(made)
        router.mesh[RECORDS] = set(peers)
        choices[made] = {frozenset(router._select_peers_for_pruning(RECORDS, 8)) for _ in range(20)}
    assert len(choices[bare_router]) == 1
    assert len(choices[Router]) > 10


@pytest.mark.parametrize(("made", "reached"), [(bare_router, 0), (Router, DEGREE_LAZY)])
def test_peers_in_backoff_hear_of_messages(made: Callable[[], GossipSub], reached: int) -> None:
    router, _, peers = members(made)
    mesh = set(peers[:3])
    router.mesh[RECORDS] = mesh
    router.mcache.put(rpc_pb2.Message(from_id=b"a", seqno=b"1", topicIDs=[RECORDS]))
    for peer in peers[3:]:
        router._add_back_off(peer, RECORDS, False)
    assert len(router.gossip_heartbeat()) == reached


def announced(router: GossipSub, heartbeats: int) -> int:
    """How many ids go out to peers outside the mesh; what the heartbeat itself does besides is left out."""
    count = 0
    for _ in range(heartbeats):
        count += sum(len(ids) for topics in router.gossip_heartbeat().values() for ids in topics.values())
        if isinstance(router, Router):
            router.beats += 1
        router.mcache.shift()
    return count


@pytest.mark.parametrize(("made", "ids"), [(bare_router, 3 * 3), (Router, 2)])
async def test_an_id_is_announced_once_and_not_to_who_announced_it(made: Callable[[], GossipSub], ids: int) -> None:
    router, pubsub, peers = members(made, 4)
    knowing = peers[1]
    router.mesh[RECORDS] = {peers[0]}
    said = rpc_pb2.Message(from_id=b"x", seqno=b"y", topicIDs=[RECORDS])
    pubsub.seen_messages.add(b"xy")
    router.mcache.put(said)
    await router.handle_ihave(rpc_pb2.ControlIHave(topicID=RECORDS, messageIDs=[b"xy"]), knowing)
    assert announced(router, 12) == ids


async def test_heartbeats_announce_an_id_once_to_some_peers_outside_the_mesh_and_then_forget_the_message() -> None:
    router, pubsub, peers = members(Router, 4 + 2 * DEGREE_LAZY)
    router.mesh[RECORDS] = set(peers[:4])
    await router.beat()
    said = rpc_pb2.Message(from_id=b"x", seqno=b"y", topicIDs=[RECORDS])
    router.mcache.put(said)
    for _ in range(12):
        await router.beat()
    announced_to = [len(pubsub.peer_queues[peer]) for peer in peers]
    assert announced_to[:4] == [0] * 4
    assert sorted(announced_to[4:]) == [0] * DEGREE_LAZY + [1] * DEGREE_LAZY
    assert not router.mcache.msgs


@pytest.mark.parametrize(("made", "reached"), [(bare_router, 2), (Router, 20)])
def test_own_messages_go_to_every_peer_in_the_topic(made: Callable[[], GossipSub], reached: int) -> None:
    router, pubsub, peers = members(made)
    router.mesh[RECORDS] = set(peers[:2])
    me = pubsub.my_id
    assert len(list(router._get_peers_to_send([RECORDS], me, me))) == reached


@pytest.mark.parametrize(("made", "backed_off"), [(bare_router, False), (Router, True)])
async def test_a_heartbeat_prune_has_a_backoff(made: Callable[[], GossipSub], backed_off: bool) -> None:
    router, _, peers = members(made)
    await router._emit_control_msgs({}, {peers[0]: [RECORDS]}, {})
    assert router._check_back_off(peers[0], RECORDS) is backed_off


async def _prunes_for_unknown_topics(router: GossipSub, peer: ID) -> int:
    for number in range(100):
        await router.handle_prune(rpc_pb2.ControlPrune(topicID=f"unknown {number}"), peer)
    return len(router.back_off)


@pytest.mark.parametrize(("made", "entries"), [(bare_router, 100), (Router, 0)])
async def test_prunes_for_unknown_topics_fill_no_table(made: Callable[[], GossipSub], entries: int) -> None:
    router, _, peers = members(made)
    assert await _prunes_for_unknown_topics(router, peers[0]) == entries


async def test_peers_named_in_a_prune_are_not_dialled() -> None:
    router, pubsub, peers = members(Router)
    dialled: list[object] = []

    async def dial(info: object) -> None:
        dialled.append(info)

    vars(pubsub.host)["connect"] = dial
    await router.handle_prune(rpc_pb2.ControlPrune(topicID=RECORDS, peers=[rpc_pb2.PeerInfo(peerID=b"x")]), peers[0])
    assert not dialled
    assert router._check_back_off(peers[0], RECORDS)


def test_outbound_queues_are_roomy() -> None:
    for made, expected in ((dict[ID, RpcQueue](), 32), (flood._Queues(), QUEUE_LENGTH)):
        peer = ID(b"x")
        made[peer] = RpcQueue()
        assert sum(made[peer].push(rpc_pb2.RPC()) for _ in range(3000)) == expected


class Pieces:
    """A stream that gives what it was made of, piece by piece, and then ends."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.reads = 0

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        self.reads += 1
        try:
            return next(self._pieces)
        except StopIteration:
            raise StreamEOF from None


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_rpcs_are_cut_from_a_stream_however_it_is_divided(rpcs: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(framed(rpc) for rpc in rpcs)
    places = sorted(data.draw(st.sets(st.integers(1, max(1, len(sent) - 1)), max_size=10)))
    pieces = [sent[a:b] for a, b in itertools.pairwise([0, *places, len(sent)]) if a < b]

    async def read() -> None:
        frames = incoming.Frames(Pieces(pieces), 300)  # type: ignore[arg-type]
        assert [await frames.next() for _ in rpcs] == rpcs
        with pytest.raises(StreamEOF):
            await frames.next()

    trio.run(read)


async def test_several_rpcs_take_one_read() -> None:
    stream = Pieces([framed(b"one") + framed(b"two")])
    frames = incoming.Frames(stream, 100)  # type: ignore[arg-type]
    assert [await frames.next(), await frames.next()] == [b"one", b"two"]
    assert stream.reads == 1


@pytest.mark.parametrize(("sent", "error"), [(b"\xff" * 10, ParseError), (framed(bytes(101)), MessageTooLarge)])
async def test_a_length_that_no_peer_should_send_ends_the_stream(sent: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await incoming.Frames(Pieces([sent]), 100).next()  # type: ignore[arg-type]
