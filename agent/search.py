"""The proposer that needs no model: one change to the own best recipe, chosen by what the whole swarm has tried.

Which knob is a draw: its weight is the device class's prior times how much is left to find there, by everybody's
experiments. What was seen on another recipe counts less the more knobs and files that recipe differs by, since effects
depend on the rest. Which value: for a choice, a draw by the chance that it improves; for a number, a step from where
the recipe stands, or what Optuna finds promising (`sampler`). Nobody's recipe is tried twice.
"""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from agent.entries import kept
from agent.notebook import Notebook
from agent.proposal import NothingLeft, Proposal
from agent.sampler import Move, heights, options, sample
from agent.span import Span
from agent.wording import hypothesis
from trainer.knobs import Scalar
from trainer.recipe import Recipe, values
from trainer.task import Knob, Task

HOW_MANY: Final = {1: 0.8, 2: 0.15, 3: 0.05}  # knobs in one change, and how often
DRAWS: Final = 150
ENOUGH_FOR_TPE: Final = 4  # tried values
STEPPING: Final = 0.3  # share of steps even then
STEPS: Final = (0.05, 0.12, 0.25, 0.5)  # of the span, give or take 40 %
UNTRIED: Final = 0.5  # chance that an untried value improves; optimism pays, since a trial is cheap
INTERACTION: Final = 2.0  # noise deviations by which one differing knob may move an effect
FADING: Final = 0.8  # what a miss still counts for each differing knob
INERT: Final = 8  # misses that an effect of exactly zero counts
LEAST: Final = 1e-6
CLAIMED: Final = 0.1
NEAR: Final = 0.02  # of the span


@dataclass(frozen=True)
class Tried:
    """An experiment on one knob. distance: on how many other knobs and files its parent differs from the own best."""

    move: Move
    distance: int
    kept: bool

    @property
    def inert(self) -> bool:
        """Not the least effect, to the last bit: on that recipe the program never reads the knob."""
        return self.move.effect == 0.0


