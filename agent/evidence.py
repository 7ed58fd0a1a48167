"""What one result is worth as evidence: read, rebuilt and checked against the task, or refused.

A stranger's result names a candidate and a change. The parent is rebuilt from these and must have the id that the
result claims; then change, candidate and parent hang together and the result can be compared with others.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from sys import intern
from typing import Final, NamedTuple, Self, TypeAlias

from agent.complexity import complexity, is_simpler
from agent.entries import Calibration, RecipeBody, Result, Verdict, kept
from agent.packed import change_of, files_of
from trainer.errors import TrainerError
from trainer.integrity import Integrity, level
from trainer.knobs import Scalar
from trainer.merge import lines_of
from trainer.recipe import Change, Recipe, change_between, make_recipe, recipe_id
from trainer.task import Task

Moment: TypeAlias = tuple[int, bytes]
"""(time_ms, record id): a total order of records that is the same on every node."""
NewValues: TypeAlias = frozenset[tuple[str, Scalar] | tuple[str, str, str]]
"""What a change sets: (knob, value), and (file, "+" or "-", line) of what is edited. Changes that set the same are one
change, whatever stood there before; so an edit is known again after it was merged into another file."""

CLAIMED_NAME: Final = 64  # characters of a name in a presence
MAX_VALUE: Final = 1e100  # far beyond any metric, and its square is still finite


class SeedPair(NamedTuple):
    """What candidate and parent gave on one seed; None where that trial gave no value."""

    seed: int
    candidate: float | None
    parent: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a notebook keeps of a result's body, fields as there: a third of the memory, since there are many."""

    pairs: tuple[SeedPair, ...]
    verdict: Verdict
    reason: str
    effect: float | None
    interval: tuple[float, float] | None
    device_class: str
    device: str
    seconds: float
    parameters: int
    hypothesis: str
    proposer: str
    inspired_by: tuple[bytes, ...]
    replicates: bytes | None

    @classmethod
    def of(cls, result: Result) -> Self:
        """The result's outcome; texts that many results share are kept once."""
        return cls(
            pairs=tuple(SeedPair(pair.seed, pair.candidate, pair.parent) for pair in result.pairs),
            verdict=result.verdict,
            reason=intern(result.reason),
            effect=result.effect,
            interval=result.interval,
            device_class=intern(result.device_class),
            device=intern(result.device),
            seconds=result.seconds,
            parameters=result.parameters,
            hypothesis=intern(result.hypothesis),
            proposer=intern(result.proposer),
            inspired_by=tuple(result.inspired_by),
            replicates=result.replicates,
        )


@dataclass(frozen=True, slots=True)
class Experiment:
    """A usable result. change: never empty; parent and candidate are canonical recipes, here with their ids."""

    moment: Moment
    author: bytes
    result: Outcome
    candidate: Recipe
    parent: Recipe
    change: Change
    integrity: Integrity
    """How far the value can be believed: as the author says, and no further than the task's own rules go."""
    effect: float | None
    """Mean improvement over the pairs that have both values, not shrunk; None without such a pair."""
    candidate_id: bytes
    parent_id: bytes
    new_values: NewValues
    """What the change sets."""

    @property
    def record_id(self) -> bytes:
        return self.moment[1]

    @property
    def edits_code(self) -> bool:
        """Whether files were edited, and not only knobs set."""
        return bool(self.change.edits)

    @property
    def verdict(self) -> Verdict:
        return self.result.verdict

    @property
    def is_find(self) -> bool:
        """Whether the author kept it on their own idea."""
        return kept(self.verdict) and self.result.replicates is None

    @property
    def seeds(self) -> int:
        """Pairs that have both values."""
        return sum(pair.candidate is not None and pair.parent is not None for pair in self.result.pairs)


def new_values(change: Change) -> NewValues:
    """What a change sets."""
    knobs = ((knob, new) for knob, (_, new) in change.knobs.items())
    return frozenset([*knobs, *(line for file, texts in change.edits.items() for line in _lines(file, *texts))])


def _lines(file: str, old: str, new: str) -> Iterator[tuple[str, str, str]]:
    """The lines that an edit adds and removes, wherever in the file."""
    before, after = Counter(lines_of(old)), Counter(lines_of(new))
    if before == after:  # they only changed places
        yield file, "~", hashlib.sha256(f"{old}\0{new}".encode()).hexdigest()
    for sign, lines in (("+", after - before), ("-", before - after)):
        for line in lines:
            yield file, sign, line


def claim_of(change: Change) -> dict[str, Scalar]:
    """The change as a presence claims it: knob -> new value, and for an edited file what is edited, hashed."""
    claim: dict[str, Scalar] = {knob: new for knob, (_, new) in change.knobs.items()}
    for file, texts in change.edits.items():
        lines = sorted(map("".join, _lines(file, *texts)))
        claim[file[:CLAIMED_NAME]] = hashlib.sha256("\0".join(lines).encode()).hexdigest()[:16]
    return claim


def comparable(task: Task, entry: Result | Calibration, device_class: str) -> bool:
    """Whether its values may be compared with this node's: same budget, and for seconds the same device class."""
    same_budget = (entry.budget.kind, entry.budget.amount) == (task.budget.kind, task.budget.amount)
    return same_budget and (task.budget.kind != "seconds" or entry.device_class == device_class)


def read_recipe(task: Task, body: RecipeBody) -> Recipe | None:
    """The canonical recipe, or None if the task does not allow it."""
    try:
        return make_recipe(task, body.knobs, files_of(body))
    except TrainerError:
        return None


def read_experiment(task: Task, moment: Moment, author: bytes, result: Result) -> Experiment | None:
    """The result as evidence, or None if its parts do not hang together or do not fit the task."""
    candidate = read_recipe(task, result.candidate)
    if candidate is None:
        return None
    try:
        told = change_of(task, result)
        old_knobs = {knob: before for knob, (before, _) in told.knobs.items()}
        old_files = {file: before for file, (before, _) in told.edits.items()}
        parent = make_recipe(task, {**candidate.knobs, **old_knobs}, {**candidate.files, **old_files})
    except TrainerError:
        return None
    change = change_between(task, parent, candidate)
    if recipe_id(parent) != result.parent or not change or change != told:
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
    if kept(result.verdict) and effect is None:
        return None
    if result.verdict == "keep" and effect is not None and effect <= 0:
        return None
    if result.verdict == "simpler" and not _is_simpler(task, result, parent, candidate):
        return None
    integrity: Integrity = "reported" if result.integrity == "reported" else level(task, candidate)
    return Experiment(
        moment,
        author,
        Outcome.of(result),
        candidate,
        parent,
        change,
        integrity,
        effect,
        recipe_id(candidate),
        result.parent,
        new_values(change),
    )


def _is_simpler(task: Task, result: Result, parent: Recipe, candidate: Recipe) -> bool:
    """Whether the candidate is simpler than its parent; the numbers of parameters are the author's word."""
    before = complexity(task, parent, result.parent_parameters)
    return is_simpler(before, complexity(task, candidate, result.parameters))
