"""Knobs guessed from a program's constants, where no task file names them.

A knob is a constant whose name is in capitals and whose value says what else it could be. What only reports, or would
change the question instead of the answer (seeds, the evaluation, the budget, places), is none. Tuples and words that
could be anything are left alone, too. The guess depends on the text alone, so that two nodes guess alike.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from trainer import knobs as constants
from trainer.errors import KnobError, TaskError
from trainer.knobs import Constant
from trainer.schema import Knob

NO_KNOBS: Final = frozenset(
    "SEED SEEDS EVAL VAL VALIDATION TIME TIMEOUT BUDGET SECONDS PEAK FLOPS PATH DIR FILE URL NAME VERSION DTYPE DEBUG "
    "VERBOSE LOG PRINT EXCLUDE VOCAB".split()
)
SHARES: Final = frozenset("RATIO FRAC FRACTION SHARE DROPOUT MOMENTUM BETA BETA1 BETA2 DECAY PROB".split())
SIZES: Final = frozenset("BATCH SIZE DIM WIDTH HEADS SEQ LEN LENGTH CONTEXT WINDOW CHANNELS HIDDEN".split())

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_WINDOWS = re.compile(r"[SL]+")
_WINDOW_CHOICES = ("L", "SL", "SSL", "SSSL")
_TINIEST, _LARGEST = 1e-30, 1e15


def guess_knobs(sources: Mapping[str, str]) -> dict[str, Knob]:
    """The knobs of the program files that may be edited (name to text); a name found in two of them is none.

    Raises:
        TaskError: a file is not valid Python.
    """
    found: dict[str, list[Constant]] = {}
    for file, source in sources.items():
        if not file.endswith(".py"):
            continue
        try:
            held = constants.read(source)
        except KnobError as error:
            raise TaskError(f"{file}: {error}") from error
        for name, value in held.items():
            found.setdefault(name, []).append(value)
    knobs = (_knob(name, values[0]) for name, values in found.items() if len(values) == 1)
    return {knob.name: knob for knob in knobs if knob is not None}


def _knob(name: str, value: Constant) -> Knob | None:
    words = set(name.split("_"))
    if not _NAME.fullmatch(name) or words & NO_KNOBS or name == "DEVICE":
        return None
    allowed = _allowed(words, value)
    return None if allowed is None else Knob.model_validate({"name": name, "default": value} | allowed)


def _allowed(words: set[str], value: Constant) -> dict[str, Any] | None:
    match value:
        case bool():
            return {"type": "bool"}
        case int() if 0 < value <= _LARGEST:
            return _whole(words, value)
        case float() if (words & SHARES and 0 <= value <= 1) or value == 0:
            return {"type": "float", "low": 0.0, "high": 1.0}
        case float() if _TINIEST <= abs(value) <= _LARGEST:
            return _real(value)
        case str() if _WINDOWS.fullmatch(value):
            return {"type": "choice", "choices": tuple(dict.fromkeys((*_WINDOW_CHOICES, value)))}
        case _:
            return None


def _whole(words: set[str], value: int) -> dict[str, Any]:
    """Sizes stay powers of two, which is what fits the hardware and each other; other counts halve and double."""
    if words & SIZES and value.bit_count() == 1 and value > 1:
        choices = (value // 4, value // 2, value, value * 2, value * 4)
        return {"type": "choice", "choices": tuple(choice for choice in choices if choice)}
    return {"type": "int", "low": max(1, value // 2), "high": max(2 * value, value + 3), "log": value >= 16}


def _real(value: float) -> dict[str, Any]:
    if value < 0:
        return {"type": "float", "low": _round(2 * value), "high": 0.0}
    return {"type": "float", "low": _round(value / 10), "high": _round(10 * value), "log": True}


def _round(value: float) -> float:
    rounded = float(f"{value:.6g}")
    return rounded if math.isfinite(rounded) else value
