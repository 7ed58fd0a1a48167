"""What a simulated swarm costs, in which the real gossip code runs (node/simulation/fabric.py), and how records travel.

    python -m bench.fabric [NODES] [--minutes M] [--records R] [--churn PART] [--seed SEED]

The nodes come up within the first minute; from the third on nothing is said for a minute, which shows what idling
costs; then R records of 2 kB are published by nodes at random, evenly over the time but the last five minutes, while
each minute a part of the nodes is killed and comes up again a minute later. The internet is `links.Internet`'s.
By default: 100 nodes, 10 minutes. A thousand nodes for an hour: `1000 --minutes 60 --records 60`.
"""

import argparse
import random
import resource
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from bench.figures import figure
from gossip.log import Log
from gossip.record import Record, pack_body, sign
from node.simulation import virtual
from node.simulation.fabric import Fabric, open_fabric
from node.simulation.links import INTERNET
from node.simulation.network import Member
from node.simulation.node import identity

COMING_UP_SECONDS: Final = 120.0
IDLE_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 300.0
AWAY_SECONDS: Final = 60.0
BODY_BYTES: Final = 1800
TASK: Final = bytes(32)


@dataclass
class Costs:
    """CPU seconds of the phases."""

    coming_up: float = 0.0
    idle: float = 0.0
    talk: float = 0.0


class Node:
    """A node that may be up."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.log = Log(Path(":memory:"))
        self.signer = identity(number + 1)
        self.member: Member | None = None

    async def up(self, network: Fabric) -> None:
        """Come up."""
        self.member = await network.start(self.number, self.signer, self.log, lambda record: None)

    async def down(self) -> None:
        """Be killed."""
        if self.member is not None:
            await self.member.stop()
            self.member = None

    async def say(self, body: bytes) -> Record:
        """Publish a record."""
        record = sign(self.signer, "insight", TASK, virtual.now_ms(), body)
        self.log.append([record])
        if self.member is not None:
            await self.member.publish(record)
        return record


async def play(options: argparse.Namespace) -> None:
    """Run the swarm and print the figures."""
    chance = random.Random(options.seed)
    began, costs = time.perf_counter(), Costs()
    async with open_fabric(INTERNET, seed=options.seed) as network:
        nodes = [Node(number) for number in range(options.nodes)]
        spent = time.process_time()
        for node in nodes:
            await node.up(network)
            await trio.sleep(COMING_UP_SECONDS / 2 / options.nodes)
        await trio.sleep_until(COMING_UP_SECONDS)
        costs.coming_up = -spent + (spent := time.process_time())
        await trio.sleep(IDLE_SECONDS)
        costs.idle = -spent + (spent := time.process_time())
        end = 60.0 * options.minutes
        said: list[Record] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_churn, network, nodes, options.churn, end - QUIET_SECONDS, chance)
            pause = (end - QUIET_SECONDS - trio.current_time()) / max(1, options.records)
            for _ in range(options.records):
                speaker = chance.choice([node for node in nodes if node.member])
                said.append(await speaker.say(pack_body({"text": chance.randbytes(BODY_BYTES // 2).hex()})))
                await trio.sleep(pause)
        await trio.sleep_until(end)
        costs.talk = time.process_time() - spent
        print(*_figures(options, network, nodes, said, costs, time.perf_counter() - began), sep="\n", flush=True)


async def _churn(network: Fabric, nodes: list[Node], part: float, until: float, chance: random.Random) -> None:
    """Kill nodes one after the other, each of which comes up again a while later."""

    async def be_away(node: Node) -> None:
        await node.down()
        await trio.sleep(AWAY_SECONDS)
        await node.up(network)

    async with trio.open_nursery() as nursery:
        while part and trio.current_time() < until - AWAY_SECONDS:
            await trio.sleep(chance.expovariate(part * len(nodes) / 60))
            nursery.start_soon(be_away, chance.choice([node for node in nodes if node.member]))


def _figures(
    options: argparse.Namespace,
    network: Fabric,
    nodes: list[Node],
    said: list[Record],
    costs: Costs,
    wall: float,
) -> list[str]:
    size, traffic = len(nodes), network.traffic
    deliveries = max(1, len(traffic.record))
    idle = costs.idle / IDLE_SECONDS / size
    talk = costs.talk - idle * size * (60 * options.minutes - COMING_UP_SECONDS - IDLE_SECONDS)
    missed = sum(len(node.log.missing([record.id for record in said])) for node in nodes)
    seconds = sorted(delay for delay, by_sync in zip(traffic.seconds, traffic.by_sync, strict=True) if not by_sync)
    sent = [traffic.sent(node.number) / (60 * options.minutes) for node in nodes]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    name = f"fabric, {size} nodes"
    print(f"digest {traffic.digest()}; troubles: {network.troubles[:5] or 'none'}")
    return [
        figure(f"{name}: coming up, a node", "ms of CPU", [1000 * costs.coming_up / size]),
        figure("…: idle, a node and second", "us of CPU", [1e6 * idle]),
        figure("…: talk and churn, a delivery", "ms of CPU", [1000 * talk / deliveries]),
        figure(f"…: {options.minutes:g} minutes", "s of CPU", [costs.coming_up + costs.idle + costs.talk]),
        figure(f"…: {options.minutes:g} minutes, by the clock on the wall", "s", [wall]),
        figure("…: memory", "MB", [memory]),
        figure("…: deliveries", "deliveries", [len(traffic.record)], better="neither", kind="outcome"),
        figure("…: records that a node lacks at the end", "records", [missed], better="lower", kind="outcome"),
        figure("…: deliveries by history exchange", "%", [100 * sum(traffic.by_sync) / deliveries], kind="outcome"),
        figure("…: delay by gossip, median", "ms", [1000 * _part(seconds, 0.5)], kind="outcome"),
        figure("…: delay by gossip, 99th percentile", "ms", [1000 * _part(seconds, 0.99)], kind="outcome"),
        figure("…: hops", "hops", [sum(traffic.hops) / deliveries], better="lower", kind="outcome"),
        figure("…: copies beyond the first, a delivery", "copies", [traffic.duplicates / deliveries], kind="outcome"),
        figure("…: sent by a node in a second", "bytes", sent, kind="outcome"),
    ]


def _part(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", type=int, nargs="?", default=100)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--records", type=int, default=20)
    parser.add_argument("--churn", type=float, default=0.01, help="part of the nodes killed in a minute")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    virtual.run(partial(play, options), seed=options.seed)


if __name__ == "__main__":
    main()
