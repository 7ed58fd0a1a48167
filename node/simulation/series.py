"""What plots show of the research: lines over time and counts, as plain data."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from agent.notebook import Notebook
from node.simulation.node import Node
from node.simulation.spread import Spread
from node.simulation.swarm import ACTIVITIES, Swarm
from trainer.recipe import BASELINE

POINTS: Final = 120  # of a line over time


def research_series(
    swarm: Swarm, book: Notebook, spread: Spread, researchers: Sequence[Node], minutes: float
) -> dict[str, Any]:
    """By the name of the plot. book: has all records."""
    return {
        "adoption": [vars(curve) for curve in spread.curves],
        "roles": _roles(swarm, minutes),
        "best": _best(swarm, book, [node.author for node in researchers], minutes),
        "finders": _finders(book, researchers),
    }


def _roles(swarm: Swarm, minutes: float) -> dict[str, list[float]]:
    """Activity -> share of the nodes that were at it, at POINTS moments."""
    moments = [60 * minutes * (n + 1) / POINTS for n in range(POINTS)]
    counts: list[Counter[str]] = [Counter() for _ in moments]
    for did in swarm.done:
        first = math.ceil(did.start / (60 * minutes) * POINTS) - 1
        last = math.floor((did.start + did.seconds) / (60 * minutes) * POINTS) - 1
        for point in range(max(0, first), min(POINTS - 1, last) + 1):
            counts[point][did.activity] += 1
    lines: dict[str, list[float]] = {"minutes": [moment / 60 for moment in moments]}
    return lines | {kind: [count[kind] / max(count.total(), 1) for count in counts] for kind in ACTIVITIES.values()}


def _best(swarm: Swarm, book: Notebook, authors: Sequence[bytes], minutes: float) -> dict[str, list[float]]:
    """The true value of the nodes' best recipes over time: least, median and greatest."""
    truth = swarm.world.truth
    changes = sorted(
        (test.moment[0], author, truth(test.candidate)) for author in authors for test in book.keeps(author)
    )
    now = dict.fromkeys(authors, truth(BASELINE))
    lines: dict[str, list[float]] = {"minutes": [], "least": [], "median": [], "greatest": []}
    upcoming = 0
    for point in range(POINTS + 1):
        moment_ms = swarm.start_ms + 60_000 * minutes * point / POINTS
        while upcoming < len(changes) and changes[upcoming][0] <= moment_ms:
            now[changes[upcoming][1]] = changes[upcoming][2]
            upcoming += 1
        values = sorted(now.values())
        for name, value in zip(
            lines, (minutes * point / POINTS, values[0], values[len(values) // 2], values[-1]), strict=True
        ):
            lines[name].append(value)
    return lines


def _finders(book: Notebook, researchers: Sequence[Node]) -> dict[str, dict[str, Any]]:
    """Device class -> how many nodes, experiments, discoveries, confirmed ones, and which knobs these set how often."""
    device = {node.author: node.device_class for node in researchers}
    found: dict[str, dict[str, Any]] = {}
    for kind in sorted(set(device.values())):
        mine = [one for one in book.discoveries() if device.get(one.author) == kind]
        found[kind] = {
            "nodes": sum(other == kind for other in device.values()),
            "experiments": sum(device.get(test.author) == kind for test in book.experiments()),
            "discoveries": len(mine),
            "confirmed": sum(one.status == "confirmed" for one in mine),
            "knobs": dict(sorted(Counter(knob for one in mine for knob in one.new_values).items())),
        }
    return found
