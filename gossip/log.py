"""The log: a node's copy of the set of records, in one SQLite file.

A record is appended whole or not at all, and is on disk when `append` returns. Records are never changed; the order of
arrival is kept only so that a reader can follow what is new, and no view depends on it. A record may be forgotten: then
it is still of the set, and no longer here (gossip/forgotten.py).

Calls block for as long as the disk takes; async code goes through gossip/storage.py, which uses threads.
"""

import contextlib
import sqlite3
import string
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from gossip import forgotten
from gossip.database import WAIT_SECONDS, failure_of, words_for
from gossip.forgotten import Forgotten
from gossip.items import Items
from gossip.layout import MAX_SHELVES, RECORDS, WHOLE, Layout
from gossip.record import STORED_KINDS, BadField, Record, RecordError, id_of, parse

SCHEMA_VERSION: Final = 2
IDS_AT_ONCE: Final = 500
RAWS_AT_ONCE: Final = 32
CHECKPOINT_PAGES: Final = 4000  # of 4 KiB: pages of the indexes that many records touch are copied back once for all
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


class Log:
    """An open log. Safe to use from several threads; several processes may read one file while one node writes.

    Raises LogDamaged when `path` is not a log, LogBlocked when it cannot be used now, LogError when a newer arnode
    wrote it. A log that is opened for writing is looked through first.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._layout = WHOLE
        self._items: dict[str, Items] | None = None
        if read_only and not path.exists():
            raise LogError(f"there is no log at {path}: has a node run with this --home?")
        try:
            self._connection = sqlite3.connect(
                path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise LogBlocked(f"cannot open {path}: {words_for(error)}") from error
        try:
            self._open(read_only)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._named("open", error) from error
            raise

    def _open(self, read_only: bool) -> None:
        execute = self._connection.execute
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
                self._connection.executescript(forgotten.SCHEMA.replace("CREATE TABLE", "CREATE TEMP TABLE"))
                execute("PRAGMA query_only = 1")
            return
        found = execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise LogDamaged(f"{self.path} is damaged ({' '.join(found.split())})")
        if not columns:
            execute("PRAGMA auto_vacuum = INCREMENTAL")  # what is forgotten gives its room back
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")  # what is published survives a power cut
        execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if version < SCHEMA_VERSION:  # a log that is there needs no room on the disk to be opened
            self._connection.executescript(SCHEMA)

    def _named(self, what: str, error: sqlite3.Error) -> LogError:
        if failure_of(error) == "damaged":
            return LogDamaged(
                f"cannot {what} {self.path}: {words_for(error)}. A node that starts with it moves it aside, keeps what "
                "is readable and fetches the rest from its peers"
            )
        return LogBlocked(f"cannot {what} {self.path}: {words_for(error)}")

    def append(self, records: Sequence[Record]) -> list[Record]:
        """Add records in one transaction and return those that were not there yet, in the order given.

        What was forgotten is there already.

        Raises BadField for a kind that is never stored, LogBlocked, LogDamaged; then none is added.
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
                            " SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM forgotten WHERE id = ?)",
                            (*row, record.id),
                        )
                        if cursor.rowcount:
                            new.append(record)
                    self._connection.execute("COMMIT")
                    self._note(new)
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._named("write to", error) from error
        return new

    def probe(self) -> None:
        """Write a page that changes nothing, to see whether the disk takes it. Raises LogBlocked, LogDamaged."""
        with self._lock:
            try:
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            except sqlite3.Error as error:
                raise self._named("write to", error) from error

    def arrange(self, layout: Layout) -> None:
        """Say how the swarm's records are laid out, before the first `items`."""
        with self._lock:
            self._layout, self._items = layout, None

    def items(self, shelf: str = RECORDS) -> Items:
        """The (time_ms, id) of a shelf's records, forgotten ones too: read once, then kept up to date.

        Hold its `lock` while reading it.
        """
        with self._lock:
            if self._items is None:
                try:
                    self._items = self._read_items()
                except sqlite3.Error as error:
                    raise self._named("read", error) from error
            if shelf not in self._items and len(self._items) >= 2 * MAX_SHELVES:
                return Items()  # whatever a peer names
            return self._items.setdefault(shelf, Items())

    def shelves(self) -> list[str]:
        """The shelves of which there is anything here, the fullest first."""
        self.items(self._layout.mine[0])
        with self._lock:
            counts = {shelf: len(items) for shelf, items in (self._items or {}).items() if len(items)}
        return sorted(counts, key=lambda shelf: (-counts[shelf], shelf))

    def _read_items(self) -> dict[str, Items]:
        if self._layout.shelf_of is None:
            rows = self._connection.execute(
                "SELECT time_ms, id FROM records UNION ALL SELECT time_ms, id FROM forgotten ORDER BY time_ms, id"
            )
            return {RECORDS: Items((time_ms, record_id) for time_ms, record_id in rows)}
        found: dict[str, Items] = {}
        for record_id, raw in self._connection.execute("SELECT id, raw FROM records ORDER BY time_ms, id"):
            record = self._whole(record_id, raw)
            found.setdefault(self._layout.shelf(record), Items()).insert(record.time_ms, record_id)
        query = "SELECT CAST(name AS TEXT), time_ms, id FROM forgotten JOIN names ON number = shelf"
        for shelf, time_ms, record_id in self._connection.execute(query):
            found.setdefault(shelf, Items()).insert(time_ms, record_id)
        return found

    def _note(self, new: Sequence[Record]) -> None:
        if self._items is not None:
            for record in new:
                items = self._items.setdefault(self._layout.shelf(record), Items())
                with items.lock:
                    items.insert(record.time_ms, record.id)

    def forget(self, gists: Mapping[bytes, tuple[str, bytes]]) -> int:
        """Keep of the records of these ids nothing but shelf and gist; how many were here.

        Raises LogBlocked, LogDamaged.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    done = forgotten.forget(self._connection, gists)
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
                self._connection.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page
            except sqlite3.Error as error:
                raise self._named("write to", error) from error
        return done

    def forgotten(self) -> Iterator[Forgotten]:
        """What is left of the records that are no longer here, in the order of their ids."""
        after = b""
        while rows := self._rows(*forgotten.page_query(after, 1000)):
            yield from (Forgotten(*row) for row in rows)
            after = rows[-1][0]

    def forgot(self, hex_prefix: str) -> bool:
        """Whether a record whose id in hexadecimal starts so was forgotten."""
        whole = bytes.fromhex(hex_prefix[: len(hex_prefix) // 2 * 2])
        rows = self._rows("SELECT id FROM forgotten WHERE id >= ? ORDER BY id LIMIT 16", (whole,))
        return any(record_id.hex().startswith(hex_prefix.lower()) for (record_id,) in rows)

    def forgotten_of(self, ids: Sequence[bytes]) -> set[bytes]:
        """Those of `ids` (at most IDS_AT_ONCE) that were forgotten."""
        return {record_id for (record_id,) in self._rows(forgotten.among_query(ids), ids)}

    def before(self, time_ms: int, arrival: int) -> Iterator[Record]:
        """The records of before that time by their authors' clocks that came up to that arrival, the oldest first."""
        after = (0, b"")
        while rows := self._rows(
            "SELECT time_ms, id, raw FROM records WHERE (time_ms, id) > (?, ?) AND time_ms < ? AND arrival <= ?"
            " ORDER BY time_ms, id LIMIT 1000",
            (*after, time_ms, arrival),
        ):
            yield from (self._whole(record_id, raw) for _, record_id, raw in rows)
            after = rows[-1][:2]

    def get(self, record_id: bytes) -> Record | None:
        """The record of that id (32 bytes), if it is here."""
        rows = self._rows("SELECT raw FROM records WHERE id = ?", (record_id,))
        return self._whole(record_id, rows[0][0]) if rows else None

    def find(self, hex_prefix: str) -> list[Record]:
        """Records whose id in hexadecimal starts with `hex_prefix`, for a person who types a few digits; at most 10."""
        if not set(hex_prefix.lower()) <= set(string.hexdigits):
            return []
        pattern = hex_prefix + "%"
        return [
            self._whole(record_id, raw)
            for record_id, raw in self._rows("SELECT id, raw FROM records WHERE hex(id) LIKE ? LIMIT 10", (pattern,))
        ]

    def has(self, record_id: bytes) -> bool:
        """Whether the record of that id is here."""
        return bool(self._rows("SELECT 1 FROM records WHERE id = ?", (record_id,)))

    def raws(self, ids: Sequence[bytes], max_bytes: int) -> list[bytes]:
        """The bytes of those of `ids` that are here, in order, as many as fit in `max_bytes`; the first always."""
        found: list[bytes] = []
        for start in range(0, len(ids), RAWS_AT_ONCE):
            some = ids[start : start + RAWS_AT_ONCE]
            marks = ",".join("?" * len(some))
            here = dict(self._rows(f"SELECT id, raw FROM records WHERE id IN ({marks})", some))
            for record_id in filter(here.__contains__, some):
                raw = here[record_id]
                if id_of(raw) != record_id:
                    raise self._not_that(record_id)
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
            here.update(record_id for (record_id,) in self._rows(f"SELECT id FROM records WHERE id IN ({marks})", some))
            here |= self.forgotten_of(some)
        return [record_id for record_id in ids if record_id not in here]

    def ids(self) -> list[tuple[int, bytes]]:
        """(time_ms, id) of every record, ascending: the items that sync reconciles."""
        return [
            (time_ms, record_id)
            for time_ms, record_id in self._rows("SELECT time_ms, id FROM records ORDER BY time_ms, id")
        ]

    def ids_since(self, time_ms: int, limit: int) -> list[bytes]:
        """Ids of the newest records, by their authors' clocks, from `time_ms` on; at most `limit`, the oldest first."""
        rows = self._rows(
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
        return [(*row,) for row in self._rows(query, (time_ms, record_id, *tasks, limit))]

    def usage(self) -> dict[bytes, tuple[int, int]]:
        """For each author: how many records are here or forgotten, and how many bytes are kept of them."""
        query = (
            "SELECT author, COUNT(*), SUM(size) FROM (SELECT author, LENGTH(raw) AS size FROM records UNION ALL"
            " SELECT name, LENGTH(gist) FROM forgotten JOIN names ON number = author) GROUP BY author"
        )
        return {author: (records, size) for author, records, size in self._rows(query)}

    def contradictions(self, times: Sequence[int]) -> list[tuple[bytes, int]]:
        """(author, time_ms) for which there are several records, of those `times`, at most 500."""
        marks = ",".join("?" * len(times))
        return [
            (author, time_ms)
            for author, time_ms in self._rows(
                f"SELECT author, time_ms FROM records WHERE time_ms IN ({marks})"
                " GROUP BY author, time_ms HAVING COUNT(*) > 1",
                tuple(times),
            )
        ]

    def contradicting_authors(self) -> set[bytes]:
        """Those of whom there are several records for one millisecond."""
        query = (
            "SELECT author FROM (SELECT author, time_ms FROM records UNION ALL"
            " SELECT name, time_ms FROM forgotten JOIN names ON number = author)"
            " GROUP BY author HAVING COUNT(*) > COUNT(DISTINCT time_ms)"
        )
        return {author for (author,) in self._rows(query)}

    def times_of(self, author: bytes) -> set[int]:
        """The times of all records of one author."""
        return {time_ms for (time_ms,) in self._rows("SELECT time_ms FROM records WHERE author = ?", (author,))}

    def last_arrival(self) -> int:
        """The number of the record that came last; 0 without any."""
        number: int = self._rows("SELECT COALESCE(MAX(arrival), 0) FROM records")[0][0]
        return number

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
        """(arrival number, record) of all that arrived after number `arrival`, in order of arrival.

        Raises LogDamaged at a row whose bytes are not those of its id.
        """
        while True:
            rows = self._rows(
                "SELECT arrival, id, raw FROM records WHERE arrival > ? ORDER BY arrival LIMIT ?", (arrival, limit)
            )
            for number, record_id, raw in rows:
                yield number, self._whole(record_id, raw)
            if len(rows) < limit:
                return
            arrival = rows[-1][0]

    def _whole(self, record_id: bytes, raw: bytes) -> Record:
        """The record of a row; a disk may give back other bytes than it was given, which SQLite does not notice."""
        try:
            record = parse(raw)
        except (RecordError, TypeError) as error:
            raise LogDamaged(f"{self.path} is damaged: a row holds no record ({error})") from error
        if record.id != record_id:
            raise self._not_that(record_id)
        return record

    def _not_that(self, record_id: bytes) -> LogDamaged:
        return LogDamaged(f"{self.path} is damaged: a row's bytes are not those of record {record_id.hex()[:8]}")

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._named("read", error) from error

    def close(self) -> None:
        """Close the file; every record was already on disk."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
