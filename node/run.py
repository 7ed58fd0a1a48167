"""`arnode run`: trials of one recipe without a network, one JSON object or one line each."""

import ast
import json as jsonlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio

from node.export import find_result, recipe_of
from node.feed import Feed, feed_console
from node.home import Home, data_cache
from node.state import open_state, remembered_task
from node.trials import run_recipe, sandbox_or_none
from trainer.data import prepare_data
from trainer.device import require
from trainer.recipe import Recipe, make_recipe, recipe_from_data, recipe_from_program, recipe_id
from trainer.task import Task, load_task
from trainer.trial import Progress, Trial

DEFAULT_SEED: Final = 1


class RunError(Exception):
    """The trials that were asked for cannot be run; the message says why and what to do."""


@dataclass(frozen=True)
class Job:
    """A recipe with its seeds, and the values that a record gives for them."""

    task: Task
    recipe: Recipe
    seeds: Sequence[int]
    recorded: dict[int, float | None]
    own: bool = True
    """Whether what it edits was edited here, and not by a peer."""


async def run_trials(
    home: Home,
    task: str | None,
    settings: Sequence[str],
    recipe: str | None,
    program: Path | None,
    seeds: Sequence[int],
    json: bool,
) -> bool:
    """Run the trials and print them. Returns whether any failed, or gave another value than its record says."""
    job = _job(home, task, settings, recipe, program, seeds)
    note = (lambda text: None) if json else (lambda text: print(text, flush=True))
    sandbox = await sandbox_or_none(note)
    if job.recipe.files and (sandbox is None or not (job.own or sandbox.fit_for_peers)):
        weak = "that code of peers is safe in" if sandbox else "and there is none here"
        raise RunError(f"edited code runs only in a sandbox {weak}: `arnode doctor` says what to do")
    await trio.to_thread.run_sync(require, job.task.name, job.task.devices)
    data = await prepare_data(job.task, data_cache(), on_note=note)
    failed = False
    with TemporaryDirectory(prefix="arnode-") as workspace, Feed(feed_console(json=json), json=json) as feed:
        for seed in job.seeds:

            def on_progress(progress: Progress, seed: int = seed) -> None:
                feed.progress(f"seed {seed}", progress.fraction, progress.loss, progress.tokens_per_second)

            trial = await run_recipe(
                job.task,
                job.recipe,
                seed,
                workspace=Path(workspace),
                data=data,
                on_progress=on_progress,
                sandbox=sandbox,
            )
            feed.progress_ended()
            row = _row(job, trial)
            failed |= trial.status != "ok" or row.get("repeats") is False
            print(jsonlib.dumps(row, ensure_ascii=False) if json else _line(row), flush=True)
    return failed


def _job(
    home: Home,
    task_reference: str | None,
    settings: Sequence[str],
    recipe: str | None,
    program: Path | None,
    seeds: Sequence[int],
) -> Job:
    if recipe is not None and program is not None:
        raise RunError("--recipe and --program both name the program to run: give one of them")
    recorded: dict[int, float | None] = {}
    task = load_task(task_reference or remembered_task(home))
    start, own = Recipe(), True
    if program is not None:
        start = recipe_from_program(task, read_program(task, program))
    elif recipe is not None and Path(recipe).is_file():
        start = _recipe_file(task, Path(recipe))
    elif recipe is not None:
        with open_state(home, task_reference, writing=False) as state:
            record, result = find_result(state, recipe)
            start, own = recipe_of(state, result), record.author == state.me
        if not settings:
            recorded = {pair.seed: pair.candidate for pair in result.pairs}
    chosen = make_recipe(task, {**start.knobs, **dict(setting(task, text) for text in settings)}, start.files)
    return Job(task, chosen, list(seeds) or list(recorded) or [DEFAULT_SEED], recorded, own)


def read_program(task: Task, program: Path) -> dict[str, str]:
    """The text of a changed file, under the name of the task's file that it stands for: its own, or the only editable.

    Raises RunError.
    """
    if program.name in task.editable:
        return {program.name: _read(program)}
    if len(task.editable) == 1:
        return {task.editable[0]: _read(program)}
    raise RunError(f"{program} is none of the editable files of {task.name}: {', '.join(task.editable)}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RunError(f"cannot read {path}: it is not text: {error}") from error


def _recipe_file(task: Task, path: Path) -> Recipe:
    try:
        data = jsonlib.loads(_read(path))
    except jsonlib.JSONDecodeError as error:
        raise RunError(f'{path} is not JSON ({error}): a recipe looks like {{"knobs": {{"DEPTH": 3}}}}') from error
    if isinstance(data, dict):
        data = {"knobs": {}, "files": {}} | data
    recipe = recipe_from_data(data)
    return make_recipe(task, recipe.knobs, recipe.files)


def setting(task: Task, text: str) -> tuple[str, object]:
    """A knob and its value, not yet checked, from `KNOB=VALUE`. Raises RunError."""
    knob, equals, value = text.partition("=")
    if not equals:
        raise RunError(f"--set {text}: it is --set KNOB=VALUE, for example --set WIDTH=128")
    try:
        parsed: object = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        parsed = value  # a word, such as a choice's name, needs no quotes
    return knob, parsed


def _row(job: Job, trial: Trial) -> dict[str, Any]:
    row: dict[str, Any] = {
        "task": job.task.name,
        "recipe_id": recipe_id(job.recipe).hex(),
        "seed": trial.seed,
        "status": trial.status,
        "value": trial.value,
        "metric": job.task.metric.name,
        "seconds": round(trial.seconds, 3),
        "tokens": trial.metrics.get("total_tokens"),
        "flops": trial.metrics.get("flops"),
    }
    if trial.reason:
        row["reason"] = trial.reason
    if trial.seed in job.recorded:
        row["recorded"] = job.recorded[trial.seed]
        row["repeats"] = trial.value == job.recorded[trial.seed]
    return row


def _line(row: dict[str, Any]) -> str:
    if row["status"] != "ok":
        return f"seed {row['seed']}: {row['status']}: {row['reason']}"
    text = f"seed {row['seed']}: {row['metric']} {row['value']!r} in {row['seconds']:.1f} s"
    if "recorded" in row:
        same = "as recorded" if row["repeats"] else f"recorded was {row['recorded']!r}"
        text += f" ({same})"
    return text
