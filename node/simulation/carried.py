"""What the network did with the records: who lacks which, how long they took, and what it cost."""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

from gossip.layout import Layout
from gossip.record import Record
from node.simulation.cast import Flooder
from node.simulation.flooding.overlay import Floats
from node.simulation.swarm import Spans, Swarm

GRACE_SECONDS: Final = 60.0  # in which a record may be under way at the end, where nobody is quiet
QUANTILES: Final = 200


@dataclass(frozen=True)
class Carried:
    """figures: by name; delays: quantiles of the seconds from publication to a node that was up, in order."""

    figures: dict[str, float]
    delays: Sequence[float]


def carried(
    swarm: Swarm,
    up: Sequence[Spans],
    trusted: Collection[int],
    grace: float,
    history: Sequence[Record],
    layouts: Sequence[Layout],
) -> Carried:
    """Look at logs and traffic after a run. trusted: the nodes whose records, and whose logs, are looked at; grace:
    seconds before the end from which on a record, or a node that came up, may be unfinished; history: records from
    before the start, which all should have; layouts: which records each node keeps.
    """
    traffic = swarm.traffic
    by_gossip = [not synced for synced in traffic.by_sync]
    wanted = [p in trusted and r in trusted for p, r in zip(_publishers(swarm), traffic.receiver, strict=True)]
    live = [gossiped and want for gossiped, want in zip(by_gossip, wanted, strict=True)]
    delays = sorted(
        seconds
        for record, receiver, seconds in zip(
            compress(traffic.record, wanted),
            compress(traffic.receiver, wanted),
            compress(traffic.seconds, wanted),
            strict=True,
        )
        if _was_up(up[receiver], traffic.published[record], seconds)
        and not _healed(swarm, traffic.published[record], seconds)
    )
    hops = list(compress(traffic.hops, live))
    figures: dict[str, float] = {"records": len(swarm.records), **_missing(swarm, up, trusted, grace, history, layouts)}
    if delays:
        figures |= {"p50_seconds": quantile(delays, 0.5), "p99_seconds": quantile(delays, 0.99)}
    if hops:
        figures |= {"hops_mean": statistics.fmean(hops), "hops_max": max(hops)}
    if heard := len(traffic.record) + traffic.presences:
        figures["redundancy"] = 1 + traffic.duplicates / heard
    if flooders := {number for number, node in enumerate(swarm.nodes) if isinstance(node, Flooder)}:
        figures["flood_share"] = _flood_share(swarm, flooders, trusted)
    seconds_up = [sum(max(0.0, min(end, swarm.now) - start) for start, end in spans) for spans in up]
    sent = [8 * traffic.sent(number) / 1000 for number in range(len(up))]
    figures["kilobits"] = sum(sent) / max(sum(seconds_up), 1.0)
    return Carried(figures, _quantiles(delays))


def _quantiles(delays: Sequence[float]) -> list[float]:
    """None where all take as long, as on the ideal network: nothing is to be seen of it."""
    if not delays or math.isclose(delays[0], delays[-1], rel_tol=1e-6):
        return []
    return [quantile(delays, n / QUANTILES) for n in range(QUANTILES + 1)]


def quantile(ordered: Sequence[float] | Floats, share: float) -> float:
    """The value that so large a share does not exceed."""
    return float(ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))])


def _publishers(swarm: Swarm) -> list[int]:
    return [swarm.traffic.publisher[record] for record in swarm.traffic.record]


def _flood_share(swarm: Swarm, flooders: Collection[int], trusted: Collection[int]) -> float:
    """What came of the flood by gossip, of what everybody would have if it all did."""
    traffic = swarm.traffic
    said = sum(publisher in flooders for publisher in traffic.publisher)
    came = sum(
        traffic.publisher[record] in flooders and receiver in trusted and not synced
        for record, receiver, synced in zip(traffic.record, traffic.receiver, traffic.by_sync, strict=True)
    )
    return came / max(1, said * len(trusted))


def _was_up(spans: Spans, published: float, seconds: float) -> bool:
    """Whether a node was up from publication to arrival; how long others take is how long they were away."""
    return any(start <= published and published + seconds <= end for start, end in spans)


def _healed(swarm: Swarm, published: float, seconds: float) -> bool:
    """Whether a cut ended on the way: then that is what the record waited for."""
    return any(published < cut.end <= published + seconds for cut in swarm.cuts)


def _missing(
    swarm: Swarm,
    up: Sequence[Spans],
    trusted: Collection[int],
    grace: float,
    history: Sequence[Record],
    layouts: Sequence[Layout],
) -> dict[str, float]:
    """How many records live nodes lack of those that they keep, over all of them; how many none of them has; and how
    much of all a node keeps.
    """
    last = swarm.now - grace
    authors = {swarm.nodes[number].author for number in trusted}
    last_ms = swarm.start_ms + int(1000 * last)
    said = [record for record in swarm.records if record.time_ms <= last_ms and record.author in authors] + [*history]
    live = [
        number
        for number, spans in enumerate(up)
        if number in trusted and any(start <= last and end >= swarm.now for start, end in spans)
    ]
    kept = {number: _kept(said, layouts[number]) for number in live}
    lacking = {number: set(swarm.logs[number].missing(ids)) for number, ids in kept.items()}
    there = {record_id for number, ids in kept.items() for record_id in ids if record_id not in lacking[number]}
    figures: dict[str, float] = {
        "missed": sum(len(lacks & there) for lacks in lacking.values()),
        "unheard": len({record_id for lacks in lacking.values() for record_id in lacks} - there),
    }
    if said and live and any(layout.shelf_of for layout in layouts):
        figures["kept_share"] = statistics.fmean(len(ids) for ids in kept.values()) / len(said)
    return figures


def _kept(records: Sequence[Record], layout: Layout) -> list[bytes]:
    if layout.shelf_of is None:
        return [record.id for record in records]
    return [record.id for record in records if layout.shelf(record) in layout.mine]
