"""What sharding saves: the bytes of records that a node receives, with one topic for all and with shelves.

    python -m bench.sharding [RECORDS]

The results are those of a made-up swarm (bench/notebook.py) on one task, its nodes on three device classes; then as
many of nine other tasks beside it, which only change what one topic carries. Counted are records' bytes, each once.
"""

import random
import sys
from collections import Counter
from itertools import islice
from typing import Final

from agent.shelves import shelf_of, shelves_of
from bench.figures import figure, machine
from bench.notebook import DEVICES, made_up
from node.simulation.world import surface_world

RECORDS: Final = 5_000
TASKS: Final = (1, 10)


def main() -> None:
    """Share of all bytes that a node receives, for each number of tasks and each device class."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    world = surface_world()
    on_shelf: Counter[str] = Counter()
    for record in islice(made_up(world, random.Random(1)), many):
        on_shelf[shelf_of(record)] += len(record.raw)
    print(machine())
    whole = on_shelf.total()
    print(figure("one task, one topic", "bytes a record", [whole / many]))
    for tasks in TASKS:
        for device_class in sorted(set(DEVICES)):
            mine = sum(on_shelf[shelf] for shelf in shelves_of(world.task.fingerprint, device_class))
            share = 100 * mine / (tasks * whole)
            print(figure(f"a {device_class} node of one of {tasks} tasks, sharded", "% of all bytes", [share]))


if __name__ == "__main__":
    main()
