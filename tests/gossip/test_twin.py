"""Two nodes with one identity are noticed by both; a node that gets its own old records back is alone."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
import trio.testing

from gossip.events import Trouble
from gossip.identity import Identity, new_identity
from gossip.record import Record
from gossip.twin import LOOK_SECONDS, TELL_SECONDS, Twins
from tests.gossip.nodes import Node, node, record


def told(one: Node) -> list[str]:
    return [event.why for event in one.all(Trouble) if isinstance(event, Trouble) and event.what == "identity"]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.schedule.PERIOD_SECONDS", 1.0)


async def test_both_notice_it_when_one_is_given_the_address_of_the_other(tmp_path: Path) -> None:
    me = new_identity()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(node(tmp_path / "a", identity=me))
        second = await stack.enter_async_context(node(tmp_path / "b", identity=me, bootstrap=first.network.addresses))
        for each in (first, second):
            await each.until(lambda each=each: len(told(each)) == 1)  # type: ignore[misc]
            assert "another node uses this node's identity" in told(each)[0]
            assert each.network.peers() == []


async def test_both_notice_it_by_their_records_when_they_meet_only_others(tmp_path: Path) -> None:
    me = new_identity()
    async with AsyncExitStack() as stack:
        middle = await stack.enter_async_context(node(tmp_path / "m"))
        twins = [
            await stack.enter_async_context(node(tmp_path / name, identity=me, bootstrap=middle.network.addresses))
            for name in ("a", "b")
        ]
        for each in twins:
            await each.until(lambda each=each: bool(each.network.peers()))  # type: ignore[misc]
        for _ in range(3):
            for each in twins:
                await each.say()
        for each in twins:
            await each.until(lambda each=each: len(told(each)) == 1, 40)  # type: ignore[misc]
        assert not told(middle)


async def test_a_node_that_lost_its_log_or_meets_itself_has_no_twin(tmp_path: Path) -> None:
    me = new_identity()
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(node(tmp_path / "peer"))
        async with node(tmp_path / "before", identity=me, bootstrap=peer.network.addresses) as before:
            await before.until_heard_by()
            old = [await before.say() for _ in range(5)]
            await peer.until(lambda: not peer.log.missing([r.id for r in old]))
        await peer.until(lambda: not peer.network.peers())
        async with node(tmp_path / "after", identity=me, bootstrap=peer.network.addresses) as after:
            await after.until(lambda: not after.log.missing([r.id for r in old]))
            await after.until_heard_by()
            for _ in range(3):
                await after.say()
            await trio.sleep(3)  # several exchanges
            assert not told(after)
            assert not told(peer)


def twins_of(me: Identity, reports: list[str], now: int = 1_000_000) -> Twins:
    return Twins(me.author, lambda: now, lambda what, why: reports.append(why))


async def test_only_what_this_key_signed_since_the_start_and_this_node_did_not_say_is_a_sign() -> None:
    me, reports = new_identity(), list[str]()
    twins = twins_of(me, reports)
    said, older = record(me, time_ms=1_000_500), record(me, time_ms=999_999)
    twins.sent(said)
    other = record(new_identity(), time_ms=1_000_500)
    forged = Record("presence", bytes(32), me.author, 1_000_600, said.body, said.signature)
    for harmless in (said, older, other):
        twins.arrived(harmless)
        twins.overheard(harmless.raw)
    for raw in (forged.raw, b"", b"\x97\x01"):
        twins.overheard(raw)
    assert reports == []
    await trio.lowlevel.checkpoint()


async def test_it_is_told_once_an_hour_and_strangers_cannot_have_many_signatures_checked(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, reports = new_identity(), list[str]()
    twins = twins_of(me, reports)
    checked: list[Record] = []
    monkeypatch.setattr("gossip.twin.verify", checked.append)
    for _ in range(100):
        twins.overheard(record(me, time_ms=1_000_100).raw)
    assert len(checked) == len(reports) == 1
    await trio.sleep(LOOK_SECONDS + 1)
    twins.overheard(record(me, time_ms=1_000_100).raw)
    assert (len(checked), len(reports)) == (2, 1)
    await trio.sleep(TELL_SECONDS)
    twins.arrived(record(me, time_ms=1_000_100))
    assert len(reports) == 2
