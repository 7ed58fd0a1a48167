"""The proposer that needs no model: one change to the own best recipe, chosen by what the whole swarm has tried.

Which knob is a draw: its weight is the device class's prior, times how much is left to find there. A knob that paid
keeps its weight; every experiment on it without a keep since then lowers it, for a peer's experiment as for an own one.
Which value: one that nobody tried, else what Optuna finds promising (`sampler`). Nobody's recipe is tried twice.
"""

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from agent.evidence import Experiment, new_values
from agent.notebook import Notebook
from agent.proposal import NothingLeft, Proposal
from agent.sampler import Move, heights, options, sample
from agent.span import Span
from agent.wording import hypothesis
from trainer.knobs import Scalar
from trainer.recipe import values
from trainer.task import Knob, Task

HOW_MANY: Final = {1: 0.8, 2: 0.15, 3: 0.05}
DRAWS: Final = 200
ENOUGH_FOR_TPE: Final = 4
STEPS: Final = (0.05, 0.12, 0.25, 0.5)
STEPPING: Final = 0.3
USED_UP: Final = 0.1
CLAIMED: Final = 0.1


class Search:
    """Proposes without a model. seed: any int; nodes that know the same propose differently with different seeds."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def propose(self, notebook: Notebook, task: Task, *, avoid: Sequence[Mapping[str, Scalar]] = ()) -> Proposal:
        """One change on the own best recipe that nobody tried or, as `avoid` says, is trying. Raises NothingLeft."""
        history = _history(notebook)
        current = values(task, notebook.best())
        taken = {new_values(change) for change in avoid}
        taken |= {new_values(discovery.new_values) for discovery in notebook.discoveries()}
        weights = {
            name: _weight(knob, current[name], history[name], notebook.device_class)
            for name, knob in task.knobs.items()
        }
        for change in avoid:
            weights |= {name: weights[name] * CLAIMED for name in change if name in weights}
        for draw in range(DRAWS):
            # where single changes are used up, more knobs at once
            many = self._rng.choices(list(HOW_MANY), list(HOW_MANY.values()))[0] + draw // (DRAWS // 3)
            change = {
                name: self._value(task.knobs[name], current[name], history[name])
                for name in self._knobs(weights, min(many, len(weights)))
            }
            change = {name: value for name, value in change.items() if value != current[name]}
            if not change or new_values(change) in taken:
                continue
            if notebook.was_tried(notebook.on_best(change), by_anyone=True):
                continue
            why, inspired_by = hypothesis(notebook, change)
            return Proposal(change, why, "search", inspired_by)
        raise NothingLeft(f"no untried recipe found in {DRAWS} draws: widen the knobs of {task.name}, or stop here")

    def _knobs(self, weights: Mapping[str, float], many: int) -> list[str]:
        # the largest of u^(1/w) are a weighted draw without replacement (Efraimidis and Spirakis 2006)
        keys = {name: math.log(1 - self._rng.random()) / weight for name, weight in weights.items()}
        return sorted(keys, key=lambda name: -keys[name])[:many]

    def _value(self, knob: Knob, current: Scalar, history: Sequence[Experiment]) -> Scalar:
        span = Span.of(knob)
        tried = {experiment.change[knob.name][1] for experiment in history}
        if span is None:
            fresh = _fresh(knob, current, history)
            if fresh:
                return self._rng.choice(fresh)
        elif len(tried) < ENOUGH_FOR_TPE or self._rng.random() < STEPPING:
            step = self._rng.choice(STEPS) * self._rng.uniform(0.6, 1.4) * self._rng.choice((-1, 1))
            there = span.position(current) + step
            return span.value(there if 0 <= there <= 1 else self._rng.random())
        known = heights([_move(knob.name, experiment) for experiment in history], knob.default)
        return sample(knob, known, self._rng.getrandbits(32))


def _history(notebook: Notebook) -> dict[str, list[Experiment]]:
    """The experiments that changed each knob, by time."""
    history: dict[str, list[Experiment]] = defaultdict(list)
    for experiment in notebook.experiments():
        for knob in experiment.change:
            history[knob].append(experiment)
    return history


def _weight(knob: Knob, current: Scalar, history: Sequence[Experiment], device_class: str) -> float:
    misses = 0.0
    for experiment in reversed(history):
        if experiment.verdict == "keep":
            break
        misses += 1 / len(experiment.change)
    used_up = Span.of(knob) is None and not _fresh(knob, current, history)
    return knob.weight(device_class) / (1 + misses) * (USED_UP if used_up else 1)


def _fresh(knob: Knob, current: Scalar, history: Sequence[Experiment]) -> list[Scalar]:
    """The values of a bool or choice knob that nobody tried."""
    tried = {experiment.change[knob.name][1] for experiment in history}
    return [value for value in options(knob) if value != current and value not in tried]


def _move(knob: str, experiment: Experiment) -> Move:
    old, new = experiment.change[knob]
    effect = None if experiment.verdict == "crash" else experiment.effect
    return Move(old, new, effect, max(experiment.seeds, 1) / len(experiment.change))
