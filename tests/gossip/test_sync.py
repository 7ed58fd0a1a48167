"""History exchange over in-memory streams, with peers that lie, stall, talk nonsense or never end."""

import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgpack
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from libp2p.network.stream.exceptions import StreamEOF
from trio.testing import MockClock, memory_stream_pair

from gossip import batches, leading, reconcile, sync
from gossip import frames as frames_module
from gossip.clock import now_ms
from gossip.events import EventQueue, RecordArrived
from gossip.frames import FRAME_SECONDS, MAX_FRAME, ConversationError, Frames, PeerBroke, PeerGone
from gossip.identity import new_identity
from gossip.intake import MAX_EVENTS_WAITING, Intake
from gossip.layout import WHOLE, Layout
from gossip.log import Log
from gossip.record import Record, RecordError
from tests.gossip.nodes import record

AUTHOR = new_identity()
ABOUT = {"archive": False}
BUDGET = 64 * 1024 * 1024


class MemoryStream:
    """A memory stream that behaves like a libp2p stream: the end raises."""

    def __init__(self, stream: trio.StapledStream[Any, Any]) -> None:
        self._stream = stream

    async def read(self, n: int | None = None) -> bytes:
        data: bytes = await self._stream.receive_some(n)
        if not data:
            raise StreamEOF
        return data

    async def write(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def end(self) -> None:
        await self._stream.aclose()


def stream_pair() -> tuple[MemoryStream, MemoryStream]:
    left, right = memory_stream_pair()
    return MemoryStream(left), MemoryStream(right)


class Side:
    """A log with its intake and events."""

    def __init__(
        self,
        folder: Path,
        records: Sequence[Record],
        check: Callable[[Record], None],
        *,
        archive: bool,
        layout: Layout,
    ) -> None:
        self.log = Log(folder / f"log-{id(self)}")
        self.log.append(records)
        self.events = EventQueue()
        waiting = lambda: self.events.records_waiting  # noqa: E731
        self.intake = Intake(self.log, check, now_ms, self.events.put, waiting, archive=archive, layout=layout)


@asynccontextmanager
async def side(
    folder: Path,
    records: Sequence[Record] = (),
    check: Callable[[Record], None] = lambda new: None,
    *,
    archive: bool = False,
    layout: Layout = WHOLE,
) -> AsyncIterator[Side]:
    made = Side(folder, records, check, archive=archive, layout=layout)
    try:
        yield made
    finally:
        made.log.close()


async def exchange(left: Side, right: Side, *, swarms: tuple[str, str] = ("s", "s"), busy: bool = False) -> list[Any]:
    """Let `left` lead and `right` follow; what each returned or raised."""
    results: list[Any] = [None, None]
    near, far = stream_pair()

    async def keep(index: int, end: MemoryStream, talk: Awaitable[Any]) -> None:
        try:
            results[index] = await talk
        except ConversationError as error:
            results[index] = error
        await end.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, 0, near, sync.lead(Frames(near, budget=BUDGET), left.intake, swarms[0], "right"))
        follow = sync.follow(Frames(far, budget=BUDGET), right.intake, swarms[1], "left", busy=busy)
        nursery.start_soon(keep, 1, far, follow)
    return results


async def counts(left: Side, right: Side) -> list[tuple[int, int]]:
    """Exchange, and what each side received and sent."""
    return [(done.received, done.sent) for done in await exchange(left, right)]


async def test_both_sides_end_with_the_union_in_bounded_frames(tmp_path: Path) -> None:
    records = [record(AUTHOR, text="x" * (n * 97 % 5000)) for n in range(700)]
    async with side(tmp_path, records[:500]) as left, side(tmp_path, records[300:]) as right:
        assert await counts(left, right) == [(200, 300), (300, 200)]
        assert left.log.ids() == right.log.ids()
        assert left.log.count() == 700
        assert left.events.records_waiting == 200
        first = await left.events.receive()
        assert isinstance(first, RecordArrived)
        assert (first.via, first.peer) == ("sync", "right")
        assert await counts(left, right) == [(0, 0), (0, 0)]


