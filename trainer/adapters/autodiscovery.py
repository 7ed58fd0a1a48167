"""An auto-discovery task folder as a task: `task.json`, a program to edit, and an evaluator that scores it.

The evaluator, `evaluate(program_path) -> dict`, runs in a process of its own. Whether the edited program runs in that
process too is the evaluator's choice: some import it, some start it. So a value of edited code is `reported`.
"""

import json
import re
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from trainer.adapters import run_autodiscovery
from trainer.adapters.guess import guess_knobs
from trainer.adapters.reading import read_text, source_of
from trainer.errors import TaskError
from trainer.schema import TASK_NAME, Budget, FileName, Limits, Metric
from trainer.task import Task

TASK_FILE: Final = "task.json"
RUNNER: Final = "arnode_run.py"
TIMEOUT_SECONDS: Final = 600
START_SECONDS: Final = 5
NOISE: Final = 1e-6
"""A guess: most of these programs are optimizers that find the same value each time."""
LIMITS: Final = {"memory_mb": 4_000, "output_bytes": 1_000_000}


class _Written(BaseModel):
    """What of `task.json` decides a task; it may hold more."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(min_length=1)
    objective: Literal["maximize", "minimize"]
    entry_file: FileName = "solve.py"
    evaluator_file: FileName = "evaluator.py"
    primary_metric: str = Field(min_length=1)
    allowed_edit_paths: tuple[str, ...] = ()
    timeout_sec: PositiveFloat | None = None
    description: str = ""
    domain: str = ""


def is_task_folder(folder: Path) -> bool:
    """Whether the folder has the shape of an auto-discovery task."""
    return (folder / TASK_FILE).is_file()


def read_task_folder(folder: Path) -> Task:
    """The task of a folder. Raises TaskError, which names the file, the key and what to do."""
    written = _written(folder / TASK_FILE)
    programs = sorted(path for path in folder.rglob("*.py") if not _hidden(path.relative_to(folder)))
    files = {path.relative_to(folder).as_posix(): read_text(path) for path in programs}
    named = [path.removeprefix("./") for path in (TASK_FILE, *written.allowed_edit_paths)]
    files |= {name: read_text(folder / name) for name in named if (folder / name).is_file()}
    for key, name in (("entry_file", written.entry_file), ("evaluator_file", written.evaluator_file)):
        if name not in files:
            raise TaskError(f"{folder / TASK_FILE}: {key}: there is no {folder / name}")
    editable = _editable(folder, written, files)
    seconds = written.timeout_sec or TIMEOUT_SECONDS
    metric = re.sub(r"\W|^(?=\d)", "_", written.primary_metric, flags=re.ASCII)
    instructions = folder / "program.md"
    title = written.description.partition("\n")[0] or f"{written.objective} {written.primary_metric}"
    return Task(
        name=_name(written.name),
        title=title[:200],
        metric=Metric(name=metric, direction=written.objective, noise=NOISE),
        budget=Budget(kind="seconds", amount=seconds),
        limits=Limits.model_validate(LIMITS | {"wall_seconds": seconds + START_SECONDS}),
        knobs=guess_knobs({name: files[name] for name in editable}),
        files=files | {RUNNER: source_of(run_autodiscovery)},
        editable=editable,
        command=("{python}", RUNNER, written.evaluator_file, written.entry_file, written.primary_metric),
        instructions=read_text(instructions) if instructions.is_file() else "",
        reported=True,
    )


def _written(file: Path) -> _Written:
    try:
        return _Written.model_validate(json.loads(read_text(file)))
    except json.JSONDecodeError as error:
        raise TaskError(f"{file}: not valid JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "task"
        raise TaskError(f"{file}: {key}: {first['msg'].removeprefix('Value error, ')}") from error


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__pycache__")) for part in path.parts)


def _editable(folder: Path, written: _Written, files: dict[str, str]) -> tuple[str, ...]:
    """The files that may be edited: those that are named, and all in folders that are."""
    found: list[str] = []
    for path in written.allowed_edit_paths or (written.entry_file,):
        name = path.removeprefix("./").rstrip("/")
        held = [file for file in files if file == name or file.startswith(f"{name}/")]
        if not held:
            raise TaskError(f"{folder / TASK_FILE}: allowed_edit_paths: there is no {folder / name}")
        found += held
    if written.evaluator_file in found:
        raise TaskError(
            f"{folder / TASK_FILE}: allowed_edit_paths: {written.evaluator_file} is the evaluator; a score that may be "
            "rewritten says nothing, so take it out"
        )
    return tuple(dict.fromkeys(found))


def _name(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")[:64]
    return plain if TASK_NAME.fullmatch(plain) else "task"
