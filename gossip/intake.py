"""The one door by which records of other nodes come in: checked, stored, told."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import trio

from gossip.events import Event, RecordArrived
from gossip.log import Log, LogBlocked
from gossip.metrics import Metrics
from gossip.record import STORED_KINDS, BadField, Record, RecordError, decode
from gossip.storage import Storage
from gossip.supervise import reason_of

MAX_REMEMBERED: Final = 50_000
MAX_EVENTS_WAITING: Final = 5_000


class Refused(RecordError):
    """A well-formed record with a body that this node does not accept."""

    def __init__(self, record: Record, why: str) -> None:
        super().__init__(why)
        self.record = record


@dataclass(frozen=True)
class Sifted:
    """A batch after checking: the records that are good, and why each of the others was refused."""

    good: list[Record]
    refused: list[RecordError]


class Intake:
    """Checks and stores. `check` raises RecordError for a body that is not wanted; it must be pure, as it is also
    called in worker threads. `waiting` says how many records the node has not looked at yet.
    """

    def __init__(
        self,
        log: Log,
        check: Callable[[Record], None],
        clock: Callable[[], int],
        put: Callable[[Event], object],
        waiting: Callable[[], int],
        metrics: Metrics | None = None,
    ) -> None:
        self.storage = Storage(log, put)
        self._log = log
        self._check = check
        self._clock = clock
        self._put = put
        self._waiting = waiting
        self._metrics = metrics or Metrics()
        self._refused: OrderedDict[bytes, None] = OrderedDict()

    def verify(self, raw: bytes) -> Record:
        """Check size, form, signature, clock and body. Raises RecordError, and nothing else."""
        record = decode(raw, self._clock())
        if record.kind not in STORED_KINDS:
            raise BadField(f"a {record.kind} record is not stored")
        try:
            self._check(record)
        except RecordError as error:
            raise Refused(record, str(error)) from error
        except Exception as error:
            raise Refused(record, f"the node's check failed ({reason_of(error)})") from error
        return record

    async def store(self, records: Sequence[Record], via: Literal["gossip", "sync"], peer: str) -> list[Record]:
        """Append to the log, in a thread, and tell the node what was new. Raises LogDamaged.

        Nothing is stored while the disk takes nothing: sync brings it later.
        """
        if not records or self.storage.blocked:
            await trio.lowlevel.checkpoint()
            return []
        try:
            new = await self.storage.append(records)
        except LogBlocked:
            return []
        for record in new:
            self._put(RecordArrived(record, via, peer))
        return new

    async def sift(self, raws: Sequence[bytes]) -> Sifted:
        """Check a batch that came by sync, in a thread.

        What the node's check refuses is remembered, so that it is not fetched again from every peer.
        """
        sifted = await trio.to_thread.run_sync(self._sift, raws)
        for error in sifted.refused:
            self._metrics.reject(error)
            if isinstance(error, Refused):
                self._refused[error.record.id] = None
                if len(self._refused) > MAX_REMEMBERED:
                    self._refused.popitem(last=False)
        return sifted

    def wants(self, record_id: bytes) -> bool:
        """Whether a record that is not in the log is worth fetching."""
        return record_id not in self._refused

    async def room(self) -> None:
        """Wait until the node has looked at most of the records that came."""
        await trio.lowlevel.checkpoint()
        while self._waiting() > MAX_EVENTS_WAITING:  # noqa: ASYNC110 - rare, and the node sets no event
            await trio.sleep(0.05)

    async def items(self) -> list[tuple[int, bytes]]:
        """(time_ms, id) of every record in the log, ascending."""
        return await self.storage.read(self._log.ids)

    async def raws(self, ids: Sequence[bytes], max_bytes: int) -> list[bytes]:
        """Those of the records named by `ids`, in order, that fit in `max_bytes`; the first always. Raises LogError."""
        return await self.storage.read(partial(self._raws, ids, max_bytes))

    def _raws(self, ids: Sequence[bytes], max_bytes: int) -> list[bytes]:
        found: list[bytes] = []
        for record_id in ids:
            record = self._log.get(record_id)
            if record is None:
                continue
            max_bytes -= len(record.raw)
            if found and max_bytes < 0:
                break
            found.append(record.raw)
        return found

    def _sift(self, raws: Sequence[bytes]) -> Sifted:
        sifted = Sifted([], [])
        for raw in raws:
            try:
                sifted.good.append(self.verify(raw))
            except RecordError as error:
                sifted.refused.append(error)
        return sifted
