"""What an earlier run measured: `bench/baseline.json`, kept with the code, a benchmark a key."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.figures import Better, Figure, Kind, number, said

BASELINE: Final = Path(__file__).parent / "baseline.json"


class BaselineError(Exception):
    """A baseline that cannot be read."""


@dataclass(frozen=True)
class Summary:
    """A figure without its single values. sd: of the values, 0 where there is one."""

    unit: str
    better: Better
    kind: Kind
    count: int
    median: float
    least: float
    greatest: float
    mean: float
    sd: float

    @classmethod
    def of(cls, figure: Figure) -> "Summary":
        values = figure.values
        finite = all(map(math.isfinite, values))
        return cls(
            figure.unit,
            figure.better,
            figure.kind,
            len(values),
            statistics.median(values),
            min(values),
            max(values),
            statistics.fmean(values) if finite else math.inf,
            statistics.stdev(values) if finite and len(values) > 1 else 0.0 if finite else math.inf,
        )

    def __str__(self) -> str:
        """As the benchmark printed it, without the name."""
        return said(self.unit, self.count, self.median, self.least, self.greatest)

    @property
    def spread(self) -> str:
        """Least to greatest; nothing where nothing varies."""
        return f"{number(self.least)} to {number(self.greatest)}" if self.least != self.greatest else ""


@dataclass(frozen=True)
class Run:
    """One benchmark's figures, and what they hold for.

    command: what printed them; commit: of the code; machine: processor and cores; python: its version; speed: see
    `bench.speed`; others: cores that other programs used meanwhile; figures: by name.
    """

    command: str
    commit: str
    date: str
    machine: str
    python: str
    speed: float
    others: float
    seconds: float
    figures: Mapping[str, Summary]


def named(figures: Sequence[Figure]) -> dict[str, Figure]:
    """Figures by their full names: one that begins with `…` goes on from the last that does not."""
    found: dict[str, Figure] = {}
    whole = ""
    for figure in figures:
        name = figure.name.strip()
        if name.startswith("…"):
            name = f"{whole}, {name.lstrip('… ')}"
        else:
            whole = name
        same = sum(other == name or other.startswith(f"{name} (again") for other in found)
        found[f"{name} (again {same})" if same else name] = figure
    return found


def load(path: Path = BASELINE) -> dict[str, Run]:
    """Runs by benchmark; none if there is no such file.

    Raises:
        BaselineError: it is there and is no baseline.
    """
    if not path.exists():
        return {}
    try:
        return {name: _run(told) for name, told in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BaselineError(
            f"{path} is no baseline: {error}. `python -m bench --save-baseline` makes one, if it is moved away"
        ) from error


def save(runs: Mapping[str, Run], path: Path = BASELINE) -> None:
    """Replace the runs of these benchmarks, and keep the others'."""
    kept = {**load(path), **runs}
    text = json.dumps({name: asdict(kept[name]) for name in sorted(kept)}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _run(told: dict[str, Any]) -> Run:
    return Run(**{**told, "figures": {name: Summary(**summary) for name, summary in told["figures"].items()}})