async def test_batches_that_are_stored_at_once_are_all_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "TOGETHER", 1)
    records = [record(AUTHOR, text=str(n)) for n in range(2000)]
    async with side(tmp_path) as new, side(tmp_path, records) as old:
        assert await counts(new, old) == [(2000, 0), (0, 2000)]


async def test_what_one_side_forgot_is_neither_sent_nor_fetched_again(tmp_path: Path) -> None:
    records = [record(AUTHOR) for _ in range(700)]
    async with side(tmp_path, records, archive=True) as archive, side(tmp_path, records) as laptop:
        await laptop.intake.forget([(old, b"") for old in records[:600]])
        assert await counts(laptop, archive) == [(0, 0), (0, 0)]
        assert await counts(archive, laptop) == [(0, 0), (0, 0)]
        assert laptop.log.count() == 100
        assert await laptop.intake.store([(records[0], "archive")], "sync") == []  # nor taken when it comes unasked


@pytest.mark.parametrize("newcomer_leads", [True, False])
async def test_a_newcomer_is_told_what_was_forgotten_and_gets_it_from_another_peer(
    tmp_path: Path, newcomer_leads: bool
) -> None:
    records = [record(AUTHOR, text="x" * (n % 50)) for n in range(700)]
    async with side(tmp_path, records) as laptop, side(tmp_path) as newcomer, side(tmp_path, records) as archive:
        await laptop.intake.forget([(old, b"gist") for old in records[::2]])
        pair = (newcomer, laptop) if newcomer_leads else (laptop, newcomer)
        assert sorted(await counts(*pair)) == [(0, 350), (350, 0)]
        assert await counts(newcomer, archive) == [(350, 0), (0, 350)]
        assert newcomer.log.ids() == archive.log.ids()


async def test_only_an_exchange_with_an_archive_tells_what_is_kept_there(tmp_path: Path) -> None:
    records = [record(AUTHOR) for _ in range(20)]
    refused = [record(new_identity())]

    def check(new: Record) -> None:
        if new.author != AUTHOR.author:
            raise RecordError("unwanted")

    async with (
        side(tmp_path, records) as laptop,
        side(tmp_path) as other,
        side(tmp_path, archive=True) as archive,
        side(tmp_path, check=check, archive=True) as picky,
    ):
        assert [done.archived for done in await exchange(laptop, other)] == [0, 0]
        assert [done.archived for done in await exchange(laptop, archive)] == [20, 0]
        laptop.log.append(refused)
        assert [done.archived for done in await exchange(laptop, picky)] == [0, 0]


async def test_the_largest_records_fit(tmp_path: Path) -> None:
    records = [record(AUTHOR, text="x" * 65_000) for _ in range(20)]
    async with side(tmp_path, records[:10]) as left, side(tmp_path, records[10:]) as right:
        assert await counts(left, right) == [(10, 10), (10, 10)]


POOL = [record(AUTHOR) for _ in range(12)]


@given(st.sets(st.sampled_from(range(12))), st.sets(st.sampled_from(range(12))))
@settings(max_examples=25, deadline=None)
def test_any_two_sets_become_their_union(ours: set[int], theirs: set[int]) -> None:
    async def check() -> None:
        with TemporaryDirectory() as folder:
            async with (
                side(Path(folder), [POOL[n] for n in ours]) as left,
                side(Path(folder), [POOL[n] for n in theirs]) as right,
            ):
                await exchange(left, right)
                union = sorted((POOL[n].time_ms, POOL[n].id) for n in ours | theirs)
                assert left.log.ids() == right.log.ids() == union

    trio.run(check)


async def test_other_swarms_and_busy_nodes_say_so(tmp_path: Path) -> None:
    async with side(tmp_path, POOL[:3]) as left, side(tmp_path, POOL[3:]) as right:
        ours, theirs = await exchange(left, right, swarms=("ours", "theirs"))
        assert isinstance(ours, sync.OtherSwarm)
        assert isinstance(theirs, sync.OtherSwarm)
        ours, theirs = await exchange(left, right, busy=True)
        assert isinstance(ours, sync.Busy)
        assert isinstance(theirs, sync.Busy)
        assert (left.log.count(), right.log.count()) == (3, 9)


