"""A figure: what every benchmark prints, one line each, and what `python -m bench` gathers from it.

A figure's kind says with what it can be compared. A count (bytes, messages) is the same on every machine; steps
(bytecode) are so in one version of Python; machine instructions, times and memory belong to one machine; an outcome is
what came of an experiment, which chance decides and not the machine. Kind and direction follow from the unit; where
that would be wrong, the benchmark says which.
"""

import json
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, NoReturn

from trainer.device import detect

Better = Literal["lower", "higher", "neither"]
Kind = Literal["count", "steps", "instructions", "cpu", "wall", "memory", "outcome"]

GATHERED: Final = "ARNODE_BENCH_FIGURES"
"""Environment variable: the file that each figure is added to, a JSON object a line."""
SKIPPED: Final = 77
"""Exit status of a benchmark that this machine lacks something for, as for a skipped test in automake."""
UNITS: Final[tuple[tuple[Kind, Better, frozenset[str]], ...]] = (
    ("count", "lower", frozenset({"bytes", "kB", "messages", "packets", "round trips", "statements"})),
    ("steps", "lower", frozenset({"bytecodes", "calls", "SQLite steps", "scheduler steps"})),
    ("instructions", "lower", frozenset({"instructions"})),
    ("cpu", "lower", frozenset({"us of CPU", "ms of CPU", "s of CPU", "% of a core"})),
    ("cpu", "higher", frozenset({"records per CPU second", "MB per CPU second"})),
    ("wall", "lower", frozenset({"us", "ms", "s", "min"})),
    ("wall", "higher", frozenset({"MB/s", "records per second", "tokens/s", "TFLOP/s"})),
    ("memory", "lower", frozenset({"MB", "MiB"})),
    ("outcome", "lower", frozenset({"virtual ms", "virtual s", "virtual min", "hops", "copies"})),
)
MANY: Final = 1000  # from here on every digit before the point is written, with commas


@dataclass(frozen=True)
class Figure:
    """What was measured, in a unit, as often as there are values."""

    name: str
    unit: str
    values: tuple[float, ...]
    better: Better
    kind: Kind

    def __str__(self) -> str:
        """`name: median unit (median of n; least to greatest)`."""
        values = self.values
        return f"{self.name}: {said(self.unit, len(values), statistics.median(values), min(values), max(values))}"


def figure(
    name: str, unit: str, values: Sequence[float], *, better: Better | None = None, kind: Kind | None = None
) -> str:
    """The line of a figure, to be printed; the figure is gathered too, if `python -m bench` asked for that.

    A name that begins with `…` goes on from the last one that does not. `better` and `kind` follow from the unit
    unless they are said; a unit that is not in UNITS is an outcome's, of which neither more nor less is better.
    """
    by_unit: tuple[Kind, Better] = next(((k, b) for k, b, units in UNITS if unit in units), ("outcome", "neither"))
    made = Figure(name, unit, tuple(map(float, values)), better or by_unit[1], kind or by_unit[0])
    if path := os.environ.get(GATHERED):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(made)) + "\n")
    return str(made)


def said(unit: str, count: int, median: float, least: float, greatest: float) -> str:
    """`median unit (median of count; least to greatest)`; without the rest where nothing varies."""
    middle = f"{number(median)} {unit}".rstrip()
    return middle if least == greatest else f"{middle} (median of {count}; {number(least)} to {number(greatest)})"


def number(value: float) -> str:
    """Four digits, or all before the point; `1,234,567`, `12.35`, `0.001234`."""
    return f"{value:,.0f}" if abs(value) >= MANY else f"{value:.4g}"


def machine() -> str:
    """The line that says where the figures are from."""
    here = detect()
    return f"machine: {here.name}, {here.cores} cores, torch {here.torch}, Python {here.software['python']}"


def skip(why: str) -> NoReturn:
    """End a benchmark that cannot run here: a line, and the exit status by which the suite knows."""
    print(f"skipped: {why}", file=sys.stderr)
    raise SystemExit(SKIPPED)
