"""A task: what is being improved. Reads task files, checks them, and computes the fingerprint.

A task is a TOML file and a folder of program files. `load_task` reads both into one frozen value that
holds everything, so that nothing later depends on the folder: two nodes with the same fingerprint run
the same program under the same budget and may compare values.
"""

import hashlib
import importlib.resources
import math
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self, TypeGuard

import msgpack
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from trainer import knobs as constants
from trainer.errors import KnobError, TaskError
from trainer.knobs import Scalar

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_BUILT_IN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")

_Scalar = StrictBool | StrictInt | StrictFloat | StrictStr


def _file_name(name: str) -> str:
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} must be a plain path below the program folder, such as train.py")
    return name


FileName = Annotated[str, AfterValidator(_file_name)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Metric(_Frozen):
    """The one number a program is judged by."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    direction: Literal["minimize", "maximize"]
    unit: str = ""
    floor: float | None = None
    """The best value that is possible at all, where it is known (the entropy of the data)."""
    noise: PositiveFloat
    """Prior guess of the standard deviation over seeds, until trials have measured it."""

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return self.improvement(b, a) > 0

    def improvement(self, parent: float, candidate: float) -> float:
        """By how much the candidate is better than its parent; positive is better, whatever the direction."""
        return parent - candidate if self.direction == "minimize" else candidate - parent


class Budget(_Frozen):
    """What one trial may spend on training: floating-point operations, tokens or seconds."""

    kind: Literal["flops", "tokens", "seconds"]
    amount: PositiveFloat


class Limits(_Frozen):
    """What ends a trial by force, far above what an honest one needs."""

    wall_seconds: PositiveFloat
    memory_mb: PositiveInt
    output_bytes: PositiveInt
    disk_mb: PositiveInt = 1000
    processes: PositiveInt = 64


class Data(_Frozen):
    """How a task's data is made: once, from the fixed files, into a folder that trials only read."""

    command: tuple[str, ...] = Field(min_length=1)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    wall_seconds: PositiveFloat = 600.0


class Knob(_Frozen):
    """One constant of the program that a recipe may change, and the values it may take."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    type: Literal["int", "float", "bool", "choice"]
    low: StrictInt | StrictFloat | None = None
    high: StrictInt | StrictFloat | None = None
    log: bool = False
    choices: tuple[_Scalar, ...] = ()
    prior: dict[str, PositiveFloat] = {}
    """How promising the knob is on device classes that start with the key; 1.0 where no key fits."""
    default: _Scalar
    """The value in the task's own program; never written in the task file."""

    def check(self, value: object) -> Scalar:
        """The value in the knob's own type: an int is accepted for a float, nothing else is converted.

        Raises:
            KnobError: the value is of another type or out of range.
        """
        if self.type == "float" and type(value) is int:
            value = _as_float(value)
        if self.type == "choice":
            for choice in self.choices:
                if type(choice) is type(value) and choice == value:
                    return choice
        elif self.type == "bool":
            if isinstance(value, bool):
                return value
        elif self._in_range(value):
            # -0.0 and 0.0 are one value and must have one encoding.
            return value + 0
        raise KnobError(f"{self.name} = {value!r} is not allowed; it must be {self.allowed}")

    def _in_range(self, value: object) -> TypeGuard[float]:
        if type(value) is not (int if self.type == "int" else float):
            return False
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        match self.type:
            case "choice":
                return "one of " + ", ".join(repr(choice) for choice in self.choices)
            case "bool":
                return "True or False"
            case _:
                article = "an int" if self.type == "int" else "a float"
                return f"{article} from {self.low} to {self.high}"

    def weight(self, device_class: str) -> float:
        """The prior of the longest key that the device class starts with; 1.0 where there is none."""
        fitting = [key for key in self.prior if device_class.startswith(key)]
        return self.prior[max(fitting, key=len)] if fitting else 1.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        numeric = self.type in ("int", "float")
        if numeric:
            if self.low is None or self.high is None or not self.low < self.high:
                raise ValueError(f"a knob of type {self.type} needs low and high, with low < high")
            if self.type == "int" and (isinstance(self.low, float) or isinstance(self.high, float)):
                raise ValueError("low and high of an int knob must be whole numbers")
            if self.log and self.low <= 0:
                raise ValueError("log = true needs low > 0")
        elif self.low is not None or self.high is not None or self.log:
            raise ValueError(f"low, high and log mean nothing for type {self.type}; remove them")
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("choices belong to type choice, which needs at least one")
        return self


class Task(_Frozen):
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

    @property
    def fixed(self) -> dict[str, str]:
        """The files that no recipe may change: data, evaluator and whatever else the program leans on."""
        return {name: text for name, text in self.files.items() if name not in self.editable}

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 (32 bytes) over all that decides what a value means.

        That is: every program file (the fixed ones are the evaluator), which of them are editable, the
        command, the metric's name and direction, the budget, the knobs' types and ranges, and the
        data section. Left out is what only advises or protects: title, unit, priors, floor and noise
        (guesses that may be improved without making older values incomparable), limits (they end a
        trial, never alter its value) and instructions (text for an LLM).
        """
        knobs = [
            [k.name, k.type, _bound(k, k.low), _bound(k, k.high), k.log, list(k.choices)]
            for _, k in sorted(self.knobs.items())
        ]
        data = None if self.data is None else [list(self.data.command), self.data.sha256]
        canonical = [
            "arnode task 1",
            sorted(self.files.items()),
            sorted(self.editable),
            list(self.command),
            [self.metric.name, self.metric.direction],
            [self.budget.kind, self.budget.amount],
            knobs,
            data,
        ]
        return hashlib.sha256(msgpack.packb(canonical)).digest()

    @property
    def fingerprint_hex(self) -> str:
        return self.fingerprint.hex()


class _Program(_Frozen):
    folder: str = "."
    files: tuple[FileName, ...] = Field(min_length=1)
    editable: tuple[FileName, ...] = Field(min_length=1)
    command: tuple[str, ...] = Field(min_length=1)
    instructions: FileName | None = None

    @model_validator(mode="after")
    def _editable_exist(self) -> Self:
        for name in self.editable:
            if name not in self.files:
                raise ValueError(f"editable names {name}, which is not among files")
        return self


class _TaskFile(_Frozen):
    """A task file as written; `knobs` are checked one by one once their defaults are known."""

    name: str = Field(min_length=1, max_length=64)
    title: str
    program: _Program
    metric: Metric
    budget: Budget
    limits: Limits
    data: Data | None = None
    knobs: tuple[dict[str, object], ...] = ()


def built_in_tasks() -> list[str]:
    """Names of the tasks that come with arnode."""
    folder = importlib.resources.files("configs") / "tasks"
    if not folder.is_dir():
        return []
    names = [entry.name for entry in folder.iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_task(ref: str | Path) -> Task:
    """Read a task: a built-in name, a folder that holds `task.toml`, or a path to a task file.

    Raises:
        TaskError: naming the file, the key and what to do.
    """
    path = _locate(ref)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{path}: not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: cannot be read: {error}") from error
    try:
        written = _TaskFile.model_validate(raw)
    except ValidationError as error:
        raise TaskError(f"{path}: {_explain(error)}") from error
    program = written.program
    folder = path.parent / program.folder
    files = {name: _text(path, folder / name) for name in program.files}
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
        instructions=_text(path, folder / program.instructions) if program.instructions else "",
        data=written.data,
    )


def _locate(ref: str | Path) -> Path:
    if isinstance(ref, str) and _BUILT_IN_NAME.fullmatch(ref) and ref in built_in_tasks():
        return Path(str(importlib.resources.files("configs") / "tasks" / f"{ref}.toml"))
    path = Path(ref)
    if path.is_dir():
        path = path / "task.toml"
    if not path.is_file():
        known = ", ".join(built_in_tasks()) or "none"
        raise TaskError(
            f"no task {str(ref)!r}: it is no built-in task (those are: {known}), no folder with a task.toml, "
            "and no task file"
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


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