async def test_what_the_check_refuses_is_not_stored_and_not_fetched_again(tmp_path: Path) -> None:
    def refuse(new: Record) -> None:
        if new.id == POOL[0].id:
            raise RecordError("not this one")

    async with side(tmp_path, [], refuse) as left, side(tmp_path, POOL[:3]) as right:
        assert await counts(left, right) == [(2, 0), (0, 3)]
        assert await counts(left, right) == [(0, 0), (0, 0)]


async def test_each_side_learns_how_far_the_other_clock_is(tmp_path: Path) -> None:
    async with side(tmp_path, POOL[:2]) as left, side(tmp_path) as right:
        right.intake.clock = lambda: now_ms() + 90_000
        ours, theirs = await exchange(left, right)
        assert ours.offset_ms == pytest.approx(90_000, abs=5_000)
        assert theirs.offset_ms == pytest.approx(-90_000, abs=5_000)


async def test_another_version_is_refused_by_name_on_both_sides(tmp_path: Path) -> None:
    answers: list[Any] = []

    async def newer_leader(frames: Frames) -> None:
        await frames.send("hello", sync.VERSION + 1, {"what": "a later version says"})
        answers.append(await frames.receive())

    async def newer_follower(frames: Frames) -> None:
        await frames.receive()
        await frames.send("refuse", "version", sync.VERSION + 1)

    async with side(tmp_path) as near:
        for error in (await follow_against(near, newer_leader), await lead_against(near, newer_follower)):
            assert isinstance(error, sync.OtherVersion)
            assert error.version == sync.VERSION + 1
    assert answers == [["refuse", "version", sync.VERSION]]


async def test_a_leader_leaves_after_much_and_the_next_exchange_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "LEAVE_AFTER_BYTES", 1_000_000)
    records = [record(AUTHOR, text="x" * 2000) for _ in range(2000)]
    async with side(tmp_path, records[:1000]) as left, side(tmp_path, records[1000:]) as right:
        rounds = []
        while not rounds or not rounds[-1].whole:
            rounds.append((await exchange(left, right))[0])
            assert rounds[-1].whole or rounds[-1].received + rounds[-1].sent > 0
        assert len(rounds) >= 3
        assert left.log.ids() == right.log.ids()
        assert sum(one.received for one in rounds) == sum(one.sent for one in rounds) == 1000


# ---- peers that do not keep to it ----


async def lead_against(near: Side, liar: Callable[[Frames], Awaitable[None]]) -> BaseException | None:
    """How our leading side ends against `liar`, who keeps his stream open."""
    ours, theirs = stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_quietly, liar, theirs)
        try:
            frames = Frames(ours, budget=BUDGET)
            with frames.in_time(sync.SESSION_SECONDS):
                await sync.lead(frames, near.intake, "s", "liar")
        except ConversationError as error:
            return error
        finally:
            nursery.cancel_scope.cancel()
    return None


async def follow_against(near: Side, liar: Callable[[Frames], Awaitable[None]]) -> BaseException | None:
    """How our following side ends against `liar`."""
    ours, theirs = stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_quietly, liar, theirs)
        try:
            frames = Frames(ours, budget=BUDGET)
            with frames.in_time(sync.SESSION_SECONDS):
                await sync.follow(frames, near.intake, "s", "liar", busy=False)
        except ConversationError as error:
            return error
        finally:
            nursery.cancel_scope.cancel()
    return None


async def _quietly(liar: Callable[[Frames], Awaitable[None]], stream: MemoryStream) -> None:
    await liar(Frames(stream, budget=BUDGET))
    await trio.sleep_forever()


async def _greet(frames: Frames) -> None:
    """As a follower: hello, and the first question."""
    await frames.receive()
    await frames.send("hello", sync.VERSION, "s", now_ms(), ABOUT)
    assert (await frames.receive())[0] == "reconcile"


