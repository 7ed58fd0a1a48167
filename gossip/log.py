"""The log: a node's copy of the set of records, in one SQLite file.

A record is appended whole or not at all, and is on disk when `append` returns. Records are never changed; the order of
arrival is kept only so that a reader can follow what is new, and no view depends on it.

Calls block for as long as the disk takes; async code calls `append` in a thread.
"""

import contextlib
import sqlite3
import string
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from gossip.record import STORED_KINDS, BadField, Record, parse

SCHEMA_VERSION: Final = 1
SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS records (
    arrival INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    task BLOB NOT NULL,
    author BLOB NOT NULL,
    raw BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_time ON records (time_ms, id);
PRAGMA user_version = {SCHEMA_VERSION};
"""


class LogError(Exception):
    """The log's file cannot be used; the message says why and what to do."""


class Log:
    """An open log. Safe to use from several threads; several processes may read one file while one node writes.

    Raises LogError when `path` is not a log, or was written by a newer arnode.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        if read_only and not path.exists():
            raise LogError(f"there is no log at {path}: has a node run with this --home?")
        try:
            self._connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise LogError(f"cannot open {path}: {error}") from error
        try:
            self._connection.execute(f"PRAGMA query_only = {int(read_only)}")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise LogError(f"{path} was written by a newer arnode (format {version}): upgrade arnode")
            if not read_only:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")  # what is published survives a power cut
                self._connection.executescript(SCHEMA)
        except sqlite3.Error as error:
            self._connection.close()
            raise LogError(f"{path} is not a log that arnode can use ({error}): move it away and sync again") from error
        except LogError:
            self._connection.close()
            raise

    def append(self, records: Sequence[Record]) -> list[Record]:
        """Add records in one transaction and return those that were not there yet, in the order given.

        Raises BadField for a kind that is never stored, LogError when the disk refuses; in both cases none is added.
        """
        for record in records:
            if record.kind not in STORED_KINDS:
                raise BadField(f"a {record.kind} record is not stored")
        new: list[Record] = []
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    for record in records:
                        row = (record.id, record.time_ms, record.kind, record.task, record.author, record.raw)
                        cursor = self._connection.execute(
                            "INSERT OR IGNORE INTO records (id, time_ms, kind, task, author, raw)"
                            " VALUES (?, ?, ?, ?, ?, ?)",
                            row,
                        )
                        if cursor.rowcount:
                            new.append(record)
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise LogError(f"cannot write to {self.path}: {error}") from error
        return new

    def get(self, record_id: bytes) -> Record | None:
        """The record of that id (32 bytes), if it is here."""
        rows = self._rows("SELECT raw FROM records WHERE id = ?", (record_id,))
        return parse(rows[0][0]) if rows else None

    def find(self, hex_prefix: str) -> list[Record]:
        """Records whose id in hexadecimal starts with `hex_prefix`, for a person who types a few digits; at most 10."""
        if not set(hex_prefix.lower()) <= set(string.hexdigits):
            return []
        pattern = hex_prefix + "%"
        return [
            parse(raw) for (raw,) in self._rows("SELECT raw FROM records WHERE hex(id) LIKE ? LIMIT 10", (pattern,))
        ]

    def has(self, record_id: bytes) -> bool:
        """Whether the record of that id is here."""
        return bool(self._rows("SELECT 1 FROM records WHERE id = ?", (record_id,)))

    def missing(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of `ids` that are not here, in the order given."""
        return [record_id for record_id in ids if not self.has(record_id)]

    def ids(self) -> list[tuple[int, bytes]]:
        """(time_ms, id) of every record, ascending: the items that sync reconciles."""
        return [
            (time_ms, record_id)
            for time_ms, record_id in self._rows("SELECT time_ms, id FROM records ORDER BY time_ms, id")
        ]

    def count(self) -> int:
        """How many records are here."""
        total: int = self._rows("SELECT COUNT(*) FROM records")[0][0]
        return total

    def bytes_on_disk(self) -> int:
        """The size of the log's files, the write-ahead part included."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        total = 0
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # the write-ahead file comes and goes
                total += file.stat().st_size
        return total

    def since(self, arrival: int = 0, limit: int = 1000) -> Iterator[tuple[int, Record]]:
        """(arrival number, record) of all that arrived after number `arrival`, in order of arrival."""
        while True:
            rows = self._rows(
                "SELECT arrival, raw FROM records WHERE arrival > ? ORDER BY arrival LIMIT ?", (arrival, limit)
            )
            for number, raw in rows:
                yield number, parse(raw)
            if len(rows) < limit:
                return
            arrival = rows[-1][0]

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise LogError(f"cannot read {self.path}: {error}") from error

    def close(self) -> None:
        """Close the file; every record was already on disk."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
