"""History exchange between two nodes, `/arnode/sync/1`: after it, each has every record that the other had.

A conversation of frames (gossip/frames.py); the node that opened the stream leads, and asks:

    hello, version, swarm, time, about
                                   both ways; a node of another version or swarm, or a busy one, answers `refuse, …`
    reconcile, message             answered by `reconcile, message`: Negentropy (gossip/reconcile.py)
    want, ids                      answered by `records, […]`: at least one and as many as fit a frame, in that order;
                                   or by `forgotten, ids`: those of them that are not kept here any more
    give, […]                      answered by `took, new` when they are on disk
    bye                            not answered

Most exchanges find nothing: one `reconcile` for each shelf tells so, and the leader says goodbye. Where something
differs it has up to AHEAD requests under way, answered in order, and goes on comparing while it fetches and gives what
was found so far. So wire, checks and disk work at the same time, and neither side holds more than a few batches. Each
batch is durable before it counts; an interrupted exchange is continued by the next, which finds less to do. Nothing is
taken on trust: records are checked as any stranger's, only those that were asked for are fetched, and bytes, time and
idle talk are bounded.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio

from gossip import reconcile
from gossip.frames import ConversationError, Frames, PeerBroke, PeerGone
from gossip.intake import Intake, Refused
from gossip.items import ID_BYTES, Items
from gossip.layout import MAX_SHELVES, RECORDS, is_shelf
from gossip.negentropy import Step
from gossip.reconcile import Progress
from gossip.record import FromTheFuture, Record
from gossip.supervise import alone

PROTOCOL: Final = "/arnode/sync/1"
VERSION: Final = 1
SESSION_SECONDS: Final = 600.0
SESSION_BYTES: Final = 512 * 1024 * 1024
PATIENCE_SECONDS: Final = 60.0
LEAST_BYTES_PER_SECOND: Final = 2000
LEAVE_AFTER_SECONDS: Final = 450.0
LEAVE_AFTER_BYTES: Final = 384 * 1024 * 1024
BATCH_RECORDS: Final = 256
BATCH_BYTES: Final = 384 * 1024
AHEAD: Final = 4
AT_ONCE: Final = 4  # batches that came and are not on disk yet
ENOUGH_FOUND: Final = 4096


class OtherSwarm(ConversationError):
    """The peer belongs to another swarm, so nothing is exchanged."""


class OtherVersion(ConversationError):
    """The peer speaks another version of this protocol, so nothing is exchanged. version: the peer's."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the peer speaks version {version} of history exchange, this node {VERSION}")
        self.version = version


class Busy(ConversationError):
    """The peer has no time for an exchange just now."""


@dataclass(frozen=True)
class Exchanged:
    """How many records came that were new here, and how many the other side took that were new there.

    offset_ms: the peer's clock minus this node's; good to half a round trip on the leader's side, to the time that a
    frame travels on the follower's. whole: False if the leader stopped early and there is more to exchange. archived:
    what the leader had up to this number of arrival is now with the peer, who keeps everything; 0 where that is not so.
    """

    received: int
    sent: int
    offset_ms: int = 0
    whole: bool = True
    archived: int = 0


async def lead(frames: Frames, intake: Intake, swarm: str, peer: str) -> Exchanged:
    """Exchange histories with `peer`. Raises ConversationError, LogError."""
    asked_ms = intake.clock()
    await frames.send("hello", VERSION, swarm, asked_ms, await _about(intake))
    match await frames.receive():
        case ["hello", int(version), *_] if version != VERSION:
            raise OtherVersion(version)
        case ["hello", int(), str(theirs), int(time_ms), {"archive": bool(archive)} as about] if _is_time(time_ms):
            _same_swarm(theirs, swarm)
        case ["refuse", "version", int(version)] if version != VERSION:
            raise OtherVersion(version)
        case ["refuse", "swarm", str(theirs)] if theirs != swarm:
            _same_swarm(theirs, swarm)
        case ["refuse", "busy"]:
            raise Busy("the peer is busy")
        case _:
            raise PeerBroke("did not say hello")
    offset_ms = time_ms - (asked_ms + intake.clock()) // 2
    arrived = await intake.arrived() if archive else 0
    leader = _Leader(frames, intake, peer)
    shelves = iter(await _shared(intake, about))
    if await leader.finds_one_that_differs(shelves):
        async with frames.reading_ahead(AHEAD):
            await leader.run()
            while leader.whole and await leader.finds_one_that_differs(shelves):
                await leader.run()
    await frames.send("bye")
    archived = arrived if leader.whole and leader.all_taken else 0
    return Exchanged(leader.received, leader.sent, offset_ms, leader.whole, archived)


