"""`arnode propose`: a person's own idea, in words with knob values, or as an edited program.

Words and values become a hypothesis that all nodes hear of (node/ideas.py); an edited program waits in the state folder
until this node tests it. Then what waits is the change from the recipe that the person started from, so that it still
fits when the node's best recipe has moved on meanwhile.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.packed import check_fits
from node.events import change_text
from node.export import find_result, recipe_of
from node.home import Home
from node.ideas import leave_idea, persons_idea
from node.run import read_program, setting
from node.running import running_node
from node.state import State, open_state
from trainer.errors import TrainerError
from trainer.merge import lines_changed
from trainer.recipe import (
    BASELINE,
    Change,
    Recipe,
    change_between,
    make_recipe,
    materialise,
    recipe_from_data,
    recipe_from_program,
    recipe_id,
    recipe_to_data,
    values,
)
from trainer.task import Task

MAX_TEXT: Final = 1000


class ProposeError(Exception):
    """What was proposed cannot be tested; the message says why."""


@dataclass(frozen=True)
class Waiting:
    """A proposal that waits. path: its file, to be removed when it was tested."""

    path: Path
    change: Change
    hypothesis: str


def propose(
    home: Home,
    task_reference: str | None,
    text: str,
    settings: Sequence[str],
    program: Path | None,
    base: str,
    *,
    as_json: bool,
) -> None:
    """Leave an idea for the node here, and say so. text: why it might help, in a sentence.

    settings: KNOB=VALUE each; program: a file with a change of `base` (best, baseline or a record's id).
    Raises ProposeError, RunError, ExportError and the trainer's errors.
    """
    text = " ".join(text.split())[:MAX_TEXT]
    if not text:
        raise ProposeError("say in a sentence why it might help: other nodes and people read it")
    if program is not None and settings:
        raise ProposeError("--program and --set both say what to change: set the values in the program")
    # a person may have an idea before a node ever ran here
    with open_state(home, task_reference, writing=not home.log.exists()) as state:
        try:
            told = _leave_program(state, text, program, base) if program else _leave_idea(state, text, settings)
        except OSError as error:
            raise ProposeError(f"cannot write in {home.proposals}: {error.strerror}") from error
    if as_json:
        print(json.dumps({"task": state.task.name, **told}))
    else:
        runs = running_node(home) is not None
        print(f"proposed for {state.task.name}: {told['change'] or text}; {_what_next(runs, told, program)}")


def _leave_idea(state: State, text: str, settings: Sequence[str]) -> dict[str, str | None]:
    best = state.notebook.best()
    change = dict(setting(state.task, one) for one in settings)
    candidate = make_recipe(state.task, {**best.knobs, **change}, best.files)
    in_words = change_between(state.task, best, candidate)
    if settings:
        _check_new(state, best, candidate, "that is what this node's best recipe has already")
    made = values(state.task, candidate)
    leave_idea(state.home, state.task, persons_idea(text, {knob: made[knob] for knob in change}))
    return {"change": change_text(in_words.knobs), "recipe_id": recipe_id(candidate).hex() if settings else None}


def _leave_program(state: State, text: str, program: Path, base: str) -> dict[str, str | None]:
    task = state.task
    parent = _base(state, base)
    candidate = recipe_from_program(task, {**materialise(task, parent), **read_program(task, program)})
    _check_new(
        state, parent, candidate, f"{program} is the {base} program as it is: change something in it, or see --base"
    )
    change = change_between(task, parent, candidate)
    check_fits(parent, candidate, change)
    data = {
        "task": task.fingerprint_hex,
        "parent": recipe_to_data(parent),
        "candidate": recipe_to_data(candidate),
        "hypothesis": text,
    }
    path = state.home.proposals / f"{time.time_ns()}.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.with_suffix(".new").write_text(json.dumps(data), encoding="utf-8")
    os.replace(path.with_suffix(".new"), path)
    in_words = change_text(change.knobs, {file: lines_changed(*texts) for file, texts in change.edits.items()})
    return {"change": in_words, "recipe_id": recipe_id(candidate).hex()}


def _check_new(state: State, parent: Recipe, candidate: Recipe, why_not: str) -> None:
    if candidate == parent:
        raise ProposeError(why_not)
    if state.notebook.was_tried(candidate):
        raise ProposeError(f"this node has tested exactly that already (recipe {recipe_id(candidate).hex()[:8]})")


def _what_next(runs: bool, told: Mapping[str, str | None], program: Path | None) -> str:
    if program is not None:
        return "the node that runs here tests it next" if runs else "`arnode join` tests it first"
    tells = "the node that runs here tells all others" if runs else "`arnode join` tells all others"
    return f"{tells}, and tests it next" if told["change"] else f"{tells}; without --set it is for people and models"


def waiting_proposals(home: Home, task: Task) -> Iterator[Waiting]:
    """The proposals for that task, the oldest first. One that cannot be read is set aside as `.broken`."""
    for path in sorted(home.proposals.glob("*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["task"] != task.fingerprint_hex:
                continue
            recipes = [recipe_from_data(data[side]) for side in ("parent", "candidate")]
            parent, candidate = (make_recipe(task, recipe.knobs, recipe.files) for recipe in recipes)
            yield Waiting(path, change_between(task, parent, candidate), str(data["hypothesis"]))
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, TrainerError):
            path.rename(path.with_suffix(".broken"))


def _base(state: State, base: str) -> Recipe:
    if base == "best":
        return state.notebook.best()
    return BASELINE if base == "baseline" else recipe_of(state, find_result(state, base)[1])
