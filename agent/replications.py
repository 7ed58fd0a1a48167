"""Which discoveries of others a node may test: what they promise on its own best recipe, and what speaks against them.

What is found out about a discovery is kept until one of its tests, or the own best recipe, changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from agent.best import Best, Code
from agent.catalogue import Catalogue
from agent.discoveries import Discovery, settled
from agent.evidence import new_values
from agent.experiments import Experiments
from trainer.errors import RecipeError
from trainer.recipe import Recipe, values
from trainer.task import Task

MOST: Final = 100  # open ones that count: a node tests one at a time
OF_ONE_AUTHOR: Final = 20  # of these, so that nobody fills the list


@dataclass(frozen=True)
class _Prospect:
    """A discovery put onto a best recipe. candidate: None where there is nothing to test; lost: what this node's own
    keeps on the same knobs brought, which the change would undo.
    """

    discovery: Discovery
    best: Best
    candidate: Recipe | None
    lost: float
    misfit: RecipeError | None = None


class Replications:
    """The prospects of one node."""

    def __init__(self, task: Task, me: bytes, experiments: Experiments, discoveries: Catalogue) -> None:
        self._task = task
        self._me = me
        self._experiments = experiments
        self._discoveries = discoveries
        self._known: dict[bytes, _Prospect] = {}
        self._code: Code = "all"

    def open(self, best: Best, code: Code, worth: float) -> list[Discovery]:
        """Those that may improve the best recipe, the largest promise first. worth: of being simpler."""
        promising = [
            (-gain, prospect.discovery.time_ms, prospect.discovery.record_id, prospect.discovery)
            for prospect in self._prospects(best, code)
            if prospect.candidate is not None
            and (gain := _gain(prospect, worth)) > 0
            and not self._experiments.was_tried(prospect.candidate, by_anyone=False)
        ]
        counts: dict[bytes, int] = {}
        found: list[Discovery] = []
        for _, _, _, discovery in nsmallest(MOST * 10, promising):
            counts[discovery.author] = counts.get(discovery.author, 0) + 1
            if counts[discovery.author] <= OF_ONE_AUTHOR and len(found) < MOST:
                found.append(discovery)
        return found

    def misfits(self, best: Best, code: Code) -> list[tuple[Discovery, RecipeError]]:
        """Code that this node would test, were there room for it in its best recipe; and why there is none."""
        return [(p.discovery, p.misfit) for p in self._prospects(best, code) if p.misfit and p.discovery.edits_code]

    def gain(self, discovery: Discovery, best: Best, worth: float) -> float:
        """The improvement over the best recipe that a discovery promises if it holds, in the metric's unit."""
        return _gain(_Prospect(discovery, best, None, self._lost(discovery, best)), worth)

    def _prospects(self, best: Best, code: Code) -> Iterator[_Prospect]:
        if code != self._code:
            self._code, self._known = code, {}
        for discovery in self._discoveries.all():
            known = self._known.get(discovery.record_id)
            # a discovery is made anew whenever one of its tests comes, and the best recipe with every keep
            if known is None or known.discovery is not discovery or known.best is not best:
                known = self._known[discovery.record_id] = self._prospect(discovery, best, code)
            yield known

    def _prospect(self, discovery: Discovery, best: Best, code: Code) -> _Prospect:
        if not self._is_wanted(discovery, code):
            return _Prospect(discovery, best, None, 0.0)
        try:
            candidate = best.with_discovery(discovery)
        except RecipeError as error:
            return _Prospect(discovery, best, None, 0.0, error)
        return _Prospect(discovery, best, candidate if candidate != best.recipe else None, self._lost(discovery, best))

    def _is_wanted(self, discovery: Discovery, code: Code) -> bool:
        if discovery.status == "refuted" or discovery.integrity == "reported":
            return False
        if discovery.edits_code and code != "all":
            return False
        tests = self._discoveries.tests_of(new_values(discovery.change))
        return not settled([test for test in tests if test.author == self._me], discovery.status)

    def _lost(self, discovery: Discovery, best: Best) -> float:
        mine = values(self._task, best.recipe)
        moved = [(knob, mine[knob]) for knob, (old, _) in discovery.change.knobs.items() if mine[knob] != old]
        return sum(self._experiments.own_gain(*setting) for setting in moved)


def _gain(prospect: _Prospect, worth: float) -> float:
    discovery = prospect.discovery
    return max(discovery.expected, worth if discovery.simpler else 0.0) - prospect.lost
