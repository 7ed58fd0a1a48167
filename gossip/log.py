"""The log: a node's copy of the set of records, in one SQLite file.

A record is appended whole or not at all, and is on disk when `append` returns. Records are never changed; the order of
arrival is kept only so that a reader can follow what is new, and no view depends on it. A record may be forgotten: then
it is still of the set, and no longer here (gossip/forgotten.py).

Calls block for as long as the disk takes; async code goes through gossip/storage.py, which uses threads.
"""

import sqlite3
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gossip import forgotten
from gossip.forgotten import Forgotten
from gossip.logfile import LogFile
from gossip.record import STORED_KINDS, BadField, Record, id_of
from gossip.shelves import Shelves

IDS_AT_ONCE: Final = 500
RAWS_AT_ONCE: Final = 32
ROWS_AT_ONCE: Final = (256, 32, 4, 1)
"""Rows of one INSERT. SQLite then works through all of them without Python's lock, which the node's other threads need;
sizes are few, so that each is compiled once."""


def _insert(rows: int) -> str:
    return (
        "INSERT OR IGNORE INTO records (id, time_ms, kind, task, author, raw)"
        f" SELECT * FROM (VALUES {','.join(['(?,?,?,?,?,?)'] * rows)})"
        " WHERE NOT EXISTS (SELECT 1 FROM forgotten WHERE forgotten.id = column1) RETURNING id"
    )


INSERTS: Final = {rows: _insert(rows) for rows in ROWS_AT_ONCE}