async def follow(frames: Frames, intake: Intake, swarm: str, peer: str, *, busy: bool) -> Exchanged:
    """The other side of `lead`. Raises ConversationError, LogError."""
    match await frames.receive():
        case ["hello", int(version), *_] if version != VERSION:
            await frames.send("refuse", "version", VERSION)
            raise OtherVersion(version)
        case ["hello", int(), str(theirs), int(time_ms), {"archive": bool()}] if _is_time(time_ms):
            if theirs != swarm:
                await frames.send("refuse", "swarm", swarm)
                _same_swarm(theirs, swarm)
        case _:
            raise PeerBroke("did not say hello")
    if busy:
        await frames.send("refuse", "busy")
        raise Busy("this node is busy")
    offset_ms = time_ms - intake.clock()
    await frames.send("hello", VERSION, swarm, intake.clock(), await _about(intake))
    received, sent = await _serve(frames, intake, peer)
    return Exchanged(received, sent, offset_ms)


class _Leader:
    """The asking side after the greeting: what is known to differ, and the requests under way."""

    def __init__(self, frames: Frames, intake: Intake, peer: str) -> None:
        self.received = 0
        self.sent = 0
        self.whole = True
        self.all_taken = True
        self._frames = frames
        self._intake = intake
        self._shelf = RECORDS
        self._items = Items()
        self._peer = peer
        self._progress = Progress()
        self._message: bytes | None = None
        self._need: deque[bytes] = deque()
        self._have: deque[bytes] = deque()
        self._given: set[bytes] = set()
        self._asked: deque[tuple[str, Sequence[bytes]]] = deque()
        self._room = trio.Semaphore(AT_ONCE)
        self._carried = 0
        self._waited = 0.0
        self._started = trio.current_time()

    async def finds_one_that_differs(self, shelves: Iterator[str]) -> bool:
        """Compare shelves, by one round trip each, until something differs; `run` goes on with that one."""
        for shelf in shelves:
            self._shelf, self._items = shelf, await self._intake.items(shelf)
            self._progress.message()
            await self._frames.send("reconcile", await reconcile.begin(self._items), *_named(shelf))
            match await self._answer():
                case ["reconcile", bytes(message)]:
                    self._note(await reconcile.compare(self._items, message))
                case _:
                    raise PeerBroke("did not answer 'reconcile' with what was asked for")
            if self._message is not None or self._need or self._have:
                return True
        return False

    async def run(self) -> None:
        """Until nothing of the shelf differs, or so much was exchanged that another conversation should go on.

        Several batches are checked at once. If the conversation breaks off, those that came are still stored.
        """
        broken: ConversationError | None = None
        try:
            async with trio.open_nursery() as nursery:
                try:
                    await self._converse(nursery)
                except ConversationError as error:
                    broken = error
        except BaseExceptionGroup as group:
            raise alone(group.exceptions[0])  # noqa: B904 - one reason is enough, without its wrapping
        if broken is not None:
            raise broken

    async def _converse(self, nursery: trio.Nursery) -> None:
        while True:
            while len(self._asked) < AHEAD and (request := await self._next_request()):
                word, content, batch = request
                await self._frames.send(word, content, *(_named(self._shelf) if word == "reconcile" else []))
                self._asked.append((word, batch))
            if not self._asked:
                return
            word, batch = self._asked.popleft()
            await self._settle(word, batch, await self._answer(), nursery)

    async def _answer(self) -> list[Any]:
        asked = trio.current_time()
        answer = await self._frames.receive()
        self._waited += trio.current_time() - asked
        if self._waited > PATIENCE_SECONDS and self._carried < self._waited * LEAST_BYTES_PER_SECOND:
            raise PeerGone(f"answered so slowly that {self._waited:.0f} s went into waiting")
        return answer

    async def _next_request(self) -> tuple[str, Any, Sequence[bytes]] | None:
        """Word and content of the next frame, and the ids that it is about."""
        tired = self._carried > LEAVE_AFTER_BYTES or trio.current_time() - self._started > LEAVE_AFTER_SECONDS
        if tired or self._intake.storage.blocked:
            self.whole = self._message is None and not self._need and not self._have
            return None
        if self._message is not None and len(self._need) + len(self._have) < ENOUGH_FOUND:
            self._progress.message()
            message, self._message = self._message, None
            return "reconcile", message, ()
        while self._need:
            await self._intake.room()
            if batch := await self._intake.wanted(_first(self._need, BATCH_RECORDS)):
                return "want", b"".join(batch), batch
        while self._have:
            batch = await self._intake.kept(_first(self._have, BATCH_RECORDS))
            if batch and (raws := await self._intake.raws(batch, BATCH_BYTES)):
                self._have.extendleft(reversed(batch[len(raws) :]))
                self._carried += sum(map(len, raws))
                return "give", raws, batch[: len(raws)]
        return None

    async def _settle(self, word: str, batch: Sequence[bytes], answer: list[Any], nursery: trio.Nursery) -> None:
        match word, answer:
            case "reconcile", ["reconcile", bytes(message)]:
                self._note(await reconcile.compare(self._items, message))
            case "want", ["records", list(raws)] if _is_batch(raws) and len(raws) <= len(batch):
                self._need.extendleft(reversed(batch[len(raws) :]))
                self._carried += sum(map(len, raws))
                await self._room.acquire()
                nursery.start_soon(self._keep, raws, batch[: len(raws)])
                self._progress.record()
            case "want", ["forgotten", bytes(ids)] if _are_ids(ids):
                gone = _split(ids)
                if not set(gone) <= set(batch):
                    raise PeerBroke("forgot records that nobody asked for")
                self._need.extendleft(reversed([record_id for record_id in batch if record_id not in gone]))
                self._progress.record()
            case "give", ["took", int(new)] if 0 <= new <= len(batch):
                self.sent += new
                self.all_taken = self.all_taken and new == len(batch)
                self._progress.record()
            case _:
                raise PeerBroke(f"did not answer {word!r} with what was asked for")

    def _note(self, step: Step) -> None:
        self._message = step.message
        # in any order, so that of two exchanges at once each fetches another half
        self._need.extend(random.sample(step.need, len(step.need)))
        fresh = [record_id for record_id in step.have if record_id not in self._given]
        self._given.update(fresh)
        self._have.extend(fresh)

    async def _keep(self, raws: list[bytes], asked: Sequence[bytes]) -> None:
        try:
            new = await self._intake.store_together(await _check(self._intake, raws, asked, self._peer))
            self.received += new
        finally:
            self._room.release()


