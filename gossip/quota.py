"""How much this node takes from each author: how fast by gossip, and how much in all. Pure: the time is passed in.

Rates hold for gossip only. What is above them is neither stored nor forwarded by gossip, and comes by history exchange,
so a burst of an honest author costs him a minute's delay and nothing else.

Stored bytes are counted for ever, each record with what the log's indexes need for it. An author at his limit is full:
what he says more is refused, wherever it comes from. The log as a whole has a limit too, since authors cost nothing:
beyond it only those who hold less than half of an equal share may add, so that newcomers are heard whatever a crowd of
invented authors has stored. This node's own records are never counted or refused.

Nodes agree on the records of every author who is not full. Of one who is, each keeps what reached it first.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gossip.bucket import Buckets, Rate

RECORD_OVERHEAD: Final = 256


GOSSIP_RECORDS: Final = Rate(burst=200, per_second=20)
GOSSIP_BYTES: Final = Rate(burst=2 << 20, per_second=64 * 1024)
AUTHOR_BYTES: Final = 512 << 20
LOG_BYTES: Final = 8 << 30
DOUBTED: Final = 1 / 16


@dataclass(frozen=True)
class Limits:
    """Of each author, by gossip: records and bytes a second. Stored: bytes of an author, and of the whole log.

    A busy node has an experiment every ten seconds and says 1 to 4 kB about it: 35 MB a day at most, and a tenth of
    that as a rule. An author who contradicts himself has the part DOUBTED of all of it.
    """

    records: Rate = GOSSIP_RECORDS
    gossip_bytes: Rate = GOSSIP_BYTES
    author_bytes: int = AUTHOR_BYTES
    log_bytes: int = LOG_BYTES


LIMITS: Final = Limits()


class Quota:
    """What is left to each author; `own` is this node's key. `doubted` are those who contradicted themselves."""

    def __init__(self, own: bytes, limits: Limits = LIMITS) -> None:
        self._own = own
        self._limits = limits
        self._records: Buckets[bytes] = Buckets(limits.records)
        self._bytes: Buckets[bytes] = Buckets(limits.gossip_bytes)
        self._used: Counter[bytes] = Counter()
        self._total = 0
        self.doubted: set[bytes] = set()

    def load(self, used: Mapping[bytes, tuple[int, int]]) -> None:
        """Start from a log: for each author, how many records and how many bytes he has there."""
        for author, (records, size) in used.items():
            self._count(author, size + records * RECORD_OVERHEAD)

    def may_gossip(self, author: bytes, size: int, now: float) -> bool:
        """Whether to take a record of `size` bytes that comes by gossip, `now` in seconds; notes that it came."""
        cost = 1 / DOUBTED if author in self.doubted else 1.0
        return self._records.take(author, now, cost) and self._bytes.take(author, now, size * cost)

    def fits(self, author: bytes, size: int) -> bool:
        """Whether a record of `size` bytes may be stored."""
        if author == self._own:
            return True
        limit = self._limits.author_bytes * (DOUBTED if author in self.doubted else 1.0)
        after = self._used[author] + size + RECORD_OVERHEAD
        if after > limit:
            return False
        return self._total < self._limits.log_bytes or 2 * after * len(self._used) < self._limits.log_bytes

    def add(self, author: bytes, size: int) -> None:
        """Note that a record was stored, or is about to be."""
        self._count(author, size + RECORD_OVERHEAD)

    def give_back(self, author: bytes, size: int) -> None:
        """It was not stored after all."""
        self._count(author, -size - RECORD_OVERHEAD)

    def shrink(self, author: bytes, size: int) -> None:
        """Note that so many bytes of a stored record were forgotten."""
        self._count(author, -size)

    def _count(self, author: bytes, size: int) -> None:
        if author != self._own:
            self._used[author] += size
            self._total += size
