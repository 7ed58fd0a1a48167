"""The model of GossipSub's delivery beside the real router, and alone where that is too slow.

    python -m bench.model [NODES ...] [--alone NODES ...] [--records N] [--draw FOLDER]

The real router runs on the simulated network (node/simulation/fabric.py): libp2p's GossipSub with our overrides, intake
and log, under virtual time. The model then spreads the same records, said at the same times by the same nodes, on the
same connections with the same latencies; the meshes are each one's own. What comes of both is compared.
"""

import argparse
import random
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import trio

from bench.figures import figure, machine
from bench.scaling import RECORD_BYTES
from gossip.log import Log
from gossip.record import pack_body, sign
from node.simulation import virtual
from node.simulation.fabric import open_fabric
from node.simulation.flooding.flood import Conditions, flood
from node.simulation.flooding.overlay import Floats, Ints, Overlay, overlay, random_pairs
from node.simulation.flooding.spread import Spread
from node.simulation.links import Internet, Links
from node.simulation.node import identity

INTERNET: Final = Internet(loss=0.0)
"""Of the model, a lost message is lost for good; on a real connection it comes later."""
MEAN_JITTER: Final = 1 + INTERNET.jitter / 2
START_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 15.0
DRAIN_SECONDS: Final = 6.0
TEXT: Final = "x" * 770  # as long as makes a record of a typical result's size
RATE: Final = 2.0
ALONE_RATE: Final = 10.0
ALONE_RECORDS: Final = 100
CONDITIONS: Final = {
    "": Conditions(),
    ", each record judged for 3 ms": Conditions(judging_seconds=0.003),
    ", one message in a hundred lost": Conditions(loss=0.01),
    ", one node in a hundred going each minute, for a minute": Conditions(leave=0.01),
}


@dataclass(frozen=True)
class Run:
    """What the real router did. authors, said: of each record; seconds, hops: of each delivery by gossip; copies: that
    arrived for each delivery; sent: bytes of a node for each record; size: of a record; by_sync: deliveries that
    history exchange made.
    """

    graph: Overlay
    authors: Ints
    said: Floats
    seconds: Floats
    hops: Ints
    copies: float
    sent: float
    size: int
    by_sync: int


@dataclass(frozen=True)
class Difference:
    """Of the model from the real router. distance: Kolmogorov and Smirnov's, between the times of delivery; the others
    are ratios, model over real.
    """

    distance: float
    median: float
    late: float
    hops: float
    copies: float
    sent: float


def run_real(nodes: int, records: int, rate: float = RATE, seed: int = 1) -> Run:
    """Start so many nodes, let them find each other, and have them say records at random times, `rate` a second."""
    return virtual.run(lambda: _real(nodes, records, rate, seed), seed=seed)


async def _real(nodes: int, records: int, rate: float, seed: int) -> Run:
    chance = random.Random(seed)
    async with open_fabric(INTERNET, seed=seed) as fabric:
        logs = [Log(Path(":memory:")) for _ in range(nodes)]
        members = []
        for number, log in enumerate(logs):
            members.append(await fabric.start(number, identity(number + 1), log, lambda record: None))
            await trio.sleep(START_SECONDS / nodes)
        await trio.sleep(SETTLE_SECONDS)
        pairs = fabric.connections()
        before, duplicates = sum(map(fabric.traffic.sent, range(nodes))), fabric.traffic.duplicates
        for number in range(records):
            author = chance.randrange(nodes)
            body = pack_body({"text": f"{number} {TEXT}"})
            record = sign(identity(author + 1), "insight", bytes(32), virtual.now_ms(), body)
            logs[author].append([record])
            await members[author].publish(record)
            await trio.sleep(chance.expovariate(rate))
        await trio.sleep(DRAIN_SECONDS)
        for log in logs:
            log.close()
        traffic = fabric.traffic
        gossiped = ~_array(traffic.by_sync).astype(bool)
        said = _array(traffic.published)
        return Run(
            overlay(nodes, list(pairs), np.array(list(pairs.values())) * MEAN_JITTER),
            _array(traffic.publisher),
            said - said[0],
            np.sort(_array(traffic.seconds)[gossiped]),
            _array(traffic.hops)[gossiped],
            1 + (traffic.duplicates - duplicates) / len(traffic.seconds),
            (sum(map(traffic.sent, range(nodes))) - before) / nodes / records,
            traffic.size[0],
            int((~gossiped).sum()),
        )


def _array(column: "array[int] | array[float]") -> np.ndarray:
    return np.array(column)


def run_model(real: Run, seed: int = 1) -> Spread:
    """Spread the same records on the same connections."""
    return flood(real.graph, real.authors, real.said, Conditions(), seed)


