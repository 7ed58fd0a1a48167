"""What waits for a peer: bytes made once, sent together, and not to who has them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.utils.varint import decode_varint_with_size

from gossip import flood
from gossip.outgoing import PACKET_BYTES, QUEUE_LENGTH, Outgoing, piece_of
from gossip.router import Router
from tests.gossip.nodes import node
from tests.gossip.test_flood import RECORDS, bare_router, members


def message(number: int, size: int = 10) -> rpc_pb2.Message:
    return rpc_pb2.Message(from_id=b"a", seqno=number.to_bytes(8, "big"), data=bytes(size), topicIDs=[RECORDS])


def messages_in(frames: list[bytes]) -> list[rpc_pb2.Message]:
    found: list[rpc_pb2.Message] = []
    for frame in frames:
        length, start = decode_varint_with_size(frame)
        assert length == len(frame) - start
        found += rpc_pb2.RPC.FromString(frame[start:]).publish
    return found


def drained(queue: Outgoing) -> list[bytes]:
    return list(iter(queue.pop, None))


@given(st.lists(st.integers(0, 30_000), max_size=12))
def test_messages_go_out_together_and_in_order(sizes: list[int]) -> None:
    queue = Outgoing()
    said = [message(number, size) for number, size in enumerate(sizes)]
    for one in said:
        queue.add(one.seqno, piece_of(one))
    frames = drained(queue)
    assert messages_in(frames) == said
    assert len(frames) <= 1 + sum(len(piece_of(one)) for one in said) // PACKET_BYTES
    assert len(queue) == 0


def test_what_the_peer_has_sent_meanwhile_is_not_sent() -> None:
    queue = Outgoing()
    for number in range(3):
        queue.add(bytes([number]), piece_of(message(number)))
    queue.forget(bytes([1]))
    queue.forget(b"never heard of")
    assert messages_in(drained(queue)) == [message(0), message(2)]


def test_control_goes_first_and_a_full_queue_says_so() -> None:
    queue = Outgoing()
    assert all(queue.add(number.to_bytes(4, "big"), piece_of(message(number))) for number in range(QUEUE_LENGTH - 1))
    assert queue.push(rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid="t")]))
    assert not queue.push(rpc_pb2.RPC())
    assert not queue.add(b"more", b"")
    first = queue.pop()
    assert first is not None
    assert rpc_pb2.RPC.FromString(first[1:]).subscriptions


@pytest.mark.parametrize(("made", "copies"), [(bare_router, 20), (Router, 0)])
async def test_forwarding_copies_no_message_for_each_peer(
    made: Callable[[], GossipSub], copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    router, pubsub, peers = members(made)
    router.mesh[RECORDS] = set(peers)
    queues = flood._Queues() if copies == 0 else dict[ID, RpcQueue]()
    pubsub.peer_queues = queues
    counted: Counter[str] = Counter()
    split = RpcQueue.split_rpc

    def counting(self: RpcQueue, rpc: rpc_pb2.RPC) -> list[rpc_pb2.RPC]:
        counted["copies"] += 1
        return split(self, rpc)

    monkeypatch.setattr(RpcQueue, "split_rpc", counting)
    for peer in peers:
        queues[peer] = RpcQueue()
        pubsub.peers[peer] = None  # type: ignore[assignment]
    await router.publish(pubsub.my_id, message(1))
    assert counted["copies"] == copies
    assert [len(queues[peer]) for peer in peers] == [1] * 20


async def test_thirty_thousand_messages_leave_nothing_behind() -> None:
    router, _, peers = members(Router)
    router.mesh[RECORDS] = set(peers)
    for number in range(30_000):
        await router.publish(peers[0], message(number))
        if number % 1000 == 0:
            router.mcache.shift()
            router._periodic_security_cleanup()
    tables = (router.recent_message_deliveries, router.equivocation_detection, router._pending_messages)
    assert [len(table) for table in tables] == [0, 0, 0]
    assert len(router.mcache.msgs) <= 1000 * router.mcache.history_size


async def test_a_record_passes_between_two_peers_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[bytes] = []
    pop = Outgoing.pop

    def noting(self: Outgoing) -> bytes | None:
        frame = pop(self)
        frames.extend([frame] if frame else [])
        return frame

    monkeypatch.setattr(Outgoing, "pop", noting)
    async with node(tmp_path / "a") as a, node(tmp_path / "b", bootstrap=a.network.addresses) as b:
        await a.until_heard_by()
        await b.until_heard_by()
        said = await a.say()
        await b.until(lambda: b.log.has(said.id))
    assert [one.data for one in messages_in(frames) if one.data == said.raw] == [said.raw]
