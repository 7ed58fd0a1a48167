"""Each attack is sent for real by a hostile peer; the node cuts it off, and serves the others meanwhile."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.pb import rpc_pb2

from gossip import flood, intake, mesh, schedule, sync, upstream, yamux
from gossip.bucket import Rate
from gossip.clock import now_ms
from gossip.door import Width
from gossip.events import Contradicted, PeerConnected, PeerLost, PeerRejected, RecordArrived, SyncFinished
from gossip.frames import ConversationError, open_conversation
from gossip.guard import MAX_OFFENCES
from gossip.host import parse_peer_address
from gossip.identity import new_identity
from gossip.quota import RECORD_OVERHEAD, Limits
from gossip.record import MAX_AHEAD_MS
from gossip.router import Router
from gossip.tuning import Tuning
from tests.gossip import bare
from tests.gossip.hostile import (
    CONTROL_FLOODS,
    INVALID,
    RECORDS,
    controls,
    ended,
    identity_of,
    ignore_the_window,
    meshsub,
    muxer_of,
    send_all,
    serves_others,
    signed_message,
    stranger_to,
)
from tests.gossip.nodes import FAST, Node, field_of_nodes, node, record

ANY_RATE = Rate(burst=1000, per_second=1000)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the signature checks of the process, the dear part of judging a message."""
    counts: Counter[str] = Counter()

    def counted(name: str, inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(value: Any) -> Any:
            counts[name] += 1
            return inner(value)

        return call

    monkeypatch.setattr(flood, "_signed", counted("message", flood._signed))
    for module in (mesh, intake):
        monkeypatch.setattr(module, "verify", counted("record", module.verify))
    return counts


async def until_cut_off(victim: Node) -> None:
    await victim.until(lambda: bool(victim.all(PeerRejected)))
    await victim.until(lambda: not victim.network.peers())


# ---- floods ----


@pytest.mark.parametrize("kind", INVALID)
async def test_a_flood_of_invalid_messages_is_cut_off_after_few(
    kind: str, tmp_path: Path, checks: Counter[str]
) -> None:
    async with node(tmp_path / "victim") as victim:
        async with stranger_to(victim) as (host, peer):
            batch = [INVALID[kind](host) for _ in range(3 * MAX_OFFENCES)]
            await send_all(host, peer, (rpc_pb2.RPC(publish=[one]) for one in batch))
            await until_cut_off(victim)
        assert checks.total() <= 2 * (MAX_OFFENCES + 1)
        assert not victim.all(RecordArrived)
        assert await serves_others(victim, tmp_path)


async def test_what_a_banned_peer_sent_in_one_rpc_is_not_read_to_the_end(tmp_path: Path, checks: Counter[str]) -> None:
    async with node(tmp_path / "victim") as victim:
        async with stranger_to(victim) as (host, peer):
            stream = await meshsub(host, peer)
            await stream.write(bare.framed(rpc_pb2.RPC(publish=[INVALID["false_envelope"](host) for _ in range(2000)])))
            await until_cut_off(victim)
        assert checks["message"] <= MAX_OFFENCES + 1


@pytest.mark.parametrize("kind", CONTROL_FLOODS)
async def test_control_floods_are_cut_off(kind: str, tmp_path: Path) -> None:
    async with node(tmp_path / "victim") as victim:
        async with stranger_to(victim) as (host, peer):
            while host.get_connected_peers():
                # each ends its stream
                await send_all(host, peer, [controls(CONTROL_FLOODS[kind])])
            await until_cut_off(victim)
        assert await serves_others(victim, tmp_path)


async def test_who_sends_more_pieces_than_an_honest_peer_is_read_more_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flood, "PIECES", Rate(burst=50, per_second=50))
    read: list[float] = []

    async def note(router: Router, message: rpc_pb2.ControlIHave, sender: ID) -> None:
        await trio.lowlevel.checkpoint()
        read.append(trio.current_time())

    monkeypatch.setattr(Router, "handle_ihave", note)
    async with node(tmp_path / "victim") as victim, stranger_to(victim) as (host, peer):
        stream = await meshsub(host, peer)
        ihave = rpc_pb2.ControlIHave(topicID=RECORDS, messageIDs=[b"00" * 8] * 230)
        for _ in range(8):
            await stream.write(bare.framed(controls(lambda control: control.ihave.append(ihave))))
        await victim.until(lambda: len(read) == 8)
        assert read[-1] - read[0] >= 2.5
        assert victim.network.peers()


