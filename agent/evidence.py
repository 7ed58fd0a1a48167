"""What one result is worth as evidence: read, rebuilt and checked against the task, or refused.

A stranger's result names a candidate and a change. The parent is rebuilt from these and must have the id that the
result claims; then change, candidate and parent hang together and the result can be compared with others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from agent.entries import Calibration, RecipeBody, Result, Verdict
from gossip.record import Record
from trainer.errors import TrainerError
from trainer.knobs import Scalar
from trainer.recipe import Recipe, apply_change, change_between, make_recipe, recipe_id
from trainer.task import Task

Moment: TypeAlias = tuple[int, bytes]
"""(time_ms, record id): a total order of records that is the same on every node."""
NewValues: TypeAlias = tuple[tuple[str, Scalar], ...]
"""What a change sets, sorted by knob. Changes that set the same values are one change, whatever stood there before."""

MAX_VALUE: Final = 1e100  # far beyond any metric, and its square is still finite


@dataclass(frozen=True)
class Experiment:
    """A usable result. change: knob -> (old, new), never empty; parent and candidate are canonical recipes."""

    moment: Moment
    author: bytes
    result: Result
    candidate: Recipe
    parent: Recipe
    change: Mapping[str, tuple[Scalar, Scalar]]
    effect: float | None
    """Mean improvement over the pairs that have both values, not shrunk; None without such a pair."""

    @property
    def record_id(self) -> bytes:
        return self.moment[1]

    @property
    def verdict(self) -> Verdict:
        return self.result.verdict

    @property
    def seeds(self) -> int:
        """Pairs that have both values."""
        return sum(pair.candidate is not None and pair.parent is not None for pair in self.result.pairs)

    @cached_property
    def candidate_id(self) -> bytes:
        return recipe_id(self.candidate)

    @cached_property
    def parent_id(self) -> bytes:
        return recipe_id(self.parent)

    @cached_property
    def new_values(self) -> NewValues:
        return new_values({knob: new for knob, (_, new) in self.change.items()})


def new_values(change: Mapping[str, Scalar]) -> NewValues:
    """The hashable form of {knob: new value}."""
    return tuple(sorted(change.items()))


def comparable(task: Task, entry: Result | Calibration, device_class: str) -> bool:
    """Whether its values may be compared with this node's: same budget, and for seconds the same device class."""
    same_budget = (entry.budget.kind, entry.budget.amount) == (task.budget.kind, task.budget.amount)
    return same_budget and (task.budget.kind != "seconds" or entry.device_class == device_class)


def read_recipe(task: Task, body: RecipeBody) -> Recipe | None:
    """The canonical recipe, or None if the task does not allow it."""
    try:
        return make_recipe(task, body.knobs, body.files)
    except TrainerError:
        return None


def read_experiment(task: Task, record: Record, result: Result) -> Experiment | None:
    """The result as evidence, or None if its parts do not hang together or do not fit the task.

    Edits of code on top of a parent cannot be taken back by a change of knobs: such results are refused here too.
    """
    candidate = read_recipe(task, result.candidate)
    if candidate is None or not result.change:
        return None
    old = {knob: before for knob, (before, _) in result.change.items()}
    try:
        parent = make_recipe(task, {**candidate.knobs, **old}, candidate.files)
        change = change_between(task, parent, candidate)
        changed = apply_change(task, parent, result.change)
    except TrainerError:
        return None
    if recipe_id(parent) != result.parent or changed != candidate or set(change) != set(result.change):
        return None
    measured = [value for pair in result.pairs for value in (pair.candidate, pair.parent) if value is not None]
    if any(abs(value) > MAX_VALUE for value in measured):
        return None
    improvements = [
        task.metric.improvement(pair.parent, pair.candidate)
        for pair in result.pairs
        if pair.candidate is not None and pair.parent is not None
    ]
    effect = math.fsum(improvements) / len(improvements) if improvements else None
    if result.verdict == "keep" and (effect is None or effect <= 0):
        return None
    return Experiment((record.time_ms, record.id), record.author, result, candidate, parent, change, effect)
