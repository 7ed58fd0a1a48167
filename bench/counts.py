"""What a node's hot paths cost, counted instead of timed: the same on every machine, in seconds.

    python -m bench.counts

Bytecode instructions and calls of Python functions for each of `bench.paths`, in a process whose hashes are fixed; what
the log asks of SQLite; the messages and bytes of a reconciliation. `bench.instructions` counts what C code does, too.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.counting import counted, statements
from bench.figures import figure, machine
from bench.paths import BATCH, PATHS, differing_sets, reconcile, records
from gossip.log import Log

WARM: Final = 2
"""Repetitions before counting: what is made at the first call, and kept."""


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        for number, path in enumerate(PATHS):
            folder = Path(name) / str(number)
            folder.mkdir()
            piece = path.prepare(folder)
            for _ in range(WARM):
                piece()
            found = [counted(piece) for _ in range(path.repeats)]
            print(figure(path.name, "bytecodes", [count.bytecodes for count in found]))
            print(figure("… in Python functions", "calls", [count.calls for count in found]), flush=True)
        of_the_log(Path(name))
    of_reconciling()


def of_the_log(folder: Path) -> None:
    """Print what appending asks of SQLite."""
    told = iter(records())
    with Log(folder / "counted") as log:
        for size in (1, BATCH):
            log.append([next(told) for _ in range(size)])
            with statements(log._connection) as found:
                log.append([next(told) for _ in range(size)])
            print(figure(f"appending {size} to the log", "statements", [found.statements]))
            print(figure("… in SQLite's machine", "SQLite steps", [found.steps]))


def of_reconciling() -> None:
    """Print what goes over the wire."""
    ours, theirs = differing_sets()
    sent = reconcile(ours, theirs)
    print(figure("reconciling, both ways", "messages", [len(sent)]))
    print(figure("… in bytes", "bytes", [sum(map(len, sent))]))


def with_fixed_hashes() -> None:
    """Start again with the order of sets of strings and bytes fixed, unless it is."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})


if __name__ == "__main__":
    with_fixed_hashes()
    main()
