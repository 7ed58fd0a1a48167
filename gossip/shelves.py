"""What a log's records are compared by: for each shelf the (time_ms, id) of its records, forgotten ones too.

Read from the file once, when first asked for, and then kept up to date by whoever appends (gossip/log.py).
"""

import sqlite3
from collections.abc import Sequence

from gossip.items import Items
from gossip.layout import MAX_SHELVES, RECORDS, WHOLE, Layout
from gossip.logfile import LogFile
from gossip.record import Record


class Shelves:
    """The shelves of a log, laid out as its swarm's records are."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._layout = WHOLE
        self._items: dict[str, Items] | None = None

    def arrange(self, layout: Layout) -> None:
        """Say how the swarm's records are laid out, before the first `items`."""
        with self._file.lock:
            self._layout, self._items = layout, None

    def items(self, shelf: str = RECORDS) -> Items:
        """The (time_ms, id) of a shelf's records, forgotten ones too: read once, then kept up to date.

        Hold its `lock` while reading it.
        """
        with self._file.lock:
            if self._items is None:
                try:
                    self._items = self._read()
                except sqlite3.Error as error:
                    raise self._file.named("read", error) from error
            if shelf not in self._items and len(self._items) >= 2 * MAX_SHELVES:
                return Items()  # whatever a peer names
            return self._items.setdefault(shelf, Items())

    def filled(self) -> list[str]:
        """The shelves of which there is anything here, the fullest first."""
        self.items(self._layout.mine[0])
        with self._file.lock:
            counts = {shelf: len(items) for shelf, items in (self._items or {}).items() if len(items)}
        return sorted(counts, key=lambda shelf: (-counts[shelf], shelf))

    def note(self, new: Sequence[Record]) -> None:
        """Put in what was appended; the file's lock is held since then."""
        if self._items is None:
            return
        for shelf, records in self._sorted(new).items():
            items = self._items.setdefault(shelf, Items())
            with items.lock:
                for record in records:
                    items.insert(record.time_ms, record.id)

    def _sorted(self, records: Sequence[Record]) -> dict[str, list[Record]]:
        """The records of each shelf."""
        found: dict[str, list[Record]] = {}
        for record in records:
            found.setdefault(self._layout.shelf(record), []).append(record)
        return found

    def _read(self) -> dict[str, Items]:
        if self._layout.shelf_of is None:
            rows = self._file.connection.execute(
                "SELECT time_ms, id FROM records UNION ALL SELECT time_ms, id FROM forgotten ORDER BY time_ms, id"
            )
            return {RECORDS: Items((time_ms, record_id) for time_ms, record_id in rows)}
        found: dict[str, Items] = {}
        for record_id, raw in self._file.connection.execute("SELECT id, raw FROM records ORDER BY time_ms, id"):
            record = self._file.whole(record_id, raw)
            found.setdefault(self._layout.shelf(record), Items()).insert(record.time_ms, record_id)
        query = "SELECT CAST(name AS TEXT), time_ms, id FROM forgotten JOIN names ON number = shelf"
        for shelf, time_ms, record_id in self._file.connection.execute(query):
            found.setdefault(shelf, Items()).insert(time_ms, record_id)
        return found
