"""What a node of the ideal network keeps of the records: the records themselves, which all nodes share.

Nothing is reconciled there and nobody asks for bytes: a real log would only give back what it was given, at 1.2 kB and
a fifth of the time for each record and node. On the router's network every node has a real one.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from gossip.record import Record


class Store(Protocol):
    """What a simulated swarm asks of a log; `gossip.log.Log` is one."""

    def append(self, records: Sequence[Record]) -> list[Record]:
        """Add records, and return those that were new."""

    def missing(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of `ids` that are not here, in the order given."""

    def since(self) -> Iterator[tuple[int, Record]]:
        """All records with their numbers, in the order in which they came."""

    def times_of(self, author: bytes) -> set[int]:
        """The times of an author's records, milliseconds since 1970."""


class Held:
    """A `Store` without bytes."""

    def __init__(self) -> None:
        self._records: dict[bytes, Record] = {}

    def append(self, records: Sequence[Record]) -> list[Record]:
        new = {record.id: record for record in records if record.id not in self._records}
        self._records |= new
        return list(new.values())

    def missing(self, ids: Sequence[bytes]) -> list[bytes]:
        return [record_id for record_id in ids if record_id not in self._records]

    def since(self) -> Iterator[tuple[int, Record]]:
        yield from enumerate(self._records.values(), 1)

    def times_of(self, author: bytes) -> set[int]:
        return {record.time_ms for record in self._records.values() if record.author == author}
