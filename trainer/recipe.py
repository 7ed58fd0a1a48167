"""A recipe: what differs from the task's program. Identity, changes, the program it makes, and diffs.

Recipes are canonical: only what differs from the defaults, in sorted order, each value in its knob's own
type. So two nodes that mean the same program have the same `recipe_id`. In an edited file the knobs stand with the
task's own values, spelled as the task spells them, and a recipe's values are put there as in any other: so edits and
knob changes go together in any order.
"""

import difflib
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypedDict

import msgpack

from trainer import knobs as constants
from trainer.errors import KnobError, RecipeError
from trainer.knobs import Constant, Scalar
from trainer.merge import lines_of, merge
from trainer.task import Task

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


@dataclass(frozen=True)
class Change:
    """The difference between two recipes.

    Attributes:
        knobs: name to (old value, new value).
        edits: file to (old text, new text).
    """

    knobs: Mapping[str, tuple[Scalar, Scalar]] = field(default_factory=dict)
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.knobs) + len(self.edits)


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
        _check_editable(task, name)
        if text != task.files[name]:
            edited[name] = text
    return Recipe(checked, edited)


def _check_editable(task: Task, name: str) -> None:
    if name not in task.editable:
        raise RecipeError(f"{name} is not editable in {task.name}; editable: {', '.join(task.editable)}")


def _settled(task: Task, name: str, text: str) -> tuple[str, dict[str, Scalar]]:
    """A file's text with the task's own knob values, spelled as the task does, and the values that stood there.

    A knob that the text lacks, or sets to what the task does not allow, is a part of the edit like any other line.
    """
    own, theirs = _constants(task.files[name]), _constants(text)
    found = {}
    for knob in theirs.keys() & own.keys() & task.knobs.keys():
        try:
            found[knob] = task.knobs[knob].check(theirs[knob])
        except KnobError:
            continue
    return (constants.respell(text, task.files[name], found) if found else text), found


@lru_cache(maxsize=64)
def _constants(source: str) -> Mapping[str, Constant]:
    """The constants of a source; none where it is not Python."""
    try:
        return constants.read(source)
    except KnobError:
        return {}


def values(task: Task, recipe: Recipe) -> dict[str, Scalar]:
    """The value of every knob under a recipe, in the task's order."""
    return {name: recipe.knobs.get(name, knob.default) for name, knob in task.knobs.items()}


def change_between(task: Task, parent: Recipe, candidate: Recipe) -> Change:
    """The knobs and files on which two recipes differ, as (parent's, candidate's)."""
    old, new = values(task, parent), values(task, candidate)
    before, after = ({**task.files, **recipe.files} for recipe in (parent, candidate))
    return Change(
        {name: (old[name], new[name]) for name in task.knobs if old[name] != new[name]},
        {name: (before[name], after[name]) for name in sorted(task.editable) if before[name] != after[name]},
    )


def apply_change(task: Task, recipe: Recipe, change: Change) -> Recipe:
    """The recipe with a change's new values set, whatever the values were before, and its edits merged in.

    Raises:
        KnobError: the task has no such knob, or the new value is not allowed.
        MergeConflict: the recipe has changed the same lines in another way.
        RecipeError: a file is not editable.
    """
    knobs = {**recipe.knobs, **{name: new for name, (_, new) in change.knobs.items()}}
    files = dict(recipe.files)
    for name, (old, new) in change.edits.items():
        _check_editable(task, name)
        files[name], _ = _settled(task, name, merge(name, old, new, files.get(name, task.files[name])))
    return make_recipe(task, knobs, files)


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
    unplaced = set(recipe.knobs)
    for file in task.editable:
        mine = {name: value for name, value in recipe.knobs.items() if name in _constants(files[file])}
        files[file] = constants.rewrite(files[file], mine)
        unplaced -= mine.keys()
    if unplaced:
        for text in recipe.files.values():
            constants.read(text)  # says so if it is not Python at all
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
    found: dict[str, Scalar] = {}
    edited = {}
    for name, text in files.items():
        if name in task.editable:
            edited[name], knobs = _settled(task, name, text)
            found |= knobs
    return make_recipe(task, found, edited)


def unified_diff(task: Task, parent: Recipe, candidate: Recipe) -> str:
    """The patch from the parent's program to the candidate's; empty if they are the same.

    The patch has no `diff --git` line on purpose: with one, `git apply` in a subfolder of a repository takes the path
    from the top, finds nothing and still succeeds.
    """
    before, after = materialise(task, parent), materialise(task, candidate)
    hunks = [
        line
        for name in sorted(after)
        for line in difflib.unified_diff(lines_of(before[name]), lines_of(after[name]), f"a/{name}", f"b/{name}")
    ]
    unended = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + unended for line in hunks)


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
