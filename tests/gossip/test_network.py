"""Nodes over real sockets: they find each other, exchange everything, and outlive each other."""

import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from gossip.clock import now_ms
from gossip.events import (
    PeerConnected,
    PeerLost,
    PeerRejected,
    PresenceArrived,
    RecordArrived,
    SyncFinished,
    Trouble,
)
from gossip.guard import MAX_OFFENCES
from gossip.host import AddressError, ListenError, peer_id_of
from gossip.identity import new_identity
from gossip.log import Log
from gossip.network import open_network
from gossip.record import MAX_BYTES, PRESENCE, Record, RecordError
from tests.gossip.nodes import LOOPBACK, field_of_nodes, node, record


async def test_a_record_reaches_every_node_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(node(tmp_path / "first"))
        others = [
            await stack.enter_async_context(node(tmp_path / f"{n}", bootstrap=first.network.addresses))
            for n in range(3)
        ]
        swarm = [first, *others]
        for each in swarm:
            await each.until(lambda each=each: len(each.network.peers()) == 3)  # type: ignore[misc]
        for each in swarm:
            await each.until_heard_by(3)
        said = [await each.say() for each in swarm]
        for each in swarm:
            await each.until(lambda each=each: each.log.count() == len(said))  # type: ignore[misc]
        await trio.sleep(0.5)  # time for duplicates to show
        for each in swarm:
            arrived = [event.record.id for event in each.all(RecordArrived) if isinstance(event, RecordArrived)]
            assert sorted(arrived) == sorted(r.id for r in said if r.author != each.identity.author)


async def test_a_peer_says_who_it_is_and_which_side_dialled(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "a") as a,
        node(tmp_path / "b", bootstrap=a.network.addresses) as b,
    ):
        await a.until(lambda: bool(a.network.peers()))
        await b.until(lambda: bool(b.network.peers()))
        (seen_by_a,), (seen_by_b,) = a.network.peers(), b.network.peers()
        assert seen_by_a.peer == b.peer == peer_id_of(b.identity.author)
        assert seen_by_b.peer == a.peer
        assert (seen_by_a.inbound, seen_by_b.inbound) == (True, False)
        assert seen_by_b.address == a.network.addresses[0].split("/p2p/")[0]
        assert abs(seen_by_a.since - now_ms()) < 10_000


async def test_a_joiner_gets_the_whole_history(tmp_path: Path) -> None:
    authors = [new_identity() for _ in range(5)]
    history = [record(authors[n % 5], text="x" * 500) for n in range(3000)]
    own = [record(new_identity()) for _ in range(200)]
    async with (
        node(tmp_path / "old", records=history) as old,
        node(tmp_path / "joiner", records=own, bootstrap=old.network.addresses) as joiner,
    ):
        started = time.monotonic()
        await joiner.until(lambda: bool(joiner.all(SyncFinished)), seconds=30)
        print(f"3,000 records in {time.monotonic() - started:.1f} s")
        await old.until(lambda: bool(old.all(SyncFinished)))
        assert joiner.log.ids() == old.log.ids()
        assert replace(joiner.all(SyncFinished)[0], offset_ms=0) == SyncFinished(old.peer, 3000, 200)
        assert replace(old.all(SyncFinished)[0], offset_ms=0) == SyncFinished(joiner.peer, 200, 3000)
        assert len(joiner.all(RecordArrived)) == 3000


async def test_history_travels_on_from_a_joiner_to_peers_of_peers(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "a") as a,
        node(tmp_path / "b", bootstrap=a.network.addresses) as b,
    ):
        await b.until(lambda: bool(b.all(SyncFinished)))
        history = [record(new_identity()) for _ in range(10)]
        async with node(tmp_path / "c", records=history, bootstrap=b.network.addresses):
            await a.until(lambda: a.log.count() == 10)


async def test_nodes_that_know_one_address_become_a_mesh_that_outlives_it(tmp_path: Path) -> None:
    async with field_of_nodes(tmp_path) as field:
        first = await field.start("first")
        others = [await field.start(f"{n}", bootstrap=first.network.addresses) for n in range(4)]
        for each in others:
            await each.until(lambda each=each: len(each.network.peers()) == 4)  # type: ignore[misc]
        await field.stop("first")
        for each in others:
            await each.until(lambda each=each: len(each.network.peers()) == 3)  # type: ignore[misc]
        said = await others[0].say()
        for each in others:
            await each.until(lambda each=each: each.log.has(said.id))  # type: ignore[misc]


