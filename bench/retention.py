"""What forgetting saves: the log's bytes on disk for RECORDS results of a made-up swarm, before and after.

    python -m bench.retention [RECORDS]

All are old and of others (bench/notebook.py makes them), so this is the share that can go of a long history. Then how
long a start takes with records and with gists.
"""

import random
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Final

from agent.notebook import Notebook
from agent.retention import rule
from bench.figures import figure, machine
from bench.notebook import made_up
from gossip.layout import WHOLE
from gossip.log import Log
from node.simulation.node import identity
from node.simulation.world import DEVICE_CLASS, surface_world

RECORDS: Final = 20_000
AT_ONCE: Final = 500
FAR_MS: Final = 2**62
PER: Final = 100_000


def main() -> None:
    """Fill a log, forget what the rule allows, and tell the size of its file before and after."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    world, me = surface_world(), identity(1_000_000).author
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with Log(path) as log:
            records = made_up(world, random.Random(1))
            while batch := list(islice(records, min(AT_ONCE, many - log.count()))):
                log.append(batch)
        before = path.stat().st_size
        print(figure(f"records in full, per {PER}", "MB", [before / many * PER / 1e6]))
        forgotten = _forget(path, Notebook(world.task, me, DEVICE_CLASS))
        print(figure("of these kept in short", "%", [100 * forgotten / many]))
        after = path.stat().st_size
        print(figure(f"after forgetting, per {PER}", "MB", [after / many * PER / 1e6]))
        print(figure("saved", "%", [100 * (1 - after / before)]))


def _forget(path: Path, notebook: Notebook) -> int:
    gist, done, started = rule(notebook), 0, time.process_time()
    with Log(path) as log:
        old = log.before(FAR_MS, log.last_arrival())
        while batch := list(islice(old, AT_ONCE)):
            gists = {record.id: (WHOLE.shelf(record), left) for record in batch if (left := gist(record)) is not None}
            done += log.forget(gists)
    print(figure("forgetting a record", "ms of CPU", [1000 * (time.process_time() - started) / max(done, 1)]))
    started = time.process_time()
    with Log(path, read_only=True) as log:
        for one in log.forgotten():
            notebook.add_gist((one.time_ms, one.id), one.author, one.task, one.gist)
    print(figure("a gist read at the start", "ms of CPU", [1000 * (time.process_time() - started) / max(done, 1)]))
    return done


if __name__ == "__main__":
    main()
