"""The file of a log: how it is opened and looked through, how SQLite's failures are named, how a row is read.

gossip/log.py says what is asked of it. Safe to use from several threads; several processes may read one file while one
node writes.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gossip import forgotten
from gossip.database import WAIT_SECONDS, failure_of, words_for
from gossip.record import Record, RecordError, parse

IN_MEMORY: Final = ":memory:"
SQLITE: Final = (3, 35, 0)  # the first with RETURNING; of 2021
SCHEMA_VERSION: Final = 2
PAGE_BYTES: Final = 8192  # of a new file: of SQLite's own 4096, two records leave a quarter empty
CACHE_BYTES: Final = 8 << 20  # the indexes of 100,000 records, which many records touch all over
CHECKPOINT_BYTES: Final = 16 << 20  # pages of the indexes that many records touch are copied back once for all
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
{forgotten.SCHEMA}
PRAGMA user_version = {SCHEMA_VERSION};
"""
COLUMNS: Final = ["arrival", "id", "time_ms", "kind", "task", "author", "raw"]


class LogError(Exception):
    """The log's file cannot be used; the message says why and what to do."""


class LogBlocked(LogError):
    """Nothing can be read or written just now: the disk is full, or another program holds the file."""


class LogDamaged(LogError):
    """The file is no log, or no longer one."""


class LogFile:
    """An open file of records. connection: to be used with `lock` held; it begins no transaction by itself.

    What `rows` asks goes through a connection of its own, so that it does not wait for a batch that is being written.

    Raises LogDamaged when `path` is not a log, LogBlocked when it cannot be used now, LogError when a newer arnode
    wrote it. A file that is opened for writing is looked through first.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        if sqlite3.sqlite_version_info < SQLITE:
            raise LogError(
                f"Python's SQLite is {sqlite3.sqlite_version}, and a log needs {'.'.join(map(str, SQLITE))} or newer: "
                "use a Python that brings its own, such as uv's or conda's"
            )
        self.path = path
        self.lock = threading.Lock()
        if read_only and not path.exists():
            raise LogError(f"there is no log at {path}: has a node run with this --home?")
        try:
            self.connection = self._connect()
        except sqlite3.Error as error:
            raise LogBlocked(f"cannot open {path}: {words_for(error)}") from error
        self._reader, self._reading = self.connection, self.lock
        try:
            self._open(read_only)
            if not read_only and str(path) != IN_MEMORY:
                self._reader, self._reading = self._connect(), threading.Lock()
                self._reader.execute("PRAGMA query_only = 1")
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise self.named("open", error) from error
            raise

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self.connection.close()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)

    def _open(self, read_only: bool) -> None:
        execute = self.connection.execute
        execute(f"PRAGMA query_only = {int(read_only)}")
        version = execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise LogError(f"{self.path} was written by a newer arnode (format {version}): upgrade arnode")
        columns = [row[1] for row in execute("PRAGMA table_info(records)")]
        if columns not in ([], COLUMNS):
            raise LogDamaged(f"{self.path} holds another program's table of records, with columns {columns}")
        if read_only:
            if version < SCHEMA_VERSION:  # it has forgotten nothing, and a reader changes nothing
                execute("PRAGMA query_only = 0")
                self.connection.executescript(forgotten.SCHEMA.replace("CREATE TABLE", "CREATE TEMP TABLE"))
                execute("PRAGMA query_only = 1")
            return
        found = execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise LogDamaged(f"{self.path} is damaged ({' '.join(found.split())})")
        if not columns:
            execute(f"PRAGMA page_size = {PAGE_BYTES}")
            execute("PRAGMA auto_vacuum = INCREMENTAL")  # what is forgotten gives its room back
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")  # what is published survives a power cut
        execute(f"PRAGMA cache_size = -{CACHE_BYTES // 1024}")
        page_bytes = execute("PRAGMA page_size").fetchone()[0]
        execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_BYTES // page_bytes}")
        if version < SCHEMA_VERSION:  # a log that is there needs no room on the disk to be opened
            self.connection.executescript(SCHEMA)

    def named(self, what: str, error: sqlite3.Error) -> LogError:
        """What to raise instead of SQLite's own error; what: that cannot be done to the file."""
        if failure_of(error) == "damaged":
            return LogDamaged(
                f"cannot {what} {self.path}: {words_for(error)}. A node that starts with it moves it aside, keeps what "
                "is readable and fetches the rest from its peers"
            )
        return LogBlocked(f"cannot {what} {self.path}: {words_for(error)}")

    def probe(self) -> None:
        """Write a page that changes nothing, to see whether the disk takes it. Raises LogBlocked, LogDamaged."""
        with self.lock:
            try:
                self.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            except sqlite3.Error as error:
                raise self.named("write to", error) from error

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows that a query finds. Raises LogBlocked, LogDamaged."""
        with self._reading:
            try:
                return self._reader.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self.named("read", error) from error

    def whole(self, record_id: bytes, raw: bytes) -> Record:
        """The record of a row. Raises LogDamaged: a disk may give back other bytes than it got, unnoticed by SQLite."""
        try:
            record = parse(raw)
        except (RecordError, TypeError) as error:
            raise LogDamaged(f"{self.path} is damaged: a row holds no record ({error})") from error
        if record.id != record_id:
            raise self.not_that(record_id)
        return record

    def not_that(self, record_id: bytes) -> LogDamaged:
        """What to raise where a row has other bytes than those of its id."""
        return LogDamaged(f"{self.path} is damaged: a row's bytes are not those of record {record_id.hex()[:8]}")

    def bytes_on_disk(self) -> int:
        """The size of the log's files, the write-ahead part included."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        total = 0
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # the write-ahead file comes and goes
                total += file.stat().st_size
        return total