async def _serve(frames: Frames, intake: Intake, peer: str) -> tuple[int, int]:
    """Answer the leader's requests until it says goodbye; how many records came and went."""
    progress = Progress()
    frame = await frames.receive()
    while frame[0] == "reconcile":
        await _tell(frames, intake, frame, progress)
        frame = await frames.receive()
    if frame == ["bye"]:
        return 0, 0
    async with frames.reading_ahead(AHEAD):
        return await _carry(frames, intake, peer, frame, progress)


async def _carry(frames: Frames, intake: Intake, peer: str, frame: list[Any], progress: Progress) -> tuple[int, int]:
    """Go on answering, from `frame` on."""
    received = sent = 0
    while True:
        match frame:
            case ["reconcile", *_]:
                await _tell(frames, intake, frame, progress)
            case ["want", bytes(ids)] if _are_ids(ids):
                named = _split(ids)
                if gone := await intake.forgotten(named):
                    await frames.send("forgotten", b"".join(gone))
                elif raws := await intake.raws(named, BATCH_BYTES):
                    await frames.send("records", raws)
                    sent += len(raws)
                else:
                    raise PeerBroke("wants records that were not offered")
                progress.record()
            case ["give", list(raws)] if _is_batch(raws):
                new = len(await intake.store(await _check(intake, raws, None, peer), "sync"))
                await frames.send("took", new)
                progress.record()
                received += new
            case ["bye"]:
                return received, sent
            case _:
                raise PeerBroke("sent a frame that has no meaning here")
        frame = await frames.receive()


