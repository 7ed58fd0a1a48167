"""What a node's hot paths cost, counted instead of timed: the same on every machine, in seconds.

    python -m bench.counts

Bytecode instructions and calls of Python functions for each of `bench.paths`, in a process whose hashes are fixed; what
the log asks of SQLite; the messages and bytes of a reconciliation. `bench.instructions` counts what C code does, too.
"""

import os
import sys
import tempfile
from pathlib import Path

from bench.counting import Counted, counted, statements
from bench.delivery import RECORDS, Turns, carried
from bench.figures import figure, machine
from bench.paths import BATCH, PATHS, WARM, differing_sets, reconcile, records
from gossip.log import Log


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
    of_delivering()


def of_the_log(folder: Path) -> None:
    """Print what appending asks of SQLite."""
    told = iter(records())
    with Log(folder / "counted") as log:
        for size in (1, BATCH):
            log.append([next(told) for _ in range(size)])
            with statements(log.file.connection) as found:
                log.append([next(told) for _ in range(size)])
            print(figure(f"appending {size} to the log", "statements", [found.statements]))
            print(figure("… in SQLite's machine", "SQLite steps", [found.steps]))


def of_reconciling() -> None:
    """Print what goes over the wire."""
    ours, theirs = differing_sets()
    sent = reconcile(ours, theirs)
    print(figure("reconciling, both ways", "messages", [len(sent)]))
    print(figure("… in bytes", "bytes", [sum(map(len, sent))]))


def of_delivering() -> None:
    """Print what a record costs on its way through a swarm, for each node that it reaches."""
    idle, work = Counted(), Counted()
    quiet, busy = carried(0, idle), carried(RECORDS, work)
    reached = busy.deliveries
    print(figure("a delivery through GossipSub", "bytecodes", [(work.bytecodes - idle.bytecodes) / reached]))
    print(figure("… in Python functions", "calls", [(work.calls - idle.calls) / reached]))
    print(figure("… sent by all", "bytes", [(busy.sent - quiet.sent) / reached]))
    print(figure("… copies to nodes that had it", "messages", [busy.duplicates / reached]))
    idle_turns, turns = Turns(), Turns()
    carried(0, idle_turns)
    carried(RECORDS, turns)
    print(figure("… turns of tasks", "scheduler steps", [(turns.count - idle_turns.count) / reached]))


def with_fixed_hashes() -> None:
    """Start again with the order of sets of strings and bytes fixed, unless it is."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})


if __name__ == "__main__":
    with_fixed_hashes()
    main()
