"""How discoveries spread: when each reached which node, by what the nodes' own trials led them to.

A change has reached a node that came to hold it, or what is as good: nothing worth TRUE deviations would be left for it
to gain from the change.
"""

import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.discoveries import Discovery
from agent.notebook import Notebook
from node.simulation.world import World
from trainer.recipe import BASELINE, Recipe, make_recipe

TRUE: Final = 3.0  # deviations of a trial
RIPE: Final = 0.5  # share of the run that a discovery has to spread
MOST: Final = 20  # discoveries that are followed: those that gain most
HALF: Final = 0.5


@dataclass(frozen=True)
class Curve:
    """One discovery. gain: in deviations of a trial; reached: minutes after its record, for each node that it reached,
    ascending; nodes: how many there are; watched: minutes from its record to the end of the run.
    """

    change: str
    gain: float
    reached: tuple[float, ...]
    nodes: int
    watched: float

    @property
    def share(self) -> float:
        """Of the nodes that it has reached."""
        return len(self.reached) / self.nodes

    def time_to(self, share: float) -> float | None:
        """Minutes until it had reached that share of the nodes."""
        wanted = max(1, round(share * self.nodes))
        return self.reached[wanted - 1] if len(self.reached) >= wanted else None


@dataclass(frozen=True)
class Spread:
    """The curves of the discoveries that truly gain most, and had time."""

    curves: Sequence[Curve]

    def figures(self) -> dict[str, float]:
        """What the curves come to."""
        if not self.curves:
            return {}
        half = [minutes for curve in self.curves if (minutes := curve.time_to(HALF)) is not None]
        told = {"adopted_share": statistics.median(curve.share for curve in self.curves)}
        return told | ({"adoption_minutes": statistics.median(half)} if half else {})


def spread_of(world: World, book: Notebook, authors: Sequence[bytes], start_ms: int, end_ms: int) -> Spread:
    """Follow the discoveries of these authors among them. book: has all records."""
    by_id = {test.record_id: test for test in book.experiments()}
    bests = {author: bests_of(book, author) for author in authors}
    last = end_ms - RIPE * (end_ms - start_ms)
    ripe = [found for found in book.discoveries() if found.author in bests and found.time_ms <= last]
    gains = {
        found.record_id: world.gain(by_id[found.record_id].parent, by_id[found.record_id].candidate) / world.sd
        for found in ripe
    }
    largest = sorted(ripe, key=lambda found: (-gains[found.record_id], found.record_id))[:MOST]
    curves = []
    for found in largest:
        if gains[found.record_id] <= TRUE:
            continue
        moments = [when_reached(world, bests[author], found) for author in authors]
        minutes = sorted((moment - found.time_ms) / 60_000 for moment in moments if moment is not None)
        words = ", ".join(f"{knob}={value}" for knob, value in found.new_values.items())
        watched = (end_ms - found.time_ms) / 60_000
        curves.append(Curve(words, gains[found.record_id], tuple(minutes), len(authors), watched))
    return Spread(curves)


def bests_of(book: Notebook, author: bytes) -> list[tuple[int, Recipe]]:
    """A node's best recipe from when on, milliseconds since 1970."""
    return [(0, BASELINE), *((test.moment[0], test.candidate) for test in book.keeps(author))]


def when_reached(world: World, bests: Sequence[tuple[int, Recipe]], found: Discovery) -> int | None:
    """When a discovery reached a node with these best recipes."""
    at_first = bisect_right([since for since, _ in bests], found.time_ms) - 1
    for since, best in bests[at_first:]:
        if found.new_values.items() <= best.knobs.items():
            return max(since, found.time_ms)
        more = make_recipe(world.task, {**best.knobs, **found.new_values})
        if world.gain(best, more) < TRUE * world.sd:
            return max(since, found.time_ms)
    return None
