"""The one door by which records of other nodes come in: checked, stored, told.

Here is remembered which ids need no second look: the latest ones, so that a message that is sent again, however late,
is known before anything is spent on it; and those that were refused, so that they are not fetched again from all peers.
Both are in memory and bounded; the log's file is not touched before a record is worth storing.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import trio

from gossip.checkers import Checkers
from gossip.checking import BodyRefused, check_body
from gossip.events import Contradicted, Event, RecordArrived
from gossip.items import Items
from gossip.layout import MAX_SHELVES, WHOLE, Layout
from gossip.log import Log
from gossip.logfile import LogBlocked
from gossip.metrics import Metrics
from gossip.quota import Quota
from gossip.record import STORED_KINDS, BadField, Record, RecordError, check_clock, outline, parse, verify
from gossip.storage import Storage

MAX_REMEMBERED: Final = 100_000
MAX_EVENTS_WAITING: Final = 3_000
GOSSIP_PAST_MS: Final = 60 * 60 * 1000


class Refused(RecordError):
    """A well-formed record with a body that this node does not accept."""

    def __init__(self, record: Record, why: str) -> None:
        super().__init__(why)
        self.record = record


class OverQuota(Refused):
    """A good record of an author of whom this node stores no more; nobody who passes it on is to blame."""


class _Ids:
    """The ids added last, at most MAX_REMEMBERED."""

    def __init__(self) -> None:
        self._ids: OrderedDict[bytes, None] = OrderedDict()

    def add(self, record_id: bytes) -> None:
        self._ids[record_id] = None
        if len(self._ids) > MAX_REMEMBERED:
            self._ids.popitem(last=False)

    def __contains__(self, record_id: bytes) -> bool:
        return record_id in self._ids


@dataclass(frozen=True)
class Sifted:
    """A batch after checking: the records that are good, and why each of the others was refused."""

    good: list[Record]
    refused: list[RecordError]


@dataclass(frozen=True)
class _Looked:
    """A batch after the cheap checks. new: those of which form and signature are still to be checked."""

    known: list[Record]
    new: list[Record]
    refused: list[RecordError]


class Intake:
    """Checks and stores. `check` raises RecordError for a body that is not wanted; it must be pure, as it is also
    called in worker threads. `waiting` says how many records the node has not looked at yet. `clock` gives milliseconds
    since 1970. `archive`: whether this node keeps every record, which its peers are told. `layout`: of the swarm.
    """

    def __init__(
        self,
        log: Log,
        check: Callable[[Record], None],
        clock: Callable[[], int],
        put: Callable[[Event], object],
        waiting: Callable[[], int],
        metrics: Metrics | None = None,
        quota: Quota | None = None,
        *,
        archive: bool = False,
        layout: Layout = WHOLE,
    ) -> None:
        self.storage = Storage(log, put)
        self.archive = archive
        self.checkers = Checkers(check)
        self.layout = layout
        log.shelves.arrange(layout)
        self._log = log
        self._check = check
        self.clock = clock
        self._put = put
        self._waiting = waiting
        self._metrics = metrics or Metrics()
        self.quota = quota or Quota(b"")
        self._refused = _Ids()
        self._recent = _Ids()

    async def prepare(self) -> None:
        """Read from the log what has to be known before the first record comes. Raises LogError."""
        self.quota.load(await self.storage.read(self._log.usage))
        self.quota.doubted.update(await self.storage.read(self._log.contradicting_authors))
        since = self.clock() - GOSSIP_PAST_MS
        for record_id in await self.storage.read(partial(self._log.ids_since, since, MAX_REMEMBERED)):
            self._recent.add(record_id)
        await self.items(self.layout.mine[0])

    def is_news(self, record: Record) -> bool:
        """Whether a record that came by gossip, not yet verified, is worth a closer look; touches no disk."""
        known = record.id in self._recent or record.id in self._refused
        fresh = self._is_fresh(record)  # what is older comes by history exchange
        return fresh and not known and self.quota.fits(record.author, len(record.raw))

    def know(self, record: Record) -> None:
        """Remember that a record has been dealt with, so that it is no news. Older ones are none anyway."""
        if self._is_fresh(record):
            self._recent.add(record.id)

    def _is_fresh(self, record: Record) -> bool:
        return record.time_ms >= self.clock() - GOSSIP_PAST_MS

    def verify(self, record: Record) -> None:
        """Check clock, kind, signature and body. Raises RecordError, and nothing else."""
        self._check_head(record)
        verify(record)
        self.check_body(record)

    def _check_head(self, record: Record) -> None:
        check_clock(record, self.clock())
        if record.kind not in STORED_KINDS:
            raise BadField(f"a {record.kind} record is not stored")

    def check_body(self, record: Record) -> None:
        """Raise Refused for a body that the node's own check does not accept."""
        try:
            check_body(record, self._check)
        except BodyRefused as error:
            raise Refused(record, str(error)) from error

    async def store(self, arrivals: Sequence[tuple[Record, str]], via: Literal["gossip", "sync"]) -> list[Record]:
        """Append what fits its author's quota to the log and tell the node what was new. Raises LogDamaged.

        arrivals: each record, and the peer who sent it. What does not fit is remembered, so that it is not fetched
        again from every peer. Nothing is stored while the disk takes nothing: sync brings it later.
        """
        arrived = {} if self.storage.blocked else {record.id: (record, peer) for record, peer in arrivals}
        fitting = [record for record, _ in arrived.values() if self._reserve(record)]
        if not fitting:
            await trio.lowlevel.checkpoint()
            return []
        new: list[Record] = []
        try:
            new, contradictions = await self.storage.write(partial(self._append, fitting))
        except LogBlocked:
            return []
        finally:
            stored = {record.id for record in new}
            for record in fitting:
                if record.id in stored:
                    self.know(record)
                else:
                    self.quota.give_back(record.author, len(record.raw))
        self._metrics.records.labels(via).inc(len(new))
        for record in new:
            self._put(RecordArrived(record, via, arrived[record.id][1]))
        for author, time_ms in contradictions:
            if author not in self.quota.doubted:
                self.quota.doubted.add(author)
                self._put(Contradicted(author, time_ms))
        return new

    def _append(self, records: Sequence[Record]) -> tuple[list[Record], list[tuple[bytes, int]]]:
        new = self._log.append(records)
        return new, self._log.contradictions([record.time_ms for record in new]) if new else []

    def _reserve(self, record: Record) -> bool:
        if not self.quota.fits(record.author, len(record.raw)):
            self._metrics.reject("limit")
            self._refused.add(record.id)
            return False
        self.quota.add(record.author, len(record.raw))
        return True

    async def sift(self, raws: Sequence[bytes], asked: Sequence[bytes] | None = None) -> Sifted:
        """Check a batch that came by sync; the order may change. Raises ChecksLost, LogError.

        asked: the ids that it should be of, if it was asked for; they were not here a moment ago. What the node's check
        refuses is remembered, so that it is not fetched again from every peer.
        """
        looked = await self.storage.read(partial(self._look, raws, asked))
        sifted = Sifted(looked.known, looked.refused)
        errors = await self.checkers.check([record.raw for record in looked.new])
        for record, error in zip(looked.new, errors, strict=True):
            if error is None and self.wants(self.layout.shelf(record)):
                sifted.good.append(record)
            elif error is None:
                sifted.refused.append(Refused(record, "of a shelf that this node does not keep"))
            else:
                sifted.refused.append(Refused(record, str(error)) if isinstance(error, BodyRefused) else error)
        for error in sifted.refused:
            self._metrics.reject("limit" if isinstance(error, OverQuota) else error)
            if isinstance(error, Refused):
                self._refused.add(error.record.id)
        return sifted

    async def wanted(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of `ids` that are worth fetching: not here, and not refused before. Raises LogError."""
        unknown = [record_id for record_id in ids if record_id not in self._refused]
        return await self.storage.read(partial(self._log.missing, unknown))

    async def room(self) -> None:
        """Wait until the node has looked at most of the records that came."""
        await trio.lowlevel.checkpoint()
        while self._waiting() > MAX_EVENTS_WAITING:  # noqa: ASYNC110 - rare, and the node sets no event
            await trio.sleep(0.05)

    def wants(self, shelf: str) -> bool:
        """Whether this node keeps the records of that shelf."""
        return self.archive or shelf in self.layout.mine

    async def shelves(self) -> list[str]:
        """The shelves that this node keeps, as far as it knows them. Raises LogError."""
        known = await self.storage.read(self._log.shelves.filled) if self.archive else []
        return list(dict.fromkeys((*self.layout.mine, *known)))[:MAX_SHELVES]

    async def items(self, shelf: str) -> Items:
        """(time_ms, id) of every record of a shelf, now and later. Raises LogError."""
        return await self.storage.read(partial(self._log.shelves.items, shelf))

    async def arrived(self) -> int:
        """The number of the record that came last. Raises LogError."""
        return await self.storage.read(self._log.last_arrival)

    async def forgotten(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of `ids` that were here and are not kept any more, in order. Raises LogError."""
        gone = await self.storage.read(partial(self._log.forgotten_of, ids))
        return [record_id for record_id in ids if record_id in gone]

    async def kept(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of `ids` that were not forgotten, in order. Raises LogError."""
        gone = set(await self.forgotten(ids))
        return [record_id for record_id in ids if record_id not in gone]

    async def forget(self, gists: Sequence[tuple[Record, bytes]]) -> int:
        """Keep of these records nothing but their gists; how many were here. Raises LogBlocked, LogDamaged."""
        left = {record.id: (self.layout.shelf(record), gist) for record, gist in gists}
        done = await self.storage.write(partial(self._log.forget, left))
        for record, gist in gists:
            self.quota.shrink(record.author, len(record.raw) - len(gist))
        return done

    async def raws(self, ids: Sequence[bytes], max_bytes: int) -> list[bytes]:
        """Those of the records named by `ids`, in order, that fit in `max_bytes`; the first always. Raises LogError."""
        return await self.storage.read(partial(self._log.raws, ids, max_bytes))

    def _look(self, raws: Sequence[bytes], asked: Sequence[bytes] | None) -> "_Looked":
        """All that can be seen of a batch before the dear checks."""
        looked = _Looked([], [], [])
        read: list[Record] = []
        for raw in raws:
            try:
                read.append(outline(raw))
            except RecordError as error:
                looked.refused.append(error)
        unknown = set(self._log.missing([record.id for record in read]) if asked is None else asked)
        for record in read:
            try:
                if record.id not in unknown:
                    looked.known.append(parse(record.raw))
                    continue
                if record.id in self._refused or not self.quota.fits(record.author, len(record.raw)):
                    raise OverQuota(record, "refused before, or its author's quota is used up")
                self._check_head(record)
                looked.new.append(record)
            except RecordError as error:
                looked.refused.append(error)
        return looked
