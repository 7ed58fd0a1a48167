"""The asking side of a history exchange, after the greeting: what differs, what is fetched, what is given.

gossip/sync.py has the protocol. Requests go out ahead of their answers, and batches that came are checked and stored
while others are under way.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import trio

from gossip import reconcile
from gossip.batches import AHEAD, BATCH_BYTES, BATCH_RECORDS, are_ids, check, is_batch, split
from gossip.frames import ConversationError, Frames, PeerBroke, PeerGone
from gossip.intake import Intake
from gossip.items import Items
from gossip.layout import RECORDS
from gossip.negentropy import Step
from gossip.reasons import alone
from gossip.reconcile import Progress
from gossip.record import Record

PATIENCE_SECONDS: Final = 60.0
LEAST_BYTES_PER_SECOND: Final = 2000
LEAVE_AFTER_SECONDS: Final = 450.0
LEAVE_AFTER_BYTES: Final = 384 * 1024 * 1024
AT_ONCE: Final = 4  # batches that came and are not checked yet
TOGETHER: Final = 2000  # records are stored at once: they share pages of the indexes, and the wait for the disk
TOGETHER_SECONDS: Final = 0.5  # that none waits longer for others while some come
ENOUGH_FOUND: Final = 4096


class Leader:
    """What is known to differ, and the requests under way.

    received, sent: records that were new here, and there. whole: False if it stopped early. all_taken: False if the
    peer took fewer than it was given.
    """

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
        self._good: list[tuple[Record, str]] = []
        self._stored = trio.current_time()
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

        Several batches are checked at once. If the conversation breaks off, those that were checked are still stored.
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
        finally:
            await self._store()
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
            case "want", ["records", list(raws)] if is_batch(raws) and len(raws) <= len(batch):
                self._need.extendleft(reversed(batch[len(raws) :]))
                self._carried += sum(map(len, raws))
                await self._room.acquire()
                nursery.start_soon(self._keep, raws, batch[: len(raws)])
                self._progress.record()
            case "want", ["forgotten", bytes(ids)] if are_ids(ids):
                gone = split(ids)
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
            good = await check(self._intake, raws, asked, self._peer)
            self._good += good
            if len(self._good) >= TOGETHER or trio.current_time() - self._stored >= TOGETHER_SECONDS:
                await self._store()
        finally:
            self._room.release()

    async def _store(self) -> None:
        good, self._good, self._stored = self._good, [], trio.current_time()
        with trio.CancelScope(shield=True):
            new = await self._intake.store(good, "sync")
        self.received += len(new)  # not in one line: other batches are stored meanwhile


def _named(shelf: str) -> list[str]:
    """How a `reconcile` names its shelf: not at all where it is the only one."""
    return [] if shelf == RECORDS else [shelf]


def _first(ids: deque[bytes], count: int) -> list[bytes]:
    return [ids.popleft() for _ in range(min(count, len(ids)))]
