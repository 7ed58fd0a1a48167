"""The parts of a task that its file declares: metric, budget, limits, data and knobs."""

import math
import re
from pathlib import Path
from typing import Annotated, Literal, Self, TypeGuard

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
    model_validator,
)

from trainer.errors import KnobError
from trainer.knobs import Scalar

TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")

DeviceKind = Literal["cpu", "cuda", "mps"]

Value = StrictBool | StrictInt | StrictFloat | StrictStr


def _file_name(name: str) -> str:
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} must be a plain path below the program folder, such as train.py")
    return name


FileName = Annotated[str, AfterValidator(_file_name)]


class Frozen(BaseModel):
    """A value checked when it is made, with no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class KnownBest(Frozen):
    """The best value that anyone is known to have reached on a problem that others work on too."""

    value: float
    source: str = Field(min_length=1, max_length=200)


class Metric(Frozen):
    """The one number a program is judged by."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    direction: Literal["minimize", "maximize"]
    unit: str = ""
    floor: float | None = None
    """The best value that is possible at all, where it is known (the entropy of the data)."""
    known_best: KnownBest | None = None
    noise: PositiveFloat
    """Prior guess of the standard deviation over seeds, until trials have measured it."""

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return self.improvement(b, a) > 0

    def improvement(self, parent: float, candidate: float) -> float:
        """By how much the candidate is better than its parent; positive is better, whatever the direction."""
        return parent - candidate if self.direction == "minimize" else candidate - parent


class Budget(Frozen):
    """What one trial may spend: floating-point operations, tokens, steps of whatever it counts, or seconds."""

    kind: Literal["flops", "tokens", "steps", "seconds"]
    amount: PositiveFloat


class Limits(Frozen):
    """What ends a trial by force, far above what an honest one needs."""

    wall_seconds: PositiveFloat
    memory_mb: PositiveInt
    output_bytes: PositiveInt
    disk_mb: PositiveInt = 1000
    processes: PositiveInt = 64


class Data(Frozen):
    """How a task's data is made: once, from the fixed files, into a folder that trials only read."""

    command: tuple[str, ...] = Field(min_length=1)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    wall_seconds: PositiveFloat = 600.0


class Setup(Frozen):
    """What this machine holds for a program beside the task's own files: places, so no part of the fingerprint."""

    variables: dict[str, str] = {}
    """Environment variables that tell the program where."""
    folders: tuple[Path, ...] = ()
    """Files and folders that it reads, at their own paths; in a sandbox it sees them read-only."""


class Evaluate(Frozen):
    """How edited programs are scored: from outside, by what they predict of held-out tokens (`trainer/audit.py`).

    `tokens`, `starts` and `token_bytes` are files of the task's data, in numpy's format. The first two, and what
    `hidden` names, do not exist where edited code runs.
    """

    tokens: FileName
    """Integers: the held-out tokens, document after document."""
    starts: FileName
    """Integers: the index of each document's first token, and one more: the end."""
    token_bytes: FileName
    """Integers: bytes of text that each token stands for; as many as the vocabulary has tokens."""
    window: PositiveInt | str
    """Tokens that a prediction may look back on: a number, or the name of a constant of the program."""
    longest_window: PositiveInt = 4096
    """The most that a program may make of that constant."""
    hidden: tuple[FileName, ...] = ()
    """What else tells of the held-out text: files of the program or of the data."""
    tolerance: PositiveFloat = 0.002
    """Bits by which two predictions of one token may differ and still be the same."""
    positions: PositiveInt = 512
    """How many tokens are predicted again without the text that follows them."""
    model_mb: PositiveInt = 64
    """The largest file that training may leave."""
    seconds: PositiveFloat = 120.0
    """How long predicting may take; and again as long the audit."""


class Knob(Frozen):
    """One constant of the program that a recipe may change, and the values it may take."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    type: Literal["int", "float", "bool", "choice"]
    low: StrictInt | StrictFloat | None = None
    high: StrictInt | StrictFloat | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    prior: dict[str, PositiveFloat] = {}
    """How promising the knob is on device classes that start with the key; 1.0 where no key fits."""
    default: Value
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


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
