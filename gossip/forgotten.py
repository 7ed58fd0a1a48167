"""What a log remembers of records that it no longer keeps: their places in the set, and a gist.

A forgotten record stays a member of the set: its (time, id) is reconciled with peers as before, so fingerprints are
equal and nobody sends it again. Its bytes are gone; whoever wants them asks another peer (gossip/sync.py). The gist is
what the node's own reckoning needs of it, in bytes that gossip does not understand (agent/gist.py).

This module is the SQL of it; gossip/log.py calls it under its file's lock.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# An id is looked up by its key alone, and times are read once, at the start: so no further index is worth its bytes.
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS names (number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS forgotten (
    id BLOB PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    task INTEGER NOT NULL,
    author INTEGER NOT NULL,
    shelf INTEGER NOT NULL,
    gist BLOB NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Forgotten:
    """What is left of a record. gist: empty where nothing is needed; shelf: where it belongs (gossip/layout.py)."""

    id: bytes
    time_ms: int
    task: bytes
    author: bytes
    shelf: str
    gist: bytes


def forget(connection: sqlite3.Connection, gists: Mapping[bytes, tuple[str, bytes]]) -> int:
    """Put shelf and gist in the place of the records of these ids, in an open transaction; how many were there."""
    done = 0
    for record_id, (shelf, gist) in gists.items():
        row = connection.execute("SELECT time_ms, task, author FROM records WHERE id = ?", (record_id,)).fetchone()
        if row is None:
            continue
        time_ms, task, author = row
        numbers = [_number(connection, name) for name in (task, author, shelf.encode())]
        values = (record_id, time_ms, *numbers, gist)
        connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?, ?, ?, ?, ?)", values)
        connection.execute("DELETE FROM records WHERE id = ?", (record_id,))
        done += 1
    return done


def _number(connection: sqlite3.Connection, name: bytes) -> int:
    """The small number that stands for a task, an author or a shelf."""
    connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,))
    number: int = connection.execute("SELECT number FROM names WHERE name = ?", (name,)).fetchone()[0]
    return number


def page_query(after: bytes, limit: int) -> tuple[str, tuple[object, ...]]:
    """The forgotten, by id, after that id."""
    query = (
        "SELECT id, time_ms, task.name, author.name, CAST(shelf.name AS TEXT), gist FROM forgotten"
        " JOIN names AS task ON task.number = task JOIN names AS author ON author.number = author"
        " JOIN names AS shelf ON shelf.number = shelf"
        " WHERE id > ? ORDER BY id LIMIT ?"
    )
    return query, (after, limit)


def among_query(ids: Sequence[bytes]) -> str:
    """Those of these ids that are forgotten."""
    return f"SELECT id FROM forgotten WHERE id IN ({','.join('?' * len(ids))})"