def _ids(*ids: bytes) -> bytes:
    """A Negentropy message that lists these as all there is."""
    return b"\x61\x00\x00\x02" + bytes([128 | len(ids) >> 7, len(ids) & 127][len(ids) < 128 :]) + b"".join(ids)


async def _offer(frames: Frames, ids: Sequence[bytes], *answers: Any) -> None:
    """A follower that claims to have `ids`, and gives these answers to what it is asked next."""
    await _greet(frames)
    await frames.send("reconcile", _ids(*ids))
    for answer in answers:
        await frames.receive()
        await frames.send(*answer)


OTHER = record(AUTHOR)
BAD_SIGNATURE = Record(OTHER.kind, OTHER.task, OTHER.author, OTHER.time_ms, OTHER.body, bytes(64))


async def _reconcile(frames: Frames, message: Any) -> None:
    await _greet(frames)
    await frames.send("reconcile", message)


LIES: dict[str, Callable[[Frames], Awaitable[None]]] = {
    "no hello": lambda frames: frames.send("good morning"),
    "hello of wrong types": lambda frames: frames.send("hello", "1", 2, 3),
    "hello without a time": lambda frames: frames.send("hello", sync.VERSION, "s"),
    "hello with a garbled time": lambda frames: frames.send("hello", sync.VERSION, "s", b"noon", ABOUT),
    "hello with a time before all": lambda frames: frames.send("hello", sync.VERSION, "s", 0, ABOUT),
    "hello with a truth for a time": lambda frames: frames.send("hello", sync.VERSION, "s", True, ABOUT),
    "hello that says nothing of itself": lambda frames: frames.send("hello", sync.VERSION, "s", 1),
    "hello with a number for an archive": lambda frames: frames.send("hello", sync.VERSION, "s", 1, {"archive": 1}),
    "refusing its own swarm": lambda frames: frames.send("refuse", "swarm", "s"),
    "refusing its own version": lambda frames: frames.send("refuse", "version", sync.VERSION),
    "text for a message": lambda frames: _reconcile(frames, "text"),
    "garbage for a message": lambda frames: _reconcile(frames, b"\x61\xff\xff"),
    "no message": lambda frames: _reconcile(frames, b""),
    "another version of Negentropy": lambda frames: _reconcile(frames, b"\x62"),
    "a message that is too large": lambda frames: _reconcile(frames, b"\x61" * (reconcile.MAX_MESSAGE + 1)),
    "an id twice": lambda frames: _offer(frames, [POOL[0].id, POOL[0].id]),
    "records that do not exist": lambda frames: _offer(frames, [bytes(32)], ("records", [])),
    "forgetting what nobody asked for": lambda frames: _offer(frames, [POOL[0].id], ("forgotten", POOL[1].id)),
    "forgetting nothing": lambda frames: _offer(frames, [POOL[0].id], ("forgotten", b"")),
    "other records than asked for": lambda frames: _offer(frames, [POOL[0].id], ("records", [POOL[1].raw])),
    "more than asked for": lambda frames: _offer(frames, [POOL[0].id], ("records", [POOL[0].raw, POOL[1].raw])),
    "garbage for records": lambda frames: _offer(frames, [POOL[0].id], ("records", [b"garbage"])),
    "text for records": lambda frames: _offer(frames, [POOL[0].id], ("records", ["text"])),
    "a forged record": lambda frames: _offer(frames, [OTHER.id], ("records", [BAD_SIGNATURE.raw])),
    "another answer": lambda frames: _offer(frames, [POOL[0].id], ("took", 1)),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_leader_is_not_taken_in(lie: str, tmp_path: Path) -> None:
    async with side(tmp_path) as near:
        error = await lead_against(near, LIES[lie])
        assert isinstance(error, PeerBroke), error
        assert near.log.count() == 0


async def _ask(frames: Frames, *wishes: Any) -> None:
    await frames.send("hello", sync.VERSION, "s", now_ms(), {"archive": False})
    await frames.receive()
    for wish in wishes:
        await frames.send(*wish)
        await frames.receive()


WISHES: dict[str, tuple[Any, ...]] = {
    "nothing": ("want", b""),
    "half an id": ("want", b"x" * 16),
    "too many": ("want", bytes(32 * (batches.BATCH_RECORDS + 1))),
    "what is not here": ("want", bytes(32)),
    "an unknown word": ("please", 1),
    "garbage for a message": ("reconcile", b"\x61garbage"),
    "text for a message": ("reconcile", "text"),
    "a message that is too large": ("reconcile", b"\x61" * (reconcile.MAX_MESSAGE + 1)),
    "no records to give": ("give", []),
    "numbers to give": ("give", [1, 2]),
    "too many to give": ("give", [b"x"] * (batches.BATCH_RECORDS + 1)),
    "garbage to give": ("give", [b"garbage"]),
    "a forged record to give": ("give", [BAD_SIGNATURE.raw]),
}


@pytest.mark.parametrize("wish", WISHES)
async def test_a_follower_is_not_taken_in(wish: str, tmp_path: Path) -> None:
    async with side(tmp_path, POOL[:2]) as near:
        error = await follow_against(near, lambda frames: _ask(frames, WISHES[wish]))
        assert isinstance(error, PeerBroke), error
        assert near.log.count() == 2


async def test_each_batch_stays_when_the_exchange_breaks_off_and_the_next_goes_on(tmp_path: Path) -> None:
    records = [record(AUTHOR) for _ in range(600)]
    by_id = {r.id: r for r in records}
    asked: list[bytes] = []

    async def breaks_off(frames: Frames) -> None:
        await _greet(frames)
        await frames.send("reconcile", _ids(*by_id))
        word, wanted = await frames.receive()
        assert word == "want"
        asked.extend(wanted[start : start + 32] for start in range(0, len(wanted), 32))
        await frames.send("records", [by_id[i].raw for i in asked])
        await frames.send("nonsense")

    async with side(tmp_path) as near, side(tmp_path, records) as far:
        assert isinstance(await lead_against(near, breaks_off), PeerBroke)
        assert near.log.count() == len(asked) == batches.BATCH_RECORDS
        left = 600 - batches.BATCH_RECORDS
        assert await counts(near, far) == [(left, 0), (0, left)]


def test_what_a_slow_peer_gives_is_stored_while_the_exchange_goes_on(tmp_path: Path) -> None:
    records = {r.id: r for r in (record(AUTHOR) for _ in range(4))}
    stored: list[int] = []

    async def check() -> None:
        async with side(tmp_path) as near:

            async def slow(frames: Frames) -> None:
                await _greet(frames)
                await frames.send("reconcile", _ids(*records))
                while (frame := await frames.receive())[0] == "want":
                    await trio.sleep(2 * leading.TOGETHER_SECONDS)
                    stored.append(near.log.count())
                    await frames.send("records", [records[frame[1][:32]].raw])

            assert await lead_against(near, slow) is None
            assert (stored, near.log.count()) == ([0, 1, 2, 3], 4)

    trio.run(check, clock=MockClock(autojump_threshold=0.1))  # as this side also works in threads


async def test_a_silent_peer_is_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    async def silent(frames: Frames) -> None:
        await trio.sleep_forever()

    started = trio.current_time()
    async with side(tmp_path) as near:
        assert isinstance(await lead_against(near, silent), PeerGone)
    assert trio.current_time() - started == pytest.approx(FRAME_SECONDS, abs=1)


def test_a_follower_that_answers_just_often_enough_is_left_too(tmp_path: Path) -> None:
    async def slow(frames: Frames) -> None:
        await frames.receive()
        await frames.send("hello", sync.VERSION, "s", now_ms(), {"archive": False})
        while True:
            await trio.sleep(FRAME_SECONDS - 5)
            await frames.send("reconcile", b"\x61\x00\x00\x01" + os.urandom(16))

    async def check() -> None:
        async with side(tmp_path, POOL) as near:
            error = await lead_against(near, slow)
            assert isinstance(error, PeerGone)
            assert "slowly" in str(error)

    # a jump only when nothing has happened for a while: this side also works in threads
    trio.run(check, clock=MockClock(autojump_threshold=0.1))


async def test_a_frame_that_trickles_is_left(autojump_clock: MockClock) -> None:
    ours, theirs = stream_pair()

    async def trickle() -> None:
        await theirs.write((1000).to_bytes(4, "big"))
        while True:
            await theirs.write(b"x")
            await trio.sleep(FRAME_SECONDS / 10)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        frames = Frames(ours, budget=BUDGET)
        with pytest.raises(PeerGone, match="nothing came"), frames.in_time(sync.SESSION_SECONDS):
            await frames.receive()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "data",
    [
        (MAX_FRAME + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\0\0\1\xc1",
        b"\0\0\0\1\x90",
        b"\0\0\0\5\x81\x90\x01\x01\x01",
        (100_000).to_bytes(4, "big") + b"\x91" * 100_000,
    ],
)
async def test_a_frame_that_is_none_is_refused_unread(data: bytes) -> None:
    ours, theirs = stream_pair()
    await theirs.write(data)
    with pytest.raises(PeerBroke):
        await Frames(ours, budget=BUDGET).receive()


async def test_a_stream_that_ends_raises() -> None:
    ours, theirs = stream_pair()
    await theirs.write(b"\0\0")
    await theirs.end()
    with pytest.raises(PeerGone):
        await Frames(ours, budget=BUDGET).receive()


async def test_the_byte_budget_bounds_both_directions() -> None:
    ours, theirs = stream_pair()
    far, near = Frames(theirs, budget=BUDGET), Frames(ours, budget=1000)

    async def talk(sender: Frames, receiver: Frames) -> int:
        for count in range(10):
            await sender.send("x" * 300)
            try:
                await receiver.receive()
            except ConversationError:
                return count
        return math.nan  # type: ignore[return-value]

    assert await talk(far, near) == 3
    for _ in range(3):
        await near.send("x" * 300)
    with pytest.raises(ConversationError, match="spent"):
        await near.send("x" * 300)


async def test_a_follower_that_never_comes_to_an_end_is_left(tmp_path: Path) -> None:
    async def endless(frames: Frames) -> None:
        await _greet(frames)
        while True:
            await frames.send("reconcile", b"\x61\x00\x00\x01" + os.urandom(16))
            await frames.receive()

    async with side(tmp_path, POOL) as near:
        error = await lead_against(near, endless)
        assert isinstance(error, PeerBroke)
        assert "led to no record" in str(error)


async def test_a_leader_that_never_comes_to_an_end_is_left(tmp_path: Path) -> None:
    async def endless(frames: Frames) -> None:
        await frames.send("hello", sync.VERSION, "s", now_ms(), {"archive": False})
        while True:
            await frames.receive()
            await frames.send("reconcile", b"\x61\x00\x00\x01" + os.urandom(16))

    async with side(tmp_path, POOL) as near:
        error = await follow_against(near, endless)
        assert isinstance(error, PeerBroke)
        assert "led to no record" in str(error)


async def test_fetching_waits_for_a_node_that_has_not_read_its_events(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    waiting = MAX_EVENTS_WAITING + 1
    with Log(tmp_path / "log") as log:
        intake = Intake(log, lambda new: None, now_ms, lambda event: None, lambda: waiting)
        with trio.move_on_after(60) as scope:
            await intake.room()
        assert scope.cancelled_caught
        waiting = 0
        with trio.fail_after(1):
            await intake.room()


def test_frames_are_plain_msgpack() -> None:
    async def check() -> bytes:
        near, far = stream_pair()
        await Frames(near, budget=BUDGET).send("want", b"1")
        return await far.read(100)

    data = trio.run(check)
    assert data == len(data[4:]).to_bytes(frames_module.HEADER_BYTES, "big") + msgpack.packb(["want", b"1"])
