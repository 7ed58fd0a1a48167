"""The proposer that needs no model: a change to the own best recipe, by what the whole swarm has measured.

All experiments together say what each knob's values may bring (`belief`). From that one possible truth is drawn, and
the change takes what would be best there: a knob, or the two or three best. So promising and unknown values are tried
in the measure in which they may still be the best, and nodes that know the same try different things. Evidence from
another recipe is blurred the more knobs and files that recipe differs by, since effects depend on the rest.

No recipe is tried twice by anybody, and of near-duplicates no more than SIMILAR.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final

from agent.belief import PLACES, draw, place
from agent.notebook import Notebook
from agent.proposal import NothingLeft, Proposal
from agent.span import Span, options
from agent.steps import steps_around
from agent.wording import hypothesis
from trainer.knobs import Scalar
from trainer.recipe import Recipe, values
from trainer.task import Knob, Task

HOW_MANY: Final = {1: 0.4, 2: 0.3, 3: 0.3}  # knobs in one change, at most, and how often
HOW_MANY_BOLD: Final = {2: 0.3, 3: 0.3, 5: 0.4}
DRAWS: Final = 60
ANY_DRAWS: Final = 200  # after these, of recipes of any kind
BOLDNESS: Final = 4.0  # by which evidence is blurred further
VOTES: Final = 12  # draws that must agree before a gain is taken for sure
WORTH: Final = 1.0  # deviations
SIMILAR: Final = 3
CLAIMED: Final = 0.1


class Search:
    """Proposes without a model. seed: any int; nodes that know the same propose differently with different seeds."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def propose(
        self,
        notebook: Notebook,
        task: Task,
        *,
        avoid: Sequence[Mapping[str, Scalar]] = (),
        start: Recipe | None = None,
        bold: bool = False,
    ) -> Proposal:
        """A change of the own best recipe that nobody tried or, as `avoid` says, is trying. Raises NothingLeft.

        start: the recipe that ideas start from, the own best by default; the change is against the own best all the
        same. bold: more knobs at once, and less trust in what was measured.
        """
        best = values(task, notebook.best())
        origin = start or notebook.best()
        current = values(task, origin)
        steps = steps_around(notebook, origin, BOLDNESS if bold else 1.0)
        taken = {frozenset(change.items()) for change in avoid}
        taken |= {frozenset(discovery.new_values.items()) for discovery in notebook.open_replications()}
        claimed = {name for change in avoid for name in change}
        how_many = HOW_MANY_BOLD if bold else HOW_MANY
        for attempt in range(DRAWS + ANY_DRAWS):
            if attempt < DRAWS:
                drawn = draw(task.knobs, notebook.device_class, steps, self._rng.getrandbits(32), 1 + VOTES)
                # where the best are used up, more knobs at once
                many = self._rng.choices(list(how_many), list(how_many.values()))[0] + attempt // (DRAWS // 3)
                moved = self._best_of(task, drawn, current, claimed, many)
            else:
                moved = self._anything(task)
            change = {name: value for name, value in {**current, **moved}.items() if value != best[name]}
            if not change or frozenset(change.items()) in taken:
                continue
            candidate = notebook.on_best(change)
            if notebook.was_tried(candidate, by_anyone=True) or len(notebook.near(candidate)) >= SIMILAR:
                continue
            why, inspired_by = hypothesis(notebook, change)
            return Proposal(change, why, "search", inspired_by)
        draws = DRAWS + ANY_DRAWS
        raise NothingLeft(f"no untried recipe found in {draws} draws: widen the knobs of {task.name}, or stop here")

    def _best_of(
        self,
        task: Task,
        drawn: Sequence[Mapping[str, Sequence[float]]],
        current: Mapping[str, Scalar],
        claimed: set[str],
        many: int,
    ) -> dict[str, Scalar]:
        """The knobs that bring most in the first draw, at their best values there: one anyhow, more if they gain.

        And those that are SURE to gain, as the other draws have it.
        """
        tops: list[tuple[float, str, int]] = []
        for name, heights in drawn[0].items():
            here = place(task.knobs[name], current[name])
            others = [there for there in range(len(heights)) if there != here]
            if others:
                there = max(others, key=lambda there: heights[there])
                gain = heights[there] - heights[here]
                tops.append((gain * CLAIMED if name in claimed and gain > 0 else gain, name, there))
        tops.sort(key=lambda top: -top[0])
        best = [top for rank, top in enumerate(tops[:many]) if rank == 0 or top[0] > 0]
        for gain, name, there in tops[many:]:
            here = place(task.knobs[name], current[name])
            if gain > WORTH and all(other[name][there] - other[name][here] > WORTH for other in drawn[1:]):
                best.append((gain, name, there))
        return {name: self._value(task.knobs[name], there) for _, name, there in best}

    def _anything(self, task: Task) -> dict[str, Scalar]:
        """Any knobs at any values: where all that promises something was tried, the rest is better than nothing."""
        names = self._rng.sample(sorted(task.knobs), self._rng.randint(1, len(task.knobs)))
        return {name: self._any_value(task.knobs[name]) for name in names}

    def _any_value(self, knob: Knob) -> Scalar:
        span = Span.of(knob)
        return self._rng.choice(options(knob)) if span is None else span.value(self._rng.random())

    def _value(self, knob: Knob, there: int) -> Scalar:
        """The value at a place; of a number any that falls into it."""
        span = Span.of(knob)
        if span is None:
            return options(knob)[there]
        return span.value(min(max((there + self._rng.uniform(-0.5, 0.5)) / (PLACES - 1), 0.0), 1.0))
