"""A node's own best recipe: what its own trials led to, as far as it runs the code in it, and changes put onto it."""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from agent.discoveries import Discovery
from agent.evidence import Experiment
from agent.packed import check_fits
from trainer.errors import RecipeError
from trainer.knobs import Scalar
from trainer.recipe import (
    BASELINE,
    Recipe,
    apply_change,
    change_between,
    make_recipe,
    materialise,
    recipe_from_program,
)
from trainer.task import Task

Code: TypeAlias = Literal["none", "own", "all"]
"""Whose edited code a node runs: nobody's, its own (its proposers' and its person's), or peers' too."""


class Best:
    """The best recipe that a node's keeps have led to, and the merges with it, each made once."""

    def __init__(self, task: Task, keep: Experiment | None = None) -> None:
        self._task = task
        self.keep = keep
        self._merged: dict[bytes, Recipe | RecipeError] = {}

    @property
    def recipe(self) -> Recipe:
        return self.keep.candidate if self.keep else BASELINE

    def with_change(self, change: Mapping[str, Scalar], edits: Mapping[str, str]) -> Recipe:
        """The recipe with these values set, and files of its program replaced by these texts.

        Raises KnobError for a value that is not allowed, RecipeError for a file that is not editable, or for more code
        than a record carries.
        """
        return changed(self._task, self.recipe, change, edits)

    def with_discovery(self, discovery: Discovery) -> Recipe:
        """The recipe with a discovery's change.

        Raises MergeConflict where both edit the same lines, RecipeError for more code than a record carries.
        """
        if not discovery.edits_code:
            return self.with_change(discovery.new_values, {})
        if discovery.record_id not in self._merged:
            try:
                merged_in = apply_change(self._task, self.recipe, discovery.change)
                made: Recipe | RecipeError = _fitting(self._task, self.recipe, merged_in)
            except RecipeError as error:
                made = error
            self._merged[discovery.record_id] = made
        merged = self._merged[discovery.record_id]
        if isinstance(merged, RecipeError):
            raise merged
        return merged


def changed(task: Task, base: Recipe, change: Mapping[str, Scalar], edits: Mapping[str, str]) -> Recipe:
    """A recipe with these values set, and files of its program replaced by these texts. Raises as `with_change`."""
    program = recipe_from_program(task, {**materialise(task, base), **edits}) if edits else base
    made = make_recipe(task, {**program.knobs, **change}, program.files)
    return _fitting(task, base, made) if edits else made


def _fitting(task: Task, base: Recipe, candidate: Recipe) -> Recipe:
    check_fits(base, candidate, change_between(task, base, candidate))
    return candidate


def latest_run(keeps: Iterable[Experiment], code: Code) -> Experiment | None:
    """The latest of a node's own keeps, in order of time, that it runs if it accepts that code."""
    latest = None
    adopted = False
    for keep in keeps:
        adopted |= keep.edits_code and keep.result.replicates is not None
        needed: Code = "none" if not keep.candidate.files else "all" if adopted else "own"
        if code == "all" or needed in ("none", code):
            latest = keep
    return latest
