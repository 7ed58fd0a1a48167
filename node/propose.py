"""`arnode propose`: a person's own change, which waits in the state folder until this node tests it.

What waits is the change from the recipe that the person started from, so that it still fits when the node's best recipe
has moved on meanwhile.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.packed import check_fits
from node.events import change_text
from node.export import find_result, recipe_of
from node.home import Home
from node.run import read_program
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
)
from trainer.task import Task


class ProposeError(Exception):
    """What was proposed cannot be tested; the message says why."""


@dataclass(frozen=True)
class Waiting:
    """A proposal that waits. path: its file, to be removed when it was tested."""

    path: Path
    change: Change
    hypothesis: str


def propose(
    home: Home, task_reference: str | None, program: Path, hypothesis: str, base: str, *, as_json: bool
) -> None:
    """Queue the change from `base` (best, baseline or a record's id) to the program, and say so.

    Raises ProposeError, RunError, ExportError and the trainer's errors.
    """
    # a person may have an idea before a node ever ran here
    with open_state(home, task_reference, writing=not home.log.exists()) as state:
        task = state.task
        parent = _base(state, base)
        candidate = recipe_from_program(task, {**materialise(task, parent), **read_program(task, program)})
        change = change_between(task, parent, candidate)
        if not change:
            raise ProposeError(f"{program} is the {base} program as it is: change something in it, or see --base")
        check_fits(parent, candidate, change)
        if state.notebook.was_tried(candidate):
            raise ProposeError(f"this node has tested exactly that already (recipe {recipe_id(candidate).hex()[:8]})")
    data = {
        "task": task.fingerprint_hex,
        "parent": recipe_to_data(parent),
        "candidate": recipe_to_data(candidate),
        "hypothesis": " ".join(hypothesis.split())[:1000],
    }
    path = home.proposals / f"{time.time_ns()}.json"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.with_suffix(".new").write_text(json.dumps(data), encoding="utf-8")
        os.replace(path.with_suffix(".new"), path)
    except OSError as error:
        raise ProposeError(f"cannot write in {path.parent}: {error.strerror}") from error
    text = change_text(change.knobs, {file: lines_changed(*texts) for file, texts in change.edits.items()})
    if as_json:
        print(json.dumps({"task": task.name, "change": text, "recipe_id": recipe_id(candidate).hex()}))
    else:
        when = "the node that runs here tests it next" if running_node(home) else "`arnode join` tests it first"
        print(f"proposed for {task.name}: {text}; {when}")


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
