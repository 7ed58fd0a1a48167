"""A task: what is being improved. Reads task files, checks them, and computes the fingerprint.

A task is a TOML file and a folder of program files. `load_task` reads both into one frozen value that
holds everything, so that nothing later depends on the folder: two nodes with the same fingerprint run
the same program under the same budget and may compare values.
"""

import hashlib
import importlib.resources
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import msgpack
from pydantic import Field, ValidationError, model_validator

from trainer import knobs as constants
from trainer.errors import KnobError, TaskError
from trainer.schema import (
    TASK_NAME,
    Budget,
    Data,
    DeviceKind,
    Evaluate,
    FileName,
    Frozen,
    Knob,
    Limits,
    Metric,
    Setup,
    Value,
)

__all__ = ["Budget", "Data", "Evaluate", "Knob", "Limits", "Metric", "Setup", "Task", "built_in_tasks", "load_task"]


class Task(Frozen):
    """Everything a trial of a task needs, and what a person should know about it."""

    name: str
    title: str
    metric: Metric
    budget: Budget
    limits: Limits
    knobs: dict[str, Knob]
    files: dict[str, str]
    """Text of every file of the baseline program, by name."""
    editable: tuple[str, ...]
    command: tuple[str, ...]
    instructions: str = ""
    data: Data | None = None
    evaluate: Evaluate | None = None
    """How edited code is scored from outside; None where its own word has to do."""
    reported: bool = False
    """The program is another's and prints its own metric, so that code changes are believed of nobody else."""
    setup: Setup = Setup()
    devices: tuple[DeviceKind, ...] = ("cpu",)
    """The kinds of device that the program is for; of those that a machine has, the first is used."""

    @property
    def fixed(self) -> dict[str, str]:
        """The files that no recipe may change: data, evaluator and whatever else the program leans on."""
        return {name: text for name, text in self.files.items() if name not in self.editable}

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 (32 bytes) over all that decides what a value means.

        That is: every program file (the fixed ones are the evaluator), which of them are editable, the
        command, the metric's name and direction, the budget, the knobs' types and ranges, the data
        section, and what edited code is scored on. Left out is what only advises or protects: title, unit,
        priors, floor, known best and noise (guesses that may be improved without making older values incomparable),
        limits and the closeness of the audit (they end or refuse a trial, never alter its value),
        instructions (text for an LLM), devices, and setup (where things are on this machine).
        """
        knobs = [
            [k.name, k.type, _bound(k, k.low), _bound(k, k.high), k.log, list(k.choices)]
            for _, k in sorted(self.knobs.items())
        ]
        data = None if self.data is None else [list(self.data.command), self.data.sha256]
        canonical: list[object] = [
            "arnode task 1",
            sorted(self.files.items()),
            sorted(self.editable),
            list(self.command),
            [self.metric.name, self.metric.direction],
            [self.budget.kind, self.budget.amount],
            knobs,
            data,
        ]
        if self.evaluate is not None:
            by = self.evaluate
            canonical.append([by.tokens, by.starts, by.token_bytes, by.window, by.longest_window, list(by.hidden)])
        return hashlib.sha256(msgpack.packb(canonical)).digest()

    @property
    def fingerprint_hex(self) -> str:
        return self.fingerprint.hex()


class _Program(Frozen):
    folder: str | tuple[str, ...] = "."
    """Where the files are; of several folders, the first that has a file gives it."""
    files: tuple[FileName, ...] = Field(min_length=1)
    editable: tuple[FileName, ...] = Field(min_length=1)
    command: tuple[str, ...] = Field(min_length=1)
    instructions: FileName | None = None
    constants: dict[str, Value] = Field(default_factory=dict)
    """Values of constants in editable files, in place of those written there: one program, another baseline."""
    devices: tuple[DeviceKind, ...] = Field(default=("cpu",), min_length=1)

    @model_validator(mode="after")
    def _editable_exist(self) -> Self:
        for name in self.editable:
            if name not in self.files:
                raise ValueError(f"editable names {name}, which is not among files")
        return self


class _TaskFile(Frozen):
    """A task file as written; `knobs` are checked one by one once their defaults are known."""

    name: str = Field(pattern=f"^{TASK_NAME.pattern}$")
    title: str
    program: _Program
    metric: Metric
    budget: Budget
    limits: Limits
    data: Data | None = None
    evaluate: Evaluate | None = None
    knobs: tuple[dict[str, object], ...] = ()

    @model_validator(mode="after")
    def _evaluated(self) -> Self:
        if self.evaluate is not None and (self.data is None or self.metric.direction != "minimize"):
            raise ValueError("evaluate scores bits per byte of data: it needs [data] and a metric to minimize")
        return self


def built_in_tasks() -> list[str]:
    """Names of the tasks that come with arnode."""
    return sorted(_built_in_files())


def _built_in_files() -> dict[str, Path]:
    """The task file of each built-in task: `NAME.toml`, or `NAME/task.toml` with the program beside it."""
    folder = Path(str(importlib.resources.files("configs") / "tasks"))
    files = {path.stem: path for path in folder.glob("*.toml")}
    return files | {path.parent.name: path for path in folder.glob("*/task.toml")}


def load_task(ref: str | Path) -> Task:
    """Read a task: a built-in name, a folder with a `task.toml`, a path to such a file, or another program's folder.

    Raises:
        TaskError: naming the file, the key and what to do.
    """
    from trainer.adapters import autodiscovery, autoresearch  # which make Tasks, and so import this module

    path = _locate(ref)
    if path.is_dir():
        if autoresearch.is_checkout(path):
            return autoresearch.read_checkout(path)
        if autodiscovery.is_task_folder(path):
            return autodiscovery.read_task_folder(path)
        raise TaskError(
            f"{path} holds no task: no task.toml, no task.json of auto-discovery, and not the prepare.py, train.py and "
            "program.md of an autoresearch checkout. Write a task.toml for it; `arnode task new NAME` shows how"
        )
    raw = _toml(path)
    if isinstance(shared := raw.pop("extends", None), str):
        raw = _toml(path.parent / shared) | raw
    try:
        written = _TaskFile.model_validate(raw)
    except ValidationError as error:
        raise TaskError(f"{path}: {_explain(error)}") from error
    program = written.program
    names = (program.folder,) if isinstance(program.folder, str) else program.folder
    folders = [path.parent / name for name in names]
    files = {name: _text(path, _first_with(folders, name)) for name in program.files}
    files |= _with_constants(path, {name: files[name] for name in program.editable}, program.constants)
    return Task(
        name=written.name,
        title=written.title,
        metric=written.metric,
        budget=written.budget,
        limits=written.limits,
        knobs=_knobs(path, written.knobs, {name: files[name] for name in program.editable}),
        files=files,
        editable=program.editable,
        command=program.command,
        instructions=_text(path, _first_with(folders, program.instructions)) if program.instructions else "",
        data=written.data,
        evaluate=written.evaluate,
        devices=program.devices,
    )


def _toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{path}: not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: cannot be read: {error}") from error


def _first_with(folders: Sequence[Path], name: str) -> Path:
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)


def _with_constants(path: Path, editable: dict[str, str], values: Mapping[str, Value]) -> dict[str, str]:
    """The editable files with these values of their constants."""
    try:
        own = {file: constants.read(text) for file, text in editable.items()} if values else {}
        for name, value in values.items():
            written = [found[name] for found in own.values() if name in found]
            if len(written) != 1 or type(written[0]) is not type(value):
                now = " and ".join(map(repr, written)) or "not there"
                raise TaskError(
                    f"{path}: program.constants.{name} = {value!r}: exactly one of {', '.join(editable)} must assign "
                    f"it a literal of that type; now it is {now}"
                )
        return {
            file: constants.rewrite(editable[file], {name: values[name] for name in values if name in found})
            for file, found in own.items()
        }
    except KnobError as error:
        raise TaskError(f"{path}: program.constants: {error}") from error


def _locate(ref: str | Path) -> Path:
    """The task file, or the folder where there is none."""
    built_in = _built_in_files()
    if isinstance(ref, str) and ref in built_in:
        return built_in[ref]
    path = Path(ref)
    if path.is_dir() and (path / "task.toml").is_file():
        return path / "task.toml"
    if not path.exists():
        known = ", ".join(sorted(built_in)) or "none"
        raise TaskError(
            f"no task {str(ref)!r}: it is no built-in task (those are: {known}), and no folder or task file of that "
            "name is here"
        )
    return path


def _knobs(path: Path, written: tuple[dict[str, object], ...], editable: dict[str, str]) -> dict[str, Knob]:
    found: dict[str, list[tuple[str, constants.Constant]]] = {}
    for file, text in editable.items():
        try:
            for constant, value in constants.read(text).items():
                found.setdefault(constant, []).append((file, value))
        except KnobError as error:
            if written:
                raise TaskError(f"{path}: program.editable: {file}: {error}") from error
    knobs: dict[str, Knob] = {}
    for index, entry in enumerate(written):
        name: object = entry.get("name")
        where = f"{path}: knobs[{index}] {name}"
        if not isinstance(name, str):
            raise TaskError(f"{path}: knobs[{index}]: name is missing; add the constant's name")
        if name in knobs:
            raise TaskError(f"{where}: named twice; remove one")
        if "default" in entry:
            raise TaskError(f"{where}: default is read from the program; remove it from the task file")
        places = found.get(name, [])
        if len(places) != 1:
            held = " and ".join(place for place, _ in places) or "none of them"
            raise TaskError(
                f"{where}: exactly one of {', '.join(editable)} must assign it a literal, once and at module "
                f"level; now {held} does"
            )
        try:
            knob = Knob.model_validate(entry | {"default": places[0][1]})
            knobs[name] = knob.model_copy(update={"default": knob.check(knob.default)})
        except ValidationError as error:
            raise TaskError(f"{where}: {_explain(error)}") from error
        except KnobError as error:
            raise TaskError(f"{where}: the program's own value does not fit: {error}") from error
    return knobs


def _text(path: Path, file: Path) -> str:
    """A program file; line ends are normalised, so that a checkout with CRLF has the same fingerprint."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: program: cannot read {file}: {error}") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "task"
    message = first["msg"].removeprefix("Value error, ")
    more = error.error_count() - 1
    return f"{key}: {message}" + (f" (and {more} more)" if more else "")


def _bound(knob: Knob, bound: float | None) -> int | float | None:
    return float(bound) if knob.type == "float" and bound is not None else bound