async def test_an_iwant_that_repeats_an_id_is_answered_with_one_copy(tmp_path: Path) -> None:
    answers: list[rpc_pb2.RPC] = []
    async with node(tmp_path / "victim") as victim, stranger_to(victim):
        said = await victim.say()
        router = victim.network._mesh.flood.router  # type: ignore[union-attr]
        vars(router)["send_rpc"] = lambda peer, packet: answers.append(packet)
        (name,) = [key.hex().encode() for key, message in router.mcache.msgs.items() if message.data == said.raw]
        asker = ID(b"asker")
        await router.handle_iwant(rpc_pb2.ControlIWant(messageIDs=[name] * 10_000 + [b"zz", b"00"]), asker)
        assert [message.data for answer in answers for message in answer.publish] == [said.raw]


async def test_a_peer_has_few_gossip_streams(tmp_path: Path) -> None:
    async with node(tmp_path / "victim") as victim, stranger_to(victim) as (host, peer):
        for _ in range(MAX_OFFENCES + flood.MAX_STREAMS_OF_A_PEER + 1):
            try:
                await meshsub(host, peer)
            except BaseLibp2pError:
                continue
        await until_cut_off(victim)


# ---- the muxer ----


async def test_a_peer_that_ignores_the_receive_window_is_cut_off(tmp_path: Path) -> None:
    async with node(tmp_path / "victim") as victim:
        async with stranger_to(victim) as (host, peer):
            await ignore_the_window(host, peer, "/ipfs/ping/1.0.0", 400)
            await victim.until(lambda: not victim.network.peers())
        assert [conduct.count for conduct in victim.network._admission.guard._peers.values()] == [1]
        assert await serves_others(victim, tmp_path)


async def test_a_peer_that_opens_streams_without_end_is_cut_off(tmp_path: Path) -> None:
    async with node(tmp_path / "victim") as victim:
        async with stranger_to(victim) as (host, peer):
            muxer = muxer_of(host, peer)
            with trio.move_on_after(10), suppress(BaseLibp2pError):
                for _ in range(yamux.MAX_STREAMS + 10):
                    await muxer.open_stream()
            await victim.until(lambda: not victim.network.peers())
        assert await serves_others(victim, tmp_path)


async def test_a_stream_that_is_opened_and_never_used_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "HANDSHAKE_SECONDS", 1.0)
    async with node(tmp_path / "victim") as victim, stranger_to(victim) as (host, peer):
        streams = [await muxer_of(host, peer).open_stream() for _ in range(20)]
        # the slow ones say a byte now and then
        for stream in streams[:10]:
            await stream.write(b"\x13")
        with trio.fail_after(5):
            for stream in streams:
                await ended(stream)
        assert victim.network.peers()


async def test_a_connection_on_which_its_peer_opens_nothing_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "IDLE_SECONDS", 0.4)
    async with field_of_nodes(tmp_path) as field:
        victim = await field.start("victim")
        honest = await field.start("honest", bootstrap=victim.network.addresses)
        await victim.until_heard_by()
        async with stranger_to(victim) as (host, _):
            await victim.until(lambda: len(victim.all(PeerConnected)) == 2)
            await victim.until(lambda: len(victim.all(PeerLost)) == 1)
            assert not host.get_connected_peers() or await _forgotten(host)
        assert [peer.peer for peer in victim.network.peers()] == [honest.peer]


async def _forgotten(host: BasicHost) -> bool:
    with trio.fail_after(5):
        while host.get_connected_peers():  # noqa: ASYNC110 - the bare host tells nobody
            await trio.sleep(0.02)
    return True


# ---- connections ----


async def test_an_address_has_so_many_connections_and_gets_them_back(tmp_path: Path) -> None:
    tuning = Tuning(heartbeat=0.3, local=Width(connections=2, arrivals=ANY_RATE))
    async with node(tmp_path / "victim", tuning=tuning) as victim:
        async with stranger_to(victim), stranger_to(victim):
            await victim.until(lambda: len(victim.network.peers()) == 2)
            peer, address = parse_peer_address(victim.network.addresses[0])
            async with bare.running(bare.stranger()) as third:
                with pytest.raises(SwarmException):
                    await third.connect(PeerInfo(peer, [address]))
        await victim.until(lambda: not victim.network.peers())
        async with stranger_to(victim):
            await victim.until(lambda: len(victim.network.peers()) == 1)


