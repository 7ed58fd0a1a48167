"""The node's own records a second time, in a text file that is only ever added to: `own.jsonl`.

The log can be fetched again from peers; what this node alone has found cannot. So each own record is also kept here, a
line of the archive's form (node/archive.py), before any peer hears of it, and comes back from here should the log be
lost.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gossip.logfile import LogBlocked
from gossip.record import Record
from node.archive import ArchiveError, from_line, to_line


class OwnRecords:
    """The file at `path`, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self, records: Sequence[Record]) -> None:
        """Add records; they are on disk when this returns. Raises LogBlocked, and then none is added."""
        try:
            with self.path.open("a+b") as file:
                size = file.seek(0, os.SEEK_END)
                try:
                    if size:
                        file.seek(size - 1)
                        if file.read(1) != b"\n":
                            file.write(b"\n")  # what a power cut left unfinished stays a line of its own
                    file.write("".join(to_line(record) + "\n" for record in records).encode())
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self.path, size)
                    raise
        except OSError as error:
            raise LogBlocked(f"cannot write to {self.path}: {error.strerror}") from error

    def lines(self) -> Iterator[tuple[bytes, str]]:
        """(record id, line) of each line that names one, unchecked."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise LogBlocked(f"cannot read {self.path}: {error.strerror}") from error
        for line in text.splitlines():
            try:
                yield bytes.fromhex(json.loads(line)["id"]), line
            except (ValueError, TypeError, KeyError, RecursionError):
                continue  # damaged: it says nothing

    def other_than(self, known: set[bytes]) -> list[Record]:
        """The sound records in the file whose ids are not `known`."""
        found: dict[bytes, Record] = {}
        for record_id, line in self.lines():
            if record_id not in known:
                try:
                    found[record_id] = from_line(line)
                except ArchiveError:
                    continue
        return list(found.values())
