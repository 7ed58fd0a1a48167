"""What one delivery of a record through GossipSub costs: a swarm in memory, under virtual time, counted.

Router, mesh, checks, log and guard are the real ones (`node.simulation.fabric`); the network loses nothing. What the
same swarm does in the same time while nothing is said is subtracted. All nodes share a process and remember what one of
them has verified, so signatures are not in it: `a record decoded and checked` is.
"""

import random
import tempfile
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import trio

from agent.entries import Hypothesis, check, write
from gossip.log import Log
from gossip.record import Record
from node.simulation import virtual
from node.simulation.fabric import open_fabric
from node.simulation.links import Internet
from node.simulation.node import identity

NODES: Final = 12
RECORDS: Final = 10
SETTLE_SECONDS: Final = 30.0
EVERY_SECONDS: Final = 2.0
SEED: Final = 1


class Turns(trio.abc.Instrument):
    """How often the scheduler lets a task run, inside a `with`."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *error: object) -> None:
        trio.lowlevel.remove_instrument(self)


@dataclass(frozen=True)
class Carried:
    """In the time after the swarm had settled: deliveries, copies to nodes that had the record, bytes sent by all."""

    deliveries: int
    duplicates: int
    sent: int


def carried(records: int, watch: AbstractContextManager[object]) -> Carried:
    """Let a swarm live for a while in which so many records are said, at most RECORDS; `watch` sees that while only."""
    with tempfile.TemporaryDirectory() as folder:
        return virtual.run(lambda: _live(Path(folder), records, watch), seed=SEED)


async def _live(folder: Path, records: int, watch: AbstractContextManager[object]) -> Carried:
    rng = random.Random(SEED)
    with ExitStack() as stack:
        logs = [stack.enter_context(Log(folder / f"log-{number}")) for number in range(NODES)]
        async with open_fabric(Internet(loss=0.0), seed=SEED, check=check) as network:
            members = [await network.start(number, identity(number + 1), log, _hear) for number, log in enumerate(logs)]
            await trio.sleep(SETTLE_SECONDS)
            duplicates, sent = network.traffic.duplicates, sum(map(network.traffic.sent, range(NODES)))
            with watch:
                for number in range(RECORDS):
                    if number < records:
                        speaker = rng.randrange(NODES)
                        record = write(identity(speaker + 1), bytes(32), virtual.now_ms(), Hypothesis(text="x" * 1000))
                        logs[speaker].append([record])
                        await members[speaker].publish(record)
                    await trio.sleep(EVERY_SECONDS)
            traffic = network.traffic
            all_sent = sum(map(traffic.sent, range(NODES)))
            return Carried(len(traffic.record), traffic.duplicates - duplicates, all_sent - sent)


def _hear(record: Record) -> None:
    """Nobody listens."""