async def test_an_address_that_connects_too_often_is_refused_before_the_handshake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = Tuning(heartbeat=0.3, local=Width(connections=100, arrivals=Rate(burst=3, per_second=0.01)))
    async with node(tmp_path / "victim", tuning=tuning) as victim:
        port = int(victim.network.addresses[0].split("/")[4])
        for _ in range(3):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"x")
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with trio.fail_after(2):
                with suppress(trio.BrokenResourceError):
                    assert await stream.receive_some() == b""  # not even a protocol's name


# ---- true records, at the wrong time or too many ----


def replay(host: BasicHost, message: rpc_pb2.Message, count: int) -> Iterator[rpc_pb2.RPC]:
    """The message, and its record in new messages."""
    for _ in range(count):
        yield rpc_pb2.RPC(publish=[message])
        yield rpc_pb2.RPC(publish=[signed_message(host, RECORDS, message.data)])


async def test_a_message_that_is_sent_again_later_is_known_without_a_signature_check(
    tmp_path: Path, checks: Counter[str]
) -> None:
    async with node(tmp_path / "victim") as victim, stranger_to(victim) as (host, peer):
        stream = await meshsub(host, peer)
        message = signed_message(host, RECORDS, record(identity_of(host)).raw)
        await stream.write(bare.framed(rpc_pb2.RPC(publish=[message])))
        await victim.until(lambda: bool(victim.all(RecordArrived)))
        once = checks.total()
        victim.network._mesh.flood.seen_messages.cache.clear()  # type: ignore[union-attr]  # as time does
        await send_all(host, peer, replay(host, message, 50))
        new = signed_message(host, RECORDS, record(identity_of(host)).raw)
        await stream.write(bare.framed(rpc_pb2.RPC(publish=[new])))
        await victim.until(lambda: len(victim.all(RecordArrived)) == 2)
        assert once == 2
        assert checks.total() == 4
        old = record(identity_of(host))
    async with node(tmp_path / "victim", records=[old]) as victim, stranger_to(victim) as (host, peer):
        # after a restart, too
        checks.clear()
        stream = await meshsub(host, peer)
        stolen = signed_message(host, RECORDS, old.raw)
        stolen.from_id = b"\x00\x24\x08\x01\x12\x20" + old.author
        await stream.write(bare.framed(rpc_pb2.RPC(publish=[stolen])))
        new = signed_message(host, RECORDS, record(identity_of(host)).raw)
        await stream.write(bare.framed(rpc_pb2.RPC(publish=[new])))
        await victim.until(lambda: bool(victim.all(RecordArrived)))
        assert checks.total() == 2


async def test_records_from_the_future_or_long_ago_are_not_gossiped_and_nobody_is_blamed(
    tmp_path: Path, checks: Counter[str]
) -> None:
    async with node(tmp_path / "victim") as victim, stranger_to(victim) as (host, peer):
        stream = await meshsub(host, peer)
        who = identity_of(host)
        for offset in (MAX_AHEAD_MS + 60_000, -intake.GOSSIP_PAST_MS - 60_000):
            for _ in range(2 * MAX_OFFENCES):
                message = signed_message(host, RECORDS, record(who, time_ms=now_ms() + offset).raw)
                await stream.write(bare.framed(rpc_pb2.RPC(publish=[message])))
        assert checks.total() == 0
        new = signed_message(host, RECORDS, record(who).raw)
        await stream.write(bare.framed(rpc_pb2.RPC(publish=[new])))
        await victim.until(lambda: bool(victim.all(RecordArrived)))
        assert victim.log.count() == 1
        assert not victim.all(PeerRejected)


async def test_old_records_come_by_history_exchange(tmp_path: Path) -> None:
    author = new_identity()
    old = [record(author, time_ms=now_ms() - 10**10 + number) for number in range(300)]
    async with field_of_nodes(tmp_path) as field:
        first = await field.start("first", records=old)
        late = await field.start("late", bootstrap=first.network.addresses)
        await late.until(lambda: late.log.count() == 300)


