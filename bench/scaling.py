"""What a node carries, by arithmetic: bytes, processor time, disk and memory against nodes, experiments and topics.

    python -m bench.scaling [--draw FOLDER]

prints the tables of docs/scaling.md and draws its charts. Every constant says where it is from; figures of benchmarks
are those of docs/benchmarks.md. Loads are of one node, averages in a swarm where everybody is alike.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gossip.flood import CHECKS
from gossip.outgoing import BUSY_LINGER_SECONDS
from gossip.quota import LOG_BYTES, RECORD_OVERHEAD
from gossip.router import ANNOUNCE_EVERY, DEGREE
from gossip.schedule import PERIOD_SECONDS
from node.pace import HEARD_A_SECOND, LEAST_SECONDS, MOST_SECONDS
from node.simulation.flooding.overlay import DEGREE as CONNECTIONS
from node.simulation.flooding.spread import ANNOUNCEMENT_BYTES, ID_BYTES, MESSAGE_BYTES, PACKET_BYTES

# ---- sizes in bytes ----
RECORD_BYTES: Final = 932  # bench.records: a typical result
PRESENCE_BYTES: Final = 286  # a claim of one knob, an alias, an activity in words
DIFFERENCE_BYTES: Final = 570  # bench.sync: 57.0 kB for 100 differences among 100,000
HELLO_BYTES: Final = 300  # a history exchange that finds nothing: two hellos and two fingerprints

LEADS_SECONDS: Final = 1.5 * PERIOD_SECONDS  # gossip.schedule: a visit takes the place of every other one of one's own
KEPT_DAYS: Final = 30.0  # node.config: `keep_days`
KEPT: Final = 0.48  # bench.retention: part of older history that stays, 66 of 137 MB

# ---- how a record spreads: bench.model at 10,000 nodes ----
COPIES: Final = 3.0  # sent, and received, by each node for each record
IDS: Final = 2.1  # announced by each node for each record, outside the mesh
SPREAD_SECONDS: Final = 0.6  # until half of the nodes have it

# ---- processor time in seconds ----
QUIET_SECONDS: Final = 3.67e-3  # bench.gossip: of a delivery, 10 nodes that hear 4 records a second
QUIET_RATE: Final = 4.0
BUSY_SECONDS: Final = 1.37e-3  # … 8 processes that hear 100 a second: one packet carries several
BUSY_RATE: Final = 100.0
UNSTORED: Final = 0.80  # … part of it that is not the log's: 2.92 of 3.67 ms. A presence is in no log
ADD_SECONDS: Final = 0.55e-3  # bench.notebook: adding a result to 100,000

# ---- what a node may use ----
CORE: Final = 0.1  # of one core: the rest is for research
UPLINK: Final = 0.25e6  # bytes a second: a tenth of a home's 20 Mbit/s
RESULT_MEMORY: Final = 4800  # bench.notebook: bytes of memory for each result
MEMORY: Final = 2e9

# ---- what nodes do ----
SLOW: Final = 6.0  # experiments an hour: two trials of five minutes on a graphics card
FAST: Final = 100.0  # `story-cpu`: three trials of twelve seconds
TESTED: Final = 0.3  # agent.policy: at most so much of the experiments tests what others found
DAY: Final = 86400.0

# ---- layouts: the part of all bytes that a node is sent, by bench.sharding ----
LAYOUTS: Final = {"one topic": 1.0, "sharded, one task": 0.6, "sharded, ten tasks": 0.06}

# ---- a newcomer: bench.sync ----
FETCH_BYTES: Final = 8.1e6  # a second, limited by checking
FETCHED_DAYS: Final = 30.0


@dataclass(frozen=True)
class Swarm:
    """nodes in all; experiments of each an hour; topics: into how many the swarm is divided, each node in one; paced:
    whether presence is as rare as node/pace.py makes it, or else every 20 s and at each experiment; heard: the part of
    the records that a node is sent at all.
    """

    nodes: float
    experiments: float
    topics: int = 1
    paced: bool = True
    heard: float = 1.0

    @property
    def records(self) -> float:
        """That a node hears, a second."""
        return self.heard * self.nodes / self.topics * self.experiments / 3600

    @property
    def presences(self) -> float:
        """That a node hears, a second."""
        nodes = self.nodes / self.topics
        wanted = nodes * (1 / LEAST_SECONDS + self.experiments / 3600)
        return max(min(wanted, HEARD_A_SECOND), nodes / MOST_SECONDS) if self.paced else wanted


@dataclass(frozen=True)
class Load:
    """Of one node. sent: bytes a second, as many come in; cores: of one core; log, memory: bytes a day."""

    sent: float
    cores: float
    log: float
    memory: float


def load(swarm: Swarm) -> Load:
    """What one node carries."""
    records, presences = swarm.records, swarm.presences
    heard = records + presences
    cores = heard and delivery_seconds(heard) * (records + UNSTORED * presences) + ADD_SECONDS * records
    return Load(
        sent=gossip_bytes(records, presences) + sync_bytes(records),
        cores=cores,
        log=records * DAY * (RECORD_BYTES + RECORD_OVERHEAD),
        memory=records * DAY * RESULT_MEMORY,
    )


def delivery_seconds(rate: float) -> float:
    """Processor time of one delivery where `rate` messages come in a second: between the two that were measured it is a
    straight line over the rate's logarithm, beyond them it stays.
    """
    place = math.log(rate / QUIET_RATE) / math.log(BUSY_RATE / QUIET_RATE)
    return QUIET_SECONDS + (BUSY_SECONDS - QUIET_SECONDS) * min(1.0, max(0.0, place))


def gossip_bytes(records: float, presences: float) -> float:
    """Sent a second: copies with their packets, and ids with theirs. Messages that linger together share a packet."""
    copies = COPIES * (records * (RECORD_BYTES + MESSAGE_BYTES) + presences * (PRESENCE_BYTES + MESSAGE_BYTES))
    packets = min(COPIES * (records + presences), DEGREE / (BUSY_LINGER_SECONDS / 2))
    ids = IDS * (records + presences)
    announcements = min(ids, (CONNECTIONS - DEGREE) / ANNOUNCE_EVERY)
    return copies + packets * PACKET_BYTES + ids * ID_BYTES + announcements * (ANNOUNCEMENT_BYTES + PACKET_BYTES)


def sync_bytes(records: float) -> float:
    """Sent a second in history exchanges: one led and one followed in LEADS_SECONDS, which find what is on its way."""
    return 2 * (HELLO_BYTES + records * SPREAD_SECONDS * DIFFERENCE_BYTES) / 2 / LEADS_SECONDS


def year(swarm: Swarm) -> float:
    """Bytes in the log of a node after a year: the last KEPT_DAYS in full, of what is older what stays."""
    return load(swarm).log * (KEPT_DAYS + KEPT * (365 - KEPT_DAYS))


def largest(within: Callable[[Swarm], bool], like: Swarm) -> float:
    """The most nodes for which `within` holds; it must hold for few and fail for many."""
    few, many = 1.0, 1e12
    while many / few > 1.0001:
        middle = math.sqrt(few * many)
        if within(replace(like, nodes=middle)):
            few = middle
        else:
            many = middle
    return few


BOUNDS: Final[Sequence[tuple[str, Callable[[Swarm], bool]]]] = (
    ("a tenth of a core", lambda swarm: load(swarm).cores <= CORE),
    ("a whole core", lambda swarm: load(swarm).cores <= 1),
    ("a tenth of a home's uplink", lambda swarm: load(swarm).sent <= UPLINK),
    ("messages new from one peer, checked at once", lambda swarm: swarm.records + swarm.presences <= CHECKS.per_second),
    ("a day's results in 2 GB of memory", lambda swarm: load(swarm).memory <= MEMORY),
    ("30 days in a log of 8 GiB", lambda swarm: KEPT_DAYS * load(swarm).log <= LOG_BYTES),
    ("a year in it, forgetting", lambda swarm: year(swarm) <= LOG_BYTES),
    ("a year in it, as an archive", lambda swarm: 365 * load(swarm).log <= LOG_BYTES),
)


# ---- tables ----

COLUMNS: Final = ("6/h", "100/h", "6/h, presence every 20 s", "100/h, presence every 20 s")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Two digits: 0.018, 5.6, 140, 2,800."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def size(value: float) -> str:
    """Bytes: 1.2 kB, 3.4 MB, 5.6 GB."""
    power = min(4, max(1, int(math.log10(max(value, 1)) // 3)))
    return f"{number(value / 1000**power)} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def table_of_loads(topics: int = 1) -> str:
    """What a node carries, by nodes and experiments an hour."""
    rows = []
    for experiments in (SLOW, FAST):
        for nodes in (100, 1000, 10_000, 100_000, 1_000_000):
            swarm = Swarm(nodes, experiments, topics)
            of = load(swarm)
            rates = [number(swarm.records), number(swarm.presences)]
            uses = [size(of.sent) + "/s", f"{number(100 * of.cores)} %", size(of.log), size(of.memory)]
            rows.append([f"{experiments:.0f}", f"{nodes:,}", *rates, *uses])
    head = ["experiments/h", "nodes", "records/s", "presences/s", "sent", "of a core", "log a day", "notebook a day"]
    return table(head, rows)


def table_of_bounds() -> str:
    """How many nodes one topic carries until each bound is met."""
    swarms = [Swarm(1, experiments, paced=paced) for paced in (True, False) for experiments in (SLOW, FAST)]
    rows = [[name, *(number(largest(within, swarm)) for swarm in swarms)] for name, within in BOUNDS]
    return table(["bound", *COLUMNS], rows)


def table_of_topics() -> str:
    """Into how many topics a swarm must be divided so that a node stays within a tenth of a core."""
    rows = []
    for nodes in (1000, 10_000, 100_000, 1_000_000):
        cells = []
        for paced in (True, False):
            for experiments in (SLOW, FAST):
                most = largest(BOUNDS[0][1], Swarm(1, experiments, paced=paced))
                cells.append(f"{math.ceil(nodes / most):,}")
        rows.append([f"{nodes:,}", *cells])
    return table(["nodes", *COLUMNS], rows)


def table_of_layouts() -> str:
    """How many nodes a swarm has until each bound is met, by how its records are laid out."""
    swarms = [Swarm(1, experiments, heard=part) for part in LAYOUTS.values() for experiments in (SLOW, FAST)]
    rows = [[name, *(number(largest(within, swarm)) for swarm in swarms)] for name, within in BOUNDS]
    return table(["bound", *(f"{name}, {rate}/h" for name in LAYOUTS for rate in (6, 100))], rows)


def table_of_rest() -> str:
    """What else grows with the nodes of one topic."""
    rows = []
    for experiments in (SLOW, FAST):
        for nodes in (1000, 10_000, 100_000, 1_000_000):
            of = load(Swarm(nodes, experiments))
            full = LOG_BYTES / of.log
            share = LOG_BYTES / 2 / nodes / (RECORD_BYTES + RECORD_OVERHEAD)
            fetched = FETCHED_DAYS * of.log / FETCH_BYTES / 3600
            known = nodes / (TESTED * experiments * 24)
            cells = [f"{number(full)} days", number(share), f"{number(fetched)} h", f"{number(known)} days"]
            rows.append([f"{experiments:.0f}", f"{nodes:,}", *cells])
    head = [
        "experiments/h",
        "nodes",
        "a log of 8 GiB is full after",
        "then records for each author",
        "to fetch 30 days",
        "to test each author once",
    ]
    return table(head, rows)


TABLES: Final = {
    "What a node carries in one topic": table_of_loads,
    "Where one topic ends: the most nodes": table_of_bounds,
    "Topics for a tenth of a core": table_of_topics,
    "The most nodes by layout": table_of_layouts,
    "What else grows in one topic": table_of_rest,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="the tables and charts of docs/scaling.md")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="write the charts there as SVG")
    draw: Path | None = parser.parse_args().draw
    for title, made in TABLES.items():
        print(f"{title}\n\n{made()}\n")
    if draw is not None:
        from bench import scaling_charts  # matplotlib is an extra

        scaling_charts.draw_loads(draw)


if __name__ == "__main__":
    main()
