"""A recipe: what differs from the task's program. Identity, changes, the program it makes, and diffs.

Recipes are canonical: only what differs from the defaults, in sorted order, each value in its knob's own
type. So two nodes that mean the same program have the same `recipe_id`.
"""

import difflib
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypedDict

import msgpack

from trainer import knobs as constants
from trainer.errors import KnobError, RecipeError
from trainer.knobs import Scalar
from trainer.task import Task

Change: TypeAlias = Mapping[str, tuple[Scalar, Scalar]]
"""Knob name to (old value, new value)."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_KNOBS = 256
_MAX_NAME = 128
_MAX_STRING = 1024
_MAX_FILE = 262_144


@dataclass(frozen=True)
class Recipe:
    """What differs from the task's program. Build it with `make_recipe`, which checks and normalises.

    Attributes:
        knobs: value of each knob that differs from its default, sorted by name.
        files: full new text of each edited file, sorted by name.
    """

    knobs: Mapping[str, Scalar] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "knobs", dict(sorted(self.knobs.items())))
        object.__setattr__(self, "files", dict(sorted(self.files.items())))

    def __hash__(self) -> int:
        return hash(recipe_id(self))


BASELINE = Recipe()
"""The task's program as it is."""


def recipe_id(recipe: Recipe) -> bytes:
    """SHA-256 (32 bytes) of the recipe's canonical msgpack form."""
    return hashlib.sha256(msgpack.packb(recipe_to_data(recipe))).digest()


def make_recipe(task: Task, knobs: Mapping[str, object], files: Mapping[str, str] | None = None) -> Recipe:
    """The canonical recipe with these values: each checked, those equal to the program's own dropped.

    Raises:
        KnobError: the task has no such knob, or the value is not allowed.
        RecipeError: a file is not editable.
    """
    checked: dict[str, Scalar] = {}
    for name, value in knobs.items():
        if name not in task.knobs:
            known = ", ".join(task.knobs) or "none"
            raise KnobError(f"{task.name} has no knob {name!r}; its knobs are {known}")
        knob = task.knobs[name]
        accepted = knob.check(value)
        if accepted != knob.default:
            checked[name] = accepted
    edited: dict[str, str] = {}
    for name, text in (files or {}).items():
        if name not in task.editable:
            raise RecipeError(f"{name} is not editable in {task.name}; editable: {', '.join(task.editable)}")
        if text != task.files[name]:
            edited[name] = text
    return Recipe(checked, edited)


def values(task: Task, recipe: Recipe) -> dict[str, Scalar]:
    """The value of every knob under a recipe, in the task's order."""
    return {name: recipe.knobs.get(name, knob.default) for name, knob in task.knobs.items()}


def change_between(task: Task, parent: Recipe, candidate: Recipe) -> dict[str, tuple[Scalar, Scalar]]:
    """The knobs on which two recipes differ, as (parent's value, candidate's value).

    Raises:
        RecipeError: the recipes differ in edited files, which is no change of knobs.
    """
    if parent.files != candidate.files:
        raise RecipeError("the recipes differ in edited files; such a change is a diff, not a set of knobs")
    old, new = values(task, parent), values(task, candidate)
    return {name: (old[name], new[name]) for name in task.knobs if old[name] != new[name]}


def apply_change(task: Task, recipe: Recipe, change: Change) -> Recipe:
    """The recipe with a change's new values set, whatever the values were before.

    Raises:
        KnobError: the task has no such knob, or the new value is not allowed.
    """
    new_values = {name: new for name, (_, new) in change.items()}
    return make_recipe(task, {**recipe.knobs, **new_values}, recipe.files)


def materialise(task: Task, recipe: Recipe) -> dict[str, str]:
    """The program of a recipe: name to text of every file.

    Raises:
        KnobError: a knob is not in the program, or its value is not allowed.
        RecipeError: the recipe edits a file that is not editable.
    """
    recipe = make_recipe(task, recipe.knobs, recipe.files)
    files = {**task.files, **recipe.files}
    if not recipe.knobs:
        return files
    homes = {name: constants.read(files[name]) for name in task.editable}
    unplaced = set(recipe.knobs)
    for file, held in homes.items():
        mine = {name: value for name, value in recipe.knobs.items() if name in held}
        files[file] = constants.rewrite(files[file], mine)
        unplaced -= mine.keys()
    if unplaced:
        raise KnobError(
            f"the edited program has no module-level constant {', '.join(sorted(unplaced))}; "
            "keep the knobs that the recipe sets"
        )
    return files


