"""What SQLite's failures mean, and how a damaged file is moved out of the way.

Two kinds matter to a node. What blocks (a full disk, another program's lock, a disk that refuses) may end by itself, so
the node waits and tries again. What is damaged never heals: the file is moved aside and a new one begun.
"""

import errno
import os
import sqlite3
import time
from pathlib import Path
from typing import Final, Literal

Failure = Literal["full", "locked", "damaged", "refused"]

WAIT_SECONDS: Final = 5.0
FULL_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
COMPANIONS: Final = ("-wal", "-shm", "-journal")


def failure_of(error: sqlite3.Error) -> Failure:
    """Which kind of failure it is."""
    if isinstance(error, sqlite3.ProgrammingError):
        return "refused"  # such as a connection that was closed: it says nothing about the file
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return "full"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return "locked"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR | sqlite3.SQLITE_MISMATCH:
            return "damaged"
        case _:
            return "refused"


def words_for(error: sqlite3.Error) -> str:
    """The failure in words for a person; SQLite's own behind them."""
    words = {
        "full": "the disk is full",
        "locked": f"another program has held it locked for {WAIT_SECONDS:.0f} s",
        "damaged": "the file is damaged",
        "refused": "the disk refuses",
    }
    return f"{words[failure_of(error)]} ({error})"


def move_aside(path: Path) -> Path:
    """Rename a damaged database, with what SQLite keeps beside it; returns its new path, which has the date in it."""
    stamp = time.strftime("%Y-%m-%dT%H%M%S", time.gmtime())
    number = 0
    while True:
        aside = path.with_name(f"{path.name}.damaged-{stamp}{f'-{number}' if number else ''}")
        if not aside.exists():
            break
        number += 1
    os.replace(path, aside)
    for companion in COMPANIONS:
        beside = path.with_name(path.name + companion)
        if beside.exists():
            os.replace(beside, aside.with_name(aside.name + companion))
    return aside
