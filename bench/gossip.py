"""What a record costs and how long it takes through GossipSub, beside the plain library in the same run.

    python -m bench.gossip [NODES ...] [--seconds S] [--rate R] [--only plain|arnode|mesh]

For each number of nodes (10, 30, 50, 100 unless told otherwise) the same random graph of eight connections a node, the
same records of 2 kB and the same rate: first py-libp2p as it comes, then arnode's network, whole: records are checked
as in a node and stored in a log on disk. The nodes are spread over one process for each core.

Processor time is of all these processes, without what they used while nothing was said; for arnode the main threads'
share is named too, since logs are written in threads. Latency is from just before `publish` to the event at the
receiver. The nodes share the machine's cores, where those of a swarm have their own, so it is an upper bound.

Then eight nodes as processes, each connected to all, on one core, at R records a second together.
"""

import argparse
import itertools
import os
import random
import time
from collections.abc import Sequence
from typing import Final

from bench.figures import figure, machine
from bench.spread import Process, heard, processes, used

DEGREE: Final = 8
RATES: Final = {10: 4.0, 30: 1.0, 50: 0.5, 100: 0.15}
"""Records a second in all: so few that one core with the plain library's nodes would be about half busy."""
SETTLE_SECONDS: Final = 15.0
SETTLE_SECONDS_A_NODE: Final = 0.5
"""New connections cause history exchange, and questions for peers."""
QUIET_SECONDS: Final = 30.0
"""As long as the longest of what a node does now and then: a ping of each peer."""
CONNECT_SECONDS: Final = 120.0
PATIENCE_SECONDS: Final = 20.0
MESH: Final = 8
MESH_RATE: Final = 100.0


def graph(nodes: int, seed: int = 1) -> list[tuple[int, int]]:
    """A random connected graph in which every node has about DEGREE edges; all there are, if the nodes are few."""
    if nodes <= DEGREE + 1:
        return list(itertools.combinations(range(nodes), 2))
    stream = random.Random(seed)
    edges: set[tuple[int, int]] = set()
    for _ in range(DEGREE // 2):
        ring = list(range(nodes))
        stream.shuffle(ring)
        edges |= {(min(pair), max(pair)) for pair in zip(ring, ring[1:] + ring[:1], strict=True)}
    return sorted(edges)


def measure(network: str, nodes: int, rate: float, seconds: float, cores: Sequence[int], what: str) -> float:
    """Print the figures of `nodes` nodes, spread over a process on each of `cores`; the ms of CPU of a delivery."""
    count = max(4, round(rate * seconds))
    with processes(network, cores) as made:
        connect(made, nodes)
        time.sleep(SETTLE_SECONDS + SETTLE_SECONDS_A_NODE * nodes)
        before, began = used(made), time.perf_counter()
        time.sleep(QUIET_SECONDS)
        quiet = (used(made)[0] - before[0]) / (time.perf_counter() - began)
        before, began = used(made), time.perf_counter()
        for number in range(count):
            planned = began + number / rate
            time.sleep(max(0.0, planned - time.perf_counter()))
            speaker = random.Random(number).randrange(nodes)
            made[speaker % len(made)].tell("say", speaker, planned)
        until = time.perf_counter() + PATIENCE_SECONDS
        while sum(process.ask("count") for process in made) < count * (nodes - 1) and time.perf_counter() < until:
            time.sleep(0.2)
        took, after = time.perf_counter() - began, used(made)
        found = heard(made)
    delivered = len(found.seconds)
    cpu, main = (1000 * (end - start - quiet * took) / delivered for start, end in zip(before, after, strict=True))
    print(figure(f"{what}: delivered at {rate:.3g} records/s", "%", [100 * delivered / count / (nodes - 1)]))
    if network == "arnode":
        print(figure("… of them by history exchange", "", [found.synced], better="lower"))
    print(figure("… said later than planned by, at most", "s", [found.late]))
    print(figure(f"{what}, a delivered record", "ms of CPU", [cpu]))
    print(figure("… in the main threads", "ms of CPU", [main]))
    print(figure(f"{what}, a node while nothing is said", "% of a core", [100 * quiet / nodes]))
    print(latencies(what, found.seconds), flush=True)
    return cpu


def connect(made: Sequence[Process], nodes: int) -> None:
    """Open the nodes one by one, each in its process, and wait until neighbours know that they listen."""
    edges = graph(nodes)
    addresses: list[str] = []
    for number in range(nodes):
        dial = [addresses[a] for a, b in edges if b == number]
        addresses.append(made[number % len(made)].ask("open", number, dial))
    until = time.perf_counter() + CONNECT_SECONDS
    while sum(process.ask("hearers") for process in made) < 2 * len(edges):
        if time.perf_counter() > until:
            raise SystemExit(f"{nodes} nodes were not connected within {CONNECT_SECONDS:.0f} s")
        time.sleep(0.2)


def latencies(what: str, seconds: Sequence[float]) -> str:
    """Two lines: the median with its spread, and the 99th percentile."""
    ordered = sorted(1000 * each for each in seconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{figure(f'{what}, latency', 'ms', ordered)}\n{figure('… 99 of 100 below', 'ms', [p99])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("nodes", nargs="*", type=int, default=[10, 30, 50, 100])
    parser.add_argument("--seconds", type=float, default=20.0, help="for how long records are published")
    parser.add_argument("--rate", type=float, default=MESH_RATE, help="records a second of the eight processes")
    parser.add_argument("--only", choices=("plain", "arnode", "mesh"), help="not all of it")
    options = parser.parse_args()
    print(machine())
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    for nodes in options.nodes if options.only != "mesh" else ():
        rate = RATES.get(nodes, 40 / nodes / nodes**0.5)
        names = [name for name in ("plain", "arnode") if options.only in (None, name)]
        costs = [measure(name, nodes, rate, options.seconds, cores, f"{name}, {nodes} nodes") for name in names]
        if len(costs) == 2:
            times = [costs[0] / costs[1]]
            print(figure(f"{nodes} nodes: the plain library's cost over arnode's", "", times, better="higher"))
    if options.only in (None, "mesh"):
        what = f"{MESH} processes in full mesh on one core"
        measure("arnode", MESH, options.rate, options.seconds, cores[:1] * MESH, what)


if __name__ == "__main__":
    main()