def program_sha256(files: Mapping[str, str]) -> bytes:
    """SHA-256 (32 bytes) of a materialised program: names and texts, sorted by name."""
    return hashlib.sha256(msgpack.packb(sorted(files.items()))).digest()


def recipe_from_program(task: Task, files: Mapping[str, str]) -> Recipe:
    """The recipe of a changed program; a file that is not given is taken to be unchanged.

    Where nothing but allowed knob values differ, it is a recipe of knobs; otherwise of edited files.

    Raises:
        RecipeError: a file is not the task's, or a fixed one was changed.
    """
    for name, text in files.items():
        if name not in task.files:
            raise RecipeError(f"{name} is no file of {task.name}; its files are {', '.join(task.files)}")
        if name not in task.editable and text != task.files[name]:
            allowed = ", ".join(task.editable)
            raise RecipeError(f"{name} is fixed in {task.name} and was changed; only {allowed} may be")
    edited = {name: text for name, text in files.items() if text != task.files[name]}
    try:
        found: dict[str, object] = {}
        for text in edited.values():
            found |= {name: value for name, value in constants.read(text).items() if name in task.knobs}
        recipe = make_recipe(task, found)
        made = materialise(task, recipe)
        if all(_respelled(text) == _respelled(made[name]) for name, text in edited.items()):
            return recipe
    except KnobError:
        # A knob is gone, or has a value that the task does not list: then this is an edit of code.
        pass
    return make_recipe(task, {}, edited)


def unified_diff(task: Task, parent: Recipe, candidate: Recipe, header_lines: Sequence[str] = ()) -> str:
    """The patch from the parent's program to the candidate's; empty if they are the same.

    `header_lines` go first, as comments. The patch has no `diff --git` line on purpose: with one, `git
    apply` in a subfolder of a repository takes the path from the top, finds nothing and still succeeds.
    """
    before, after = materialise(task, parent), materialise(task, candidate)
    hunks = [
        line
        for name in sorted(after)
        for line in difflib.unified_diff(_lines(before[name]), _lines(after[name]), f"a/{name}", f"b/{name}")
    ]
    if not hunks:
        return ""
    header = [f"# {' '.join(line.split())}".rstrip() + "\n" for line in header_lines]
    unended = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + unended for line in [*header, *hunks])


class RecipeData(TypedDict):
    """A recipe as a plain dict, for msgpack or JSON."""

    files: dict[str, str]
    knobs: dict[str, Scalar]


def recipe_to_data(recipe: Recipe) -> RecipeData:
    """The recipe as a plain dict, with keys in canonical order."""
    return {"files": dict(recipe.files), "knobs": dict(recipe.knobs)}


def recipe_from_data(data: object) -> Recipe:
    """Read what `recipe_to_data` wrote. Checks the shape only; `make_recipe` checks it against a task.

    Raises:
        RecipeError: the data is not a recipe.
    """
    if not isinstance(data, dict) or set(data) != {"files", "knobs"}:
        raise RecipeError("a recipe is a map with exactly the keys files and knobs")
    knobs, files = data["knobs"], data["files"]
    if not isinstance(knobs, dict) or not isinstance(files, dict) or len(knobs) + len(files) > _MAX_KNOBS:
        raise RecipeError(f"a recipe's knobs and files are maps with at most {_MAX_KNOBS} entries together")
    for name, value in knobs.items():
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not _is_scalar(value):
            raise RecipeError(f"knob {name!r:.80}: must be a name and a finite number, bool or short string")
    for name, text in files.items():
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not _is_text(text, _MAX_FILE):
            raise RecipeError(f"file {name!r:.80}: needs a name and a text of at most {_MAX_FILE} characters")
    return Recipe(knobs, files)


def _is_scalar(value: object) -> bool:
    match value:
        case bool():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case float():
            return math.isfinite(value)
        case _:
            return _is_text(value, _MAX_STRING)


def _is_text(value: object, limit: int) -> bool:
    # A lone surrogate can come out of JSON and cannot be hashed or written.
    return isinstance(value, str) and len(value) <= limit and not _SURROGATE.search(value)


def _respelled(source: str) -> str:
    """The source with every constant's literal written in one way, so that 2**19 equals 524288."""
    held = constants.read(source)
    return constants.rewrite(constants.rewrite(source, dict.fromkeys(held, "")), held)


def _lines(text: str) -> list[str]:
    """Lines with their ends. Only the newline ends a line for git, unlike for `str.splitlines`."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