async def _tell(frames: Frames, intake: Intake, frame: list[Any], progress: Progress) -> None:
    """Answer a `reconcile`."""
    match frame:
        case ["reconcile", bytes(message), *named] if is_shelf(shelf := (named or [RECORDS])[0]):
            if not intake.wants(shelf):
                raise PeerBroke("asks for a shelf that was not offered")
            progress.message()
            await frames.send("reconcile", await reconcile.answer(await intake.items(shelf), message))
        case _:
            raise PeerBroke("sent a frame that has no meaning here")


def _named(shelf: str) -> list[str]:
    """How a `reconcile` names its shelf: not at all where it is the only one."""
    return [] if shelf == RECORDS else [shelf]


async def _check(
    intake: Intake, raws: list[bytes], asked: Sequence[bytes] | None, peer: str
) -> list[tuple[Record, str]]:
    """Check a batch, which must be of the ids `asked`, if given; what is good in it, and who sent it."""
    sifted = await intake.sift(raws)
    for error in sifted.refused:
        # a body that only this node refuses, or a clock that is off, is no proof of bad will
        if not isinstance(error, Refused | FromTheFuture):
            raise PeerBroke(f"sent an invalid record ({type(error).__name__}: {error})")
    if asked is not None:
        ids = {record.id for record in sifted.good} | {e.record.id for e in sifted.refused if isinstance(e, Refused)}
        if not ids <= set(asked):
            raise PeerBroke("sent records that nobody asked for")
    return [(record, peer) for record in sifted.good]


def _first(ids: deque[bytes], count: int) -> list[bytes]:
    return [ids.popleft() for _ in range(min(count, len(ids)))]


def _are_ids(ids: bytes) -> bool:
    return bool(ids) and not len(ids) % ID_BYTES and len(ids) <= ID_BYTES * BATCH_RECORDS


def _split(ids: bytes) -> list[bytes]:
    return [ids[start : start + ID_BYTES] for start in range(0, len(ids), ID_BYTES)]


async def _about(intake: Intake) -> dict[str, Any]:
    """What a hello says of the node: `shelves` are left out where there is one."""
    about: dict[str, Any] = {"archive": intake.archive}
    return about | {"shelves": await intake.shelves()} if intake.layout.shelf_of else about


async def _shared(intake: Intake, about: dict[str, Any]) -> list[str]:
    """The shelves that both sides want, by what the peer's hello says. Raises PeerBroke."""
    theirs = about.get("shelves", [RECORDS])
    if not isinstance(theirs, list) or len(theirs) > MAX_SHELVES or not all(map(is_shelf, theirs)):
        raise PeerBroke("names shelves that cannot be")
    both = {*theirs, *await intake.shelves()}
    return sorted(shelf for shelf in both if intake.wants(shelf) and (about["archive"] or shelf in theirs))


def _is_batch(raws: Sequence[object]) -> bool:
    return 0 < len(raws) <= BATCH_RECORDS and all(isinstance(raw, bytes) for raw in raws)


def _is_time(value: int) -> bool:
    return type(value) is int and 0 < value < 2**63


def _same_swarm(theirs: str, ours: str) -> None:
    if theirs != ours:
        raise OtherSwarm(f"the peer is in swarm {theirs[:64]!r}, this node in {ours!r}")