async def test_a_restarted_bootstrap_is_joined_again_and_its_new_records_are_not_taken_for_old_ones(
    tmp_path: Path,
) -> None:
    identity = new_identity()
    async with field_of_nodes(tmp_path) as field:
        first = await field.start("first", identity=identity)
        other = await field.start("other", bootstrap=first.network.addresses)
        await other.until(lambda: bool(other.all(SyncFinished)))
        for _ in range(50):
            await first.say()
        await other.until(lambda: other.log.count() == 50)
        listen = [first.network.addresses[0].split("/p2p/")[0]]
        await field.stop("first")
        await other.until(lambda: bool(other.all(PeerLost)))
        first = await field.start("first", identity=identity, listen=listen)
        await first.until_heard_by()
        for _ in range(50):
            await first.say()
        await other.until(lambda: len(other.all(RecordArrived)) == 100)
        assert {event.via for event in other.all(RecordArrived)[50:] if isinstance(event, RecordArrived)} == {"gossip"}


async def test_a_bootstrap_that_starts_later_is_found_and_a_dead_one_does_no_harm(tmp_path: Path) -> None:
    late = new_identity()
    async with node(tmp_path / "measure") as measure:
        listen = [measure.network.addresses[0].split("/p2p/")[0]]
    nobody = f"/ip4/127.0.0.1/tcp/9/p2p/{peer_id_of(new_identity().author)}"
    wrong = f"/ip4/127.0.0.1/tcp/9/p2p/{peer_id_of(late.author)}"
    right = f"{listen[0]}/p2p/{peer_id_of(late.author)}"
    async with node(tmp_path / "early", bootstrap=[nobody, wrong, right]) as early:
        await early.until(lambda: len(early.all(Trouble)) == 2)
        async with node(tmp_path / "late", identity=late, listen=listen) as started:
            await early.until(lambda: bool(early.network.peers()))
            said = await started.say()
            await early.until(lambda: early.log.has(said.id))


async def test_another_node_under_a_known_address_is_not_taken_for_it(tmp_path: Path) -> None:
    async with node(tmp_path / "a") as a:
        address = a.network.addresses[0].split("/p2p/")[0]
        expected = f"{address}/p2p/{peer_id_of(new_identity().author)}"
        async with node(tmp_path / "b", bootstrap=[expected]) as b:
            await b.until(lambda: bool(b.all(Trouble)))
            assert b.network.peers() == []


async def test_a_node_of_another_swarm_gets_nothing_and_is_shut_out(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "a", swarm="ours", records=[record(new_identity())]) as a,
        node(tmp_path / "b", swarm="theirs", records=[record(new_identity())], bootstrap=a.network.addresses) as b,
    ):
        await a.until(lambda: bool(a.all(PeerRejected)))
        await b.until(lambda: bool(b.all(PeerRejected)))
        (event,) = a.all(PeerRejected)
        assert isinstance(event, PeerRejected)
        assert "swarm 'theirs'" in event.reason
        await a.say()
        await b.say()
        await a.until(lambda: not a.network.peers())
        assert (a.log.count(), b.log.count()) == (2, 2)
        assert not a.all(RecordArrived) + b.all(RecordArrived)


def refuse_bad(new: Record) -> None:
    if new.value()["text"] == "bad":
        raise RecordError("the text is bad")


async def test_a_record_that_the_node_refuses_is_neither_stored_nor_forwarded(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "m", check=refuse_bad) as middle,
        node(tmp_path / "l", bootstrap=middle.network.addresses) as left,
        node(tmp_path / "r", bootstrap=middle.network.addresses) as right,
    ):
        left.network._admission.guard.blame(right.peer, trio.current_time(), 1000)
        right.network._admission.guard.blame(left.peer, trio.current_time(), 1000)
        await middle.until_heard_by(2)
        await left.until_heard_by()
        for text in ("bad", "good"):
            new = record(left.identity, text=text)
            left.log.append([new])
            await left.network.publish(new)
        await right.until(lambda: bool(right.all(RecordArrived)))
        (arrived,) = right.all(RecordArrived)
        assert isinstance(arrived, RecordArrived)
        assert arrived.record.value()["text"] == "good"
        assert middle.log.count() == 1


async def test_a_peer_that_goes_on_sending_refused_records_is_shut_out(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "a", check=refuse_bad) as a,
        node(tmp_path / "b", bootstrap=a.network.addresses) as b,
    ):
        await b.until_heard_by()
        for _ in range(MAX_OFFENCES + 2):
            await b.network.publish(record(b.identity, text="bad"))
        await a.until(lambda: bool(a.all(PeerRejected)))
        await a.until(lambda: not a.network.peers())
        assert a.log.count() == 0


async def test_a_check_that_fails_itself_refuses_the_record_and_stops_nothing(tmp_path: Path) -> None:
    def broken(new: Record) -> None:
        raise KeyError("a fault of the node's")

    async with (
        node(tmp_path / "a", check=broken, records=[]) as a,
        node(tmp_path / "b", records=[record(new_identity())], bootstrap=a.network.addresses) as b,
    ):
        await a.until_heard_by()
        await b.until_heard_by()
        await b.say()
        said = await a.say()
        await b.until(lambda: b.log.has(said.id))
        assert a.log.count() == 1