class Log:
    """An open log. shelves: what its records are compared by.

    Safe to use from several threads; several processes may read one file while one node writes.
    Raises what gossip/logfile.py raises: LogDamaged, LogBlocked, LogError.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.file = LogFile(path, read_only=read_only)
        self.shelves = Shelves(self.file)

    def append(self, records: Sequence[Record]) -> list[Record]:
        """Add records in one transaction and return those that were not there yet, in the order given.

        What was forgotten is there already.

        Raises BadField for a kind that is never stored, LogBlocked, LogDamaged; then none is added.
        """
        for record in records:
            if record.kind not in STORED_KINDS:
                raise BadField(f"a {record.kind} record is not stored")
        new: list[Record] = []
        with self.file.lock:
            try:
                with self.file.connection as connection:  # rolls back what does not end well
                    connection.execute("BEGIN IMMEDIATE")
                    for part in _parts(records):
                        values = [value for record in part for value in _row(record)]
                        added = {record_id for (record_id,) in connection.execute(INSERTS[len(part)], values)}
                        for record in part:
                            if record.id in added:
                                added.remove(record.id)  # the first, if it was given twice
                                new.append(record)
            except sqlite3.Error as error:
                raise self.file.named("write to", error) from error
            self.shelves.note(new)
        return new

    def forget(self, gists: Mapping[bytes, tuple[str, bytes]]) -> int:
        """Keep of the records of these ids nothing but shelf and gist; how many were here.

        Raises LogBlocked, LogDamaged.
        """
        with self.file.lock:
            try:
                with self.file.connection as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    done = forgotten.forget(connection, gists)
                connection.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page
            except sqlite3.Error as error:
                raise self.file.named("write to", error) from error
        return done

    def forgotten(self) -> Iterator[Forgotten]:
        """What is left of the records that are no longer here, in the order of their ids."""
        after = b""
        while rows := self.file.rows(*forgotten.page_query(after, 1000)):
            yield from (Forgotten(*row) for row in rows)
            after = rows[-1][0]

    def forgot(self, hex_prefix: str) -> bool:
        """Whether a record whose id in hexadecimal starts so was forgotten."""
        whole = bytes.fromhex(hex_prefix[: len(hex_prefix) // 2 * 2])
        rows = self.file.rows("SELECT id FROM forgotten WHERE id >= ? ORDER BY id LIMIT 16", (whole,))
        return any(record_id.hex().startswith(hex_prefix.lower()) for (record_id,) in rows)

    def forgotten_of(self, ids: Sequence[bytes]) -> set[bytes]:
        """Those of `ids` (at most IDS_AT_ONCE) that were forgotten."""
        return {record_id for (record_id,) in self.file.rows(forgotten.among_query(ids), ids)}

    def before(self, time_ms: int, arrival: int) -> Iterator[Record]:
        """The records of before that time by their authors' clocks that came up to that arrival, the oldest first."""
        after = (0, b"")
        while rows := self.file.rows(
            "SELECT time_ms, id, raw FROM records WHERE (time_ms, id) > (?, ?) AND time_ms < ? AND arrival <= ?"
            " ORDER BY time_ms, id LIMIT 1000",
            (*after, time_ms, arrival),
        ):
            yield from (self.file.whole(record_id, raw) for _, record_id, raw in rows)
            after = rows[-1][:2]

    def get(self, record_id: bytes) -> Record | None:
        """The record of that id (32 bytes), if it is here."""
        rows = self.file.rows("SELECT raw FROM records WHERE id = ?", (record_id,))
        return self.file.whole(record_id, rows[0][0]) if rows else None

    def find(self, hex_prefix: str) -> list[Record]:
        """Records whose id in hexadecimal starts with `hex_prefix`, for a person who types a few digits; at most 10."""
        if not set(hex_prefix.lower()) <= set(string.hexdigits):
            return []
        rows = self.file.rows("SELECT id, raw FROM records WHERE hex(id) LIKE ? LIMIT 10", (hex_prefix + "%",))
        return [self.file.whole(record_id, raw) for record_id, raw in rows]

    def has(self, record_id: bytes) -> bool:
        """Whether the record of that id is here."""
        return bool(self.file.rows("SELECT 1 FROM records WHERE id = ?", (record_id,)))

    def raws(self, ids: Sequence[bytes], max_bytes: int) -> list[bytes]:
        """The bytes of those of `ids` that are here, in order, as many as fit in `max_bytes`; the first always."""
        found: list[bytes] = []
        for start in range(0, len(ids), RAWS_AT_ONCE):
            some = ids[start : start + RAWS_AT_ONCE]
            marks = ",".join("?" * len(some))
            here = dict(self.file.rows(f"SELECT id, raw FROM records WHERE id IN ({marks})", some))
            for record_id in filter(here.__contains__, some):
                raw = here[record_id]
                if id_of(raw) != record_id:
                    raise self.file.not_that(record_id)
                max_bytes -= len(raw)
                if found and max_bytes < 0:
                    return found
                found.append(raw)
        return found

    def missing(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of `ids` that are neither here nor forgotten, in the order given."""
        here: set[bytes] = set()
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = ids[start : start + IDS_AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self.file.rows(f"SELECT id FROM records WHERE id IN ({marks})", some)
            here.update(record_id for (record_id,) in rows)
            here |= self.forgotten_of(some)
        return [record_id for record_id in ids if record_id not in here]

    def ids(self) -> list[tuple[int, bytes]]:
        """(time_ms, id) of every record, ascending: the items that sync reconciles."""
        return [
            (time_ms, record_id)
            for time_ms, record_id in self.file.rows("SELECT time_ms, id FROM records ORDER BY time_ms, id")
        ]

    def ids_since(self, time_ms: int, limit: int) -> list[bytes]:
        """Ids of the newest records, by their authors' clocks, from `time_ms` on; at most `limit`, the oldest first."""
        rows = self.file.rows(
            "SELECT id FROM records WHERE time_ms >= ? ORDER BY time_ms DESC, id DESC LIMIT ?", (time_ms, limit)
        )
        return [record_id for (record_id,) in reversed(rows)]

    def latest(
        self, before: tuple[int, bytes] | None, limit: int, tasks: Sequence[bytes]
    ) -> list[tuple[int, bytes, str, bytes]]:
        """(time_ms, id, kind, author) of records of those tasks, the newest first by (time, id), at most `limit`.

        before: (time_ms, id) that all of them come before; None to begin with the newest.
        """
        marks = ",".join("?" * len(tasks))
        time_ms, record_id = before or (2**63 - 1, b"")
        query = (
            "SELECT time_ms, id, kind, author FROM records WHERE (time_ms, id) < (?, ?)"
            f" AND task IN ({marks}) ORDER BY time_ms DESC, id DESC LIMIT ?"
        )
        return [(*row,) for row in self.file.rows(query, (time_ms, record_id, *tasks, limit))]

    def usage(self) -> dict[bytes, tuple[int, int]]:
        """For each author: how many records are here or forgotten, and how many bytes are kept of them."""
        query = (
            "SELECT author, COUNT(*), SUM(size) FROM (SELECT author, LENGTH(raw) AS size FROM records UNION ALL"
            " SELECT name, LENGTH(gist) FROM forgotten JOIN names ON number = author) GROUP BY author"
        )
        return {author: (records, size) for author, records, size in self.file.rows(query)}

    def contradictions(self, times: Sequence[int]) -> list[tuple[bytes, int]]:
        """(author, time_ms) for which there are several records, of those `times`.

        Hardly a time has several records at all, which the index tells without looking at one.
        """
        marks = ",".join("?" * len(times))
        query = (
            "SELECT author, time_ms FROM records WHERE time_ms IN"
            f" (SELECT time_ms FROM records WHERE time_ms IN ({marks}) GROUP BY time_ms HAVING COUNT(*) > 1)"
            " GROUP BY author, time_ms HAVING COUNT(*) > 1"
        )
        return [(author, time_ms) for author, time_ms in self.file.rows(query, times)]

    def contradicting_authors(self) -> set[bytes]:
        """Those of whom there are several records for one millisecond."""
        query = (
            "SELECT author FROM (SELECT author, time_ms FROM records UNION ALL"
            " SELECT name, time_ms FROM forgotten JOIN names ON number = author)"
            " GROUP BY author HAVING COUNT(*) > COUNT(DISTINCT time_ms)"
        )
        return {author for (author,) in self.file.rows(query)}

    def times_of(self, author: bytes) -> set[int]:
        """The times of all records of one author."""
        return {time_ms for (time_ms,) in self.file.rows("SELECT time_ms FROM records WHERE author = ?", (author,))}

    def last_arrival(self) -> int:
        """The number of the record that came last; 0 without any."""
        number: int = self.file.rows("SELECT COALESCE(MAX(arrival), 0) FROM records")[0][0]
        return number

    def count(self) -> int:
        """How many records are here."""
        total: int = self.file.rows("SELECT COUNT(*) FROM records")[0][0]
        return total

    def since(self, arrival: int = 0, limit: int = 1000) -> Iterator[tuple[int, Record]]:
        """(arrival number, record) of all that arrived after number `arrival`, in order of arrival.

        Raises LogDamaged at a row whose bytes are not those of its id.
        """
        while True:
            rows = self.file.rows(
                "SELECT arrival, id, raw FROM records WHERE arrival > ? ORDER BY arrival LIMIT ?", (arrival, limit)
            )
            for number, record_id, raw in rows:
                yield number, self.file.whole(record_id, raw)
            if len(rows) < limit:
                return
            arrival = rows[-1][0]

    def close(self) -> None:
        """Close the file; every record was already on disk."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _row(record: Record) -> tuple[bytes, int, str, bytes, bytes, bytes]:
    return record.id, record.time_ms, record.kind, record.task, record.author, record.raw


def _parts(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """The records in parts of ROWS_AT_ONCE."""
    start = 0
    for size in ROWS_AT_ONCE:
        while len(records) - start >= size:
            yield records[start : start + size]
            start += size