class Search:
    """Proposes without a model. seed: any int; nodes that know the same propose differently with different seeds."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def propose(self, notebook: Notebook, task: Task, *, avoid: Sequence[Mapping[str, Scalar]] = ()) -> Proposal:
        """One change on the own best recipe that nobody tried or, as `avoid` says, is trying. Raises NothingLeft."""
        current = values(task, notebook.best())
        tests = _tests(notebook)
        taken = {frozenset(change.items()) for change in avoid}
        taken |= {frozenset(discovery.new_values.items()) for discovery in notebook.open_replications()}
        noise = notebook.noise().sd
        chances = {name: _chances(knob, current[name], tests[name], noise) for name, knob in task.knobs.items()}
        weights = {
            name: knob.weight(notebook.device_class) * _left(chances[name], tests[name])
            for name, knob in task.knobs.items()
            if chances[name] or Span.of(knob)
        }
        claimed = {name for change in avoid for name in change}
        weights |= {name: weights[name] * CLAIMED for name in claimed & weights.keys()}
        for draw in range(DRAWS):
            # where single changes are used up, more knobs at once
            many = self._rng.choices(list(HOW_MANY), list(HOW_MANY.values()))[0] + draw // (DRAWS // 3)
            change = {
                name: self._value(task.knobs[name], current[name], tests[name], chances[name])
                for name in self._knobs(weights, min(many, len(weights)))
            }
            change = {name: value for name, value in change.items() if value != current[name]}
            if not change or frozenset(change.items()) in taken:
                continue
            if notebook.was_tried(notebook.on_best(change), by_anyone=True):
                continue
            if draw < DRAWS / 2 and all(_is_near(task.knobs[n], v, current[n], tests[n]) for n, v in change.items()):
                continue
            why, inspired_by = hypothesis(notebook, change)
            return Proposal(change, why, "search", inspired_by)
        raise NothingLeft(f"no untried recipe found in {DRAWS} draws: widen the knobs of {task.name}, or stop here")

    def _knobs(self, weights: Mapping[str, float], many: int) -> list[str]:
        # the largest of u^(1/w) are a weighted draw without replacement (Efraimidis and Spirakis 2006)
        keys = {name: math.log(1 - self._rng.random()) / weight for name, weight in weights.items()}
        return sorted(keys, key=lambda name: -keys[name])[:many]

    def _value(self, knob: Knob, current: Scalar, tests: Sequence[Tried], chances: Mapping[Scalar, float]) -> Scalar:
        span = Span.of(knob)
        if span is None:
            return self._rng.choices(list(chances), list(chances.values()))[0]
        known = heights([test.move for test in tests], knob.default)
        if len(known) <= ENOUGH_FOR_TPE or self._rng.random() < STEPPING:
            step = self._rng.choice(STEPS) * self._rng.uniform(0.6, 1.4) * self._rng.choice((-1, 1))
            there = span.position(current) + step
            return span.value(there if 0 <= there <= 1 else self._rng.random())
        return sample(knob, known, self._rng.getrandbits(32))


def _tests(notebook: Notebook) -> dict[str, list[Tried]]:
    """The experiments that changed one knob alone; where several change together, one may hide another."""
    tests: dict[str, list[Tried]] = defaultdict(list)
    best = notebook.best()
    for experiment in notebook.experiments():
        if len(experiment.change) == 1 and not experiment.edits_code:
            ((knob, (old, new)),) = experiment.change.knobs.items()
            effect = None if experiment.verdict == "crash" else experiment.effect
            move = Move(old, new, effect, max(experiment.seeds, 1))
            distance = _distance(best, experiment.parent, knob)
            tests[knob].append(Tried(move, distance, kept(experiment.verdict)))
    return tests


def _distance(best: Recipe, parent: Recipe, knob: str) -> int:
    mine, theirs = ({n: v for n, v in recipe.knobs.items() if n != knob} for recipe in (best, parent))
    edited = sum(best.files.get(name) != parent.files.get(name) for name in best.files.keys() | parent.files.keys())
    return edited + sum(mine.get(name) != theirs.get(name) for name in mine.keys() | theirs.keys())


def _chances(knob: Knob, current: Scalar, tests: Sequence[Tried], noise: float) -> dict[Scalar, float]:
    """How likely each other value of a bool or choice knob improves on the current one; empty for a number.

    Normal around the measured difference; its variance grows with the noise and with how far the tested recipes are.
    """
    if Span.of(knob) is not None:
        return {}
    level = heights([test.move for test in tests], knob.default)
    chances = {}
    for value in options(knob):
        about = [test for test in tests if value in (test.move.old, test.move.new)]
        if value == current:
            continue
        if not about or current not in level:
            chances[value] = UNTRIED
            continue
        distance = min(test.distance for test in about)
        if all(test.inert for test in about):
            chances[value] = max(UNTRIED * (1 - FADING**distance), LEAST)
            continue
        sd = noise * math.sqrt(2 / sum(test.move.weight for test in about) + INTERACTION**2 * distance)
        chances[value] = max(NormalDist().cdf((level[value] - level[current]) / sd), LEAST)
    return chances


def _left(chances: Mapping[Scalar, float], tests: Iterable[Tried]) -> float:
    """How much is left to find on a knob: the chances of a choice's values, or 1 / (1 + misses) for a number."""
    if chances:
        return sum(chances.values())
    misses = sum((INERT if test.inert else 1) * FADING**test.distance for test in tests if not test.kept)
    return 1 / (1 + misses)


def _is_near(knob: Knob, value: Scalar, current: Scalar, tests: Sequence[Tried]) -> bool:
    """Whether a number is so close to the current or to a tried one that a trial could hardly tell them apart."""
    span = Span.of(knob)
    if span is None:
        return False
    others = [current, *(test.move.new for test in tests)]
    return any(abs(span.position(value) - span.position(other)) < NEAR for other in others)