async def test_presence_arrives_and_is_not_stored(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "a") as a,
        node(tmp_path / "b", bootstrap=a.network.addresses) as b,
    ):
        await b.until_heard_by()
        here = record(b.identity, PRESENCE)
        await b.network.announce(here)
        await a.until(lambda: a.all(PresenceArrived) == [PresenceArrived(here)])
        for stale in (here.time_ms, here.time_ms - 1, here.time_ms - 600_000, here.time_ms + 300_000):
            await b.network.announce(record(b.identity, PRESENCE, time_ms=stale))
        for n in range(30):
            await b.network.announce(record(b.identity, PRESENCE, time_ms=here.time_ms + 1 + n))
        said = await b.say()
        await a.until(lambda: a.log.has(said.id))
        await trio.sleep(0.2)
        assert 2 <= len(a.all(PresenceArrived)) <= 15
        assert a.log.count() == 1


async def test_addresses_of_a_node_that_listens_everywhere_are_real_and_loopback_comes_last(tmp_path: Path) -> None:
    async with node(tmp_path / "a", listen=["/ip4/0.0.0.0/tcp/0"]) as a:
        assert "/ip4/0.0.0.0/" not in "".join(a.network.addresses)
        assert a.network.addresses[-1].startswith("/ip4/127.0.0.1/tcp/")
        assert all(address.endswith(f"/p2p/{peer_id_of(a.identity.author)}") for address in a.network.addresses)
        async with node(tmp_path / "b", bootstrap=a.network.addresses) as b:
            await b.until(lambda: bool(b.network.peers()))


async def test_a_port_in_use_and_malformed_addresses_are_named_errors(tmp_path: Path) -> None:
    async with node(tmp_path / "a") as a:
        taken = a.network.addresses[0].split("/p2p/")[0]
        with pytest.raises(ListenError, match="in use"):
            async with node(tmp_path / "b", listen=[taken]):
                pass
    for listen in ("nonsense", "/ip4/127.0.0.1/udp/1", "/dns4/example.org/tcp/1", "/ip4/203.0.113.7/tcp/0"):
        with pytest.raises(ListenError):
            async with node(tmp_path / "c", listen=[listen]):
                pass
    for bootstrap in ("", "nonsense", "/ip4/127.0.0.1/tcp/1", f"/p2p/{peer_id_of(bytes(32))}"):
        with pytest.raises(AddressError):
            async with node(tmp_path / "d", bootstrap=[bootstrap]):
                pass


async def test_an_error_in_the_block_comes_out_as_it_was(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log, pytest.raises(ZeroDivisionError):
        async with open_network(
            new_identity(), log, swarm="test", listen=[LOOPBACK], bootstrap=[], check=lambda new: None
        ):
            raise ZeroDivisionError


async def test_closing_is_quick_also_when_cancelled_and_peers_hear_of_it(tmp_path: Path) -> None:
    async with node(tmp_path / "a") as a:
        with trio.CancelScope() as scope:
            async with node(tmp_path / "b", bootstrap=a.network.addresses) as b:
                await b.until(lambda: bool(b.network.peers()))
                await a.until(lambda: bool(a.network.peers()))
                started = time.monotonic()
                scope.cancel()
                await trio.sleep_forever()
        assert time.monotonic() - started < 2
        await a.until(lambda: not a.network.peers(), seconds=2)


async def test_the_network_is_built_anew_when_its_machinery_fails(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "a") as a,
        node(tmp_path / "b", bootstrap=a.network.addresses) as b,
    ):
        await b.until(lambda: bool(b.all(SyncFinished)))
        addresses = list(a.network.addresses)
        flood = a.network._mesh.flood
        assert flood is not None

        async def fail() -> None:
            raise RuntimeError("a fault nobody foresaw")

        flood.manager.run_task(fail)
        await a.until(lambda: bool(a.all(Trouble)))
        assert isinstance(event := a.all(Trouble)[0], Trouble)
        assert "a fault nobody foresaw" in event.why
        await b.until(lambda: len(b.all(PeerConnected)) == 2)
        await a.until(lambda: len(a.all(PeerLost)) == 1)
        assert a.network.addresses == addresses
        said = await b.say()
        await a.until(lambda: a.log.has(said.id))


async def test_what_is_larger_than_a_record_may_be_is_refused_and_the_largest_record_travels(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "a") as a,
        node(tmp_path / "b", bootstrap=a.network.addresses) as b,
    ):
        await b.until_heard_by()
        large = record(b.identity, text="x" * (MAX_BYTES - 300))
        b.log.append([large])
        await b.network.publish(large)
        await a.until(lambda: a.log.has(large.id))
        huge = Record("insight", bytes(32), b.identity.author, now_ms(), b"x" * (1 << 20), bytes(64))
        with pytest.raises(ValueError, match="1048"):
            await b.network.publish(huge)
