"""What a program says: its progress lines, its summary, and the rest as text that is safe to show.

A program's output is untrusted: it may hold control sequences, broken UTF-8 or a line of a gigabyte. What
leaves this module is finite numbers and printable text of bounded length.
"""

import json
import math
import re
import unicodedata
from collections import deque
from dataclasses import dataclass

_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")
_SUMMARY_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63}):\s*(\S{1,128})\s*")
_UNPRINTABLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
_MAX_SUMMARY = 64
_MAX_LINE = 500
_MAX_TAIL_LINES = 100
_MAX_TAIL = 8000
_MAX_ERRORS = 5


@dataclass(frozen=True)
class Progress:
    """What a running program last said about itself; None for what it did not say.

    Attributes:
        fraction: share of the budget that is spent, 0 to 1.
        loss: training loss, in the program's own unit.
        tokens_per_second: training speed.
    """

    fraction: float
    loss: float | None
    tokens_per_second: float | None


def clean(text: str) -> str:
    """One line of printable text: no control, format or private characters, at most 500 characters."""
    # Cut first: cleaning is slow, and what comes after would be cut anyway.
    text = _ESCAPE.sub("", text[: 4 * _MAX_LINE]).expandtabs(4)
    text = "".join("\ufffd" if unicodedata.category(c) in _UNPRINTABLE else c for c in text).rstrip()
    return text if len(text) <= _MAX_LINE else text[: _MAX_LINE - 1] + "…"


def read_progress(line: str) -> Progress | None:
    """The progress in a line of output, or None if it is an ordinary line."""
    if not line.startswith("progress:"):
        return None
    try:
        said = json.loads(line.removeprefix("progress:"))
    except (ValueError, RecursionError):
        return None
    fraction = _finite(said.get("fraction")) if isinstance(said, dict) else None
    if fraction is None:
        return None
    return Progress(min(1.0, max(0.0, fraction)), _finite(said.get("loss")), _finite(said.get("tokens_per_second")))


class Output:
    """Collects a program's lines: the summary after its last `---`, and the tail of everything it said."""

    def __init__(self) -> None:
        self.summary: dict[str, str] = {}
        self.errors: deque[str] = deque(maxlen=_MAX_ERRORS)
        """The last lines with text on standard error."""
        self._in_summary = False
        self._tail: deque[str] = deque(maxlen=_MAX_TAIL_LINES)

    def take(self, line: str, *, error: bool = False) -> None:
        """Take one line of standard output, or of standard error."""
        text = clean(line)
        self._tail.append(text)
        if error:
            if text:
                self.errors.append(text.strip())
        elif text == "---":
            self._in_summary = True
            self.summary = {}
        elif self._in_summary and len(self.summary) < _MAX_SUMMARY:
            match = _SUMMARY_LINE.fullmatch(text)
            if match:
                self.summary[match[1]] = match[2]

    @property
    def tail(self) -> str:
        """The last lines of both streams in the order of their arrival, at most 8000 characters."""
        return "\n".join(self._tail)[-_MAX_TAIL:]

    @property
    def numbers(self) -> dict[str, float]:
        """The summary's numbers; the others, and what is not finite, are left out."""
        return {name: number for name, text in self.summary.items() if (number := number_in(text)) is not None}


def number_in(text: str) -> float | None:
    """The finite number that a text is; None for `nan` and `inf`, and for what is no number."""
    try:
        return _finite(float(text))
    except ValueError:
        return None


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