async def test_contradictory_records_are_kept_and_told_once(tmp_path: Path) -> None:
    async with field_of_nodes(tmp_path) as field:
        victim = await field.start("victim")
        other = await field.start("other", bootstrap=victim.network.addresses)
        await victim.until_heard_by()
        async with stranger_to(victim) as (host, peer):
            stream = await meshsub(host, peer)
            who, moment = identity_of(host), now_ms()
            for number in range(6):
                message = signed_message(host, RECORDS, record(who, time_ms=moment + number // 2).raw)
                await stream.write(bare.framed(rpc_pb2.RPC(publish=[message])))
            await victim.until(lambda: victim.log.count() == 6)
            await other.until(lambda: other.log.count() == 6)
        for each in (victim, other):
            told = [event for event in each.all(Contradicted) if isinstance(event, Contradicted)]
            assert [event.author for event in told] == [who.author]
            assert not each.all(PeerRejected)
        await field.stop("other")
        again = await field.start("other")
        assert again.network._intake.quota.doubted == {who.author}


async def test_an_author_over_his_quota_is_stored_no_more_and_starves_nobody(
    tmp_path: Path, checks: Counter[str]
) -> None:
    flooder = new_identity()
    flood_of_records = [record(flooder, text="x" * 1000, time_ms=now_ms() - 10**8 + n) for n in range(100)]
    one = len(flood_of_records[0].raw) + RECORD_OVERHEAD
    tuning = Tuning(heartbeat=0.3, limits=Limits(author_bytes=20 * one))
    async with field_of_nodes(tmp_path) as field:
        # a node with other limits holds more of that author
        generous = await field.start("generous", records=flood_of_records)
        victim = await field.start("victim", bootstrap=generous.network.addresses, tuning=tuning)
        await victim.until(lambda: bool(victim.all(SyncFinished)))
        held = victim.log.count()
        assert 18 <= held <= 20
        honest = await field.start("honest", bootstrap=victim.network.addresses, tuning=tuning)
        await honest.until(lambda: honest.log.count() == held)
        await victim.until_heard_by(2)
        said = await honest.say()
        for each in (victim, generous):
            await each.until(lambda each=each: each.log.has(said.id))  # type: ignore[misc]
        # what was refused is not checked again when it is offered again
        await field.stop("generous")
        checks.clear()
        generous = await field.start("generous", bootstrap=victim.network.addresses)
        await generous.until(lambda: bool(generous.all(SyncFinished)))
        assert victim.log.count() == held + 1
        assert checks["record"] == 0
        assert not victim.all(PeerRejected)


async def test_what_is_above_an_authors_rate_comes_by_history_exchange(tmp_path: Path) -> None:
    slow = Tuning(heartbeat=0.3, limits=Limits(records=Rate(burst=5, per_second=0.01)))
    async with field_of_nodes(tmp_path) as field:
        hasty = await field.start("hasty", tuning=FAST)
        other = await field.start("other", bootstrap=hasty.network.addresses, tuning=slow)
        await hasty.until_heard_by()
        for _ in range(30):
            await hasty.say()
        await other.until(lambda: other.log.count() == 30)
        ways = Counter(event.via for event in other.all(RecordArrived) if isinstance(event, RecordArrived))
        assert 0 < ways["gossip"] <= 5
        assert not other.all(PeerRejected)


async def test_a_peer_that_leads_exchanges_without_end_is_told_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "VISITS", Rate(burst=3, per_second=0.01))
    async with node(tmp_path / "victim") as victim, stranger_to(victim) as (host, peer):
        answers = []
        for number in range(5):
            talk = open_conversation(host, peer, TProtocol(sync.PROTOCOL), budget=1 << 20, seconds=5)
            with suppress(ConversationError):  # who is refused is hung up on
                async with talk as frames:
                    await frames.send("hello", sync.VERSION, "test", now_ms(), {"archive": False})
                    answers.append((await frames.receive())[:2])
                    await frames.send("bye")
            done = min(number + 1, 3)
            await victim.until(lambda done=done: len(victim.all(SyncFinished)) == done)  # type: ignore[misc]
        # the bare library may lose what was said just before the stream was reset
        assert [answer for answer in answers if answer != ["refuse", "busy"]] == 3 * [["hello", sync.VERSION]]
        assert not victim.all(PeerRejected)


async def test_a_banned_peer_comes_not_back_under_the_same_key(tmp_path: Path) -> None:
    async with node(tmp_path / "victim") as victim:
        peer, address = parse_peer_address(victim.network.addresses[0])
        async with stranger_to(victim) as (host, _):
            await send_all(host, peer, (rpc_pb2.RPC(publish=[INVALID["not_a_record"](host)]) for _ in range(30)))
            await until_cut_off(victim)
            await _forgotten(host)
            connected = len(victim.all(PeerConnected))
            with trio.move_on_after(5):
                await upstream.swarm_of(host).dial_addr(address, peer)
                await _forgotten(host)
            assert len(victim.all(PeerConnected)) == connected
