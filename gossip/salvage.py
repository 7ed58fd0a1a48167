"""Records out of a damaged log: whatever in the file still is a record, whole and signed, is kept.

Nothing is trusted: each record proves itself by its signature, so the bytes may be read from wherever they lie. Small
records lie in one piece in SQLite's pages, and are found by looking through the file and its write-ahead log; larger
ones are spread over pages, which SQLite itself reads as far as it can.
"""

import itertools
import mmap
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgpack

from gossip.record import MAX_BYTES, STORED_KINDS, Record, RecordError, decode

FOREVER_MS: Final = 2**63
# how a record begins: an array of seven, version 1, its kind, and the 32 bytes of its task
BEGINNING: Final = re.compile(
    b"\x97\x01(?:" + b"|".join(msgpack.packb(kind) for kind in sorted(STORED_KINDS)) + b")\xc4\x20"
)


def readable_records(path: Path) -> Iterator[Record]:
    """Every sound record in a log's file, damaged or not, each once."""
    seen: set[bytes] = set()  # by signature, with which a record's bytes end: a second look would cost as much again
    beside = path.with_name(path.name + "-wal")
    for raw in itertools.chain(_lying_about(path), _lying_about(beside), _rows(path)):
        if raw[-64:] in seen:
            continue
        try:
            record = decode(raw, FOREVER_MS)
        except RecordError:
            continue  # that is what is damaged
        if record.kind in STORED_KINDS:
            seen.add(record.signature)
            yield record


def _lying_about(path: Path) -> Iterator[bytes]:
    """What begins like a record, wherever it lies in the file."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for found in BEGINNING.finditer(data):
            chunk = data[found.start() : found.start() + MAX_BYTES]
            unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=MAX_BYTES)
            unpacker.feed(chunk)
            try:
                unpacker.skip()
            except (ValueError, msgpack.UnpackException):
                continue
            yield chunk[: unpacker.tell()]


def _rows(path: Path) -> Iterator[bytes]:
    """The rows that SQLite reads, from the first to the damage and from the last back to it."""
    for order in ("ASC", "DESC"):
        try:
            with closing(sqlite3.connect(path)) as connection:
                for (raw,) in connection.execute(f"SELECT raw FROM records ORDER BY arrival {order}"):
                    if isinstance(raw, bytes):
                        yield raw
        except sqlite3.Error:
            continue  # as far as it goes