def difference(model: Spread, real: Run) -> Difference:
    """How far the model is from the real router."""
    records = len(real.said)
    mine, theirs = model.seconds, real.seconds
    middle, late = (float(np.quantile(mine, share) / np.quantile(theirs, share)) for share in (0.5, 0.99))
    return Difference(
        distance=distance(mine, theirs),
        median=middle,
        late=late,
        hops=float(model.hop_counts.mean() / real.hops.mean()),
        copies=model.redundancy / real.copies,
        sent=float(model.sent.sent_bytes(real.size).mean() / records / real.sent),
    )


def distance(one: Floats, other: Floats) -> float:
    """Kolmogorov and Smirnov's: the greatest difference between two distributions, of ascending values; 0 to 1."""
    places = np.concatenate([one, other])
    shares = (np.searchsorted(values, places, side="right") / len(values) for values in (one, other))
    return float(np.abs(next(shares) - next(shares)).max())


def main() -> None:
    parser = argparse.ArgumentParser(description="the model of gossip beside the real router")
    parser.add_argument("nodes", type=int, nargs="*", default=[100])
    parser.add_argument("--alone", type=int, nargs="*", default=[10_000], help="the model alone, with so many nodes")
    parser.add_argument("--records", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3, help="of the model")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="write the chart there as SVG")
    chosen = parser.parse_args()
    if chosen.draw:
        chosen.draw.mkdir(parents=True, exist_ok=True)
    print(machine())
    curves: dict[str, tuple[Sequence[float], bool]] = {}
    for nodes in chosen.nodes:
        curves |= _beside(nodes, chosen.records, chosen.seeds)
    for nodes in chosen.alone:
        curves |= _alone(nodes, ALONE_RECORDS)
    if chosen.draw:
        from bench.scaling_charts import draw_spread  # matplotlib is an extra

        draw_spread(chosen.draw, curves)


def _beside(nodes: int, records: int, seeds: int) -> dict[str, tuple[Sequence[float], bool]]:
    began = time.process_time()
    real = run_real(nodes, records)
    took = time.process_time() - began
    models = [run_model(real, seed) for seed in range(1, seeds + 1)]
    wanted = records * (nodes - 1)
    print(
        figure(f"{nodes} nodes, real router: delivered, of {wanted:,}", "records", [len(real.seconds) + real.by_sync])
    )
    print(figure("… by history exchange", "records", [real.by_sync]))
    print(figure("… processor time of the run", "s of CPU", [took]))
    for share in (50, 99):
        print(figure(f"… p{share}, real", "virtual ms", [1000 * float(np.quantile(real.seconds, share / 100))]))
        ends = [1000 * float(np.quantile(model.seconds, share / 100)) for model in models]
        print(figure(f"… p{share}, model", "virtual ms", ends))
    print(figure("… hops, real", "hops", [float(real.hops.mean())]))
    print(figure("… copies of each delivered record, real", "copies", [real.copies]))
    print(figure("… bytes of a node for each record, real", "bytes", [real.sent]))
    apart = [difference(model, real) for model in models]
    print(figure("… distance of the model's times (Kolmogorov-Smirnov)", "of 1", [one.distance for one in apart]))
    for name in ("median", "late", "hops", "copies", "sent"):
        print(figure(f"… {name}, model over real", "ratio", [getattr(one, name) for one in apart]), flush=True)
    return {
        f"{nodes:,} nodes, the real router": (real.seconds.tolist(), True),
        f"{nodes:,} nodes, the model": (models[0].seconds.tolist(), False),
    }


def _alone(nodes: int, records: int) -> dict[str, tuple[Sequence[float], bool]]:
    chance = np.random.default_rng(1)
    links = Links(INTERNET, 1)
    pairs = random_pairs(nodes, chance)
    graph = overlay(nodes, pairs, [MEAN_JITTER * links.latency(*pair) for pair in pairs.tolist()])
    said = np.cumsum(chance.exponential(1 / ALONE_RATE, records))
    authors = chance.integers(nodes, size=records)
    runs = {}
    for name, conditions in CONDITIONS.items():
        began = time.process_time()
        run = runs[name] = flood(graph, authors, said, conditions, 1)
        took = time.process_time() - began
        print(figure(f"{nodes} nodes, the model alone{name}: delivered", "%", [100 * run.share], kind="outcome"))
        print(figure("… processor time of the run", "s of CPU", [took]))
        for share in (50, 99):
            print(figure(f"… p{share}", "virtual ms", [1000 * float(np.quantile(run.seconds, share / 100))]))
        print(figure("… hops", "hops", [float(run.hop_counts.mean())]))
        print(figure("… copies of each delivered record", "copies", [run.redundancy]))
        print(figure("… ids announced by a node for each record", "ids", [float(run.sent.announced.mean() / records)]))
        sent = run.sent.sent_bytes(RECORD_BYTES).mean() / records
        print(figure("… bytes of a node for each record", "bytes", [float(sent)]), flush=True)
    return {f"{nodes:,} nodes, the model": (runs[""].seconds.tolist(), False)}


if __name__ == "__main__":
    main()
