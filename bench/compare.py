"""Is a figure another than in the baseline, beyond noise?

Steps in one version of Python, and instructions of one machine, are of the same work in the same order each time: a
change of the mean beyond a small floor is one. Times and memory are compared on the machine of the baseline only, and
a change of them must pass three bars: a floor, for what differs between two runs and cannot be seen within one
(Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time", ISMM 2013); Student's t test of the means at
SIGNIFICANCE, for what can be seen within; and both once more after times are scaled by the machine's speed in both
runs, see `bench.speed`. Counts and outcomes need the first two. Wall time is not judged at all where other programs
took more than QUIET of a core in either run.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from agent.student import quantile
from bench.baseline import Run, Summary
from bench.figures import Kind

Verdict = Literal["better", "worse", "changed", "same", "new", "another machine", "another Python", "busy", "one value"]

SIGNIFICANCE: Final = 0.001
"""Of one figure, both sides: of two hundred figures one in five runs shows one that did not change."""
QUIET: Final = 0.25
FLOORS: Final[dict[Kind, float]] = {
    "count": 0.01,
    "steps": 0.01,
    "instructions": 0.01,
    "cpu": 0.1,
    "wall": 0.1,
    "memory": 0.05,
    "outcome": 0.02,
}
"""Shares of the baseline's mean; a count that was 0 has none."""
REPEATED: Final = frozenset[Kind]({"steps", "instructions"})
SINGLE: Final = REPEATED | {"count"}
"""Kinds of which one value says enough."""
ANYWHERE: Final = frozenset[Kind]({"count", "steps", "outcome"})
SCALED: Final = frozenset[Kind]({"cpu", "wall"})


@dataclass(frozen=True)
class Comparison:
    """change: of the median, as a share of the baseline's; None where there is none to compare with."""

    verdict: Verdict
    change: float | None = None


def compare(name: str, now: Run, base: Run | None) -> Comparison:
    """One figure of this run against the baseline's of the same name."""
    measured, known = now.figures[name], base.figures.get(name) if base else None
    if base is None or known is None or (known.unit, known.kind) != (measured.unit, measured.kind):
        return Comparison("new")
    change = measured.median / known.median - 1 if known.median and math.isfinite(known.median) else None
    return Comparison(_verdict(measured, known, now, base), change)


def _verdict(measured: Summary, known: Summary, now: Run, base: Run) -> Verdict:
    kind = measured.kind
    if kind not in ANYWHERE and now.machine != base.machine:
        return "another machine"
    if kind in REPEATED and _minor(now.python) != _minor(base.python):
        return "another Python"
    if kind == "wall" and max(now.others, base.others) > QUIET:
        return "busy"
    if kind not in SINGLE and measured.count == known.count == 1:
        return "one value"
    moved = direction(measured, known)
    if kind in SCALED and moved != direction(scaled(measured, now.speed / base.speed), known):
        return "same"
    if moved == 0:
        return "same"
    if measured.better == "neither":
        return "changed"
    return "better" if (moved < 0) == (measured.better == "lower") else "worse"


def direction(measured: Summary, known: Summary) -> int:
    """1 if the first is greater beyond noise, -1 if it is smaller, else 0."""
    apart = measured.mean - known.mean
    if not math.isfinite(apart) or abs(apart) <= FLOORS[known.kind] * abs(known.mean):
        return 0
    margin = 0.0 if known.kind in REPEATED else _margin(measured, known)
    return int(math.copysign(1, apart)) if abs(apart) > margin else 0


def scaled(measured: Summary, faster: float) -> Summary:
    """What it would be on a machine of the baseline's speed, if this one is so many times as fast."""
    factor = faster if measured.better != "higher" else 1 / faster
    return replace(measured, mean=measured.mean * factor, sd=measured.sd * factor)


def _margin(a: Summary, b: Summary) -> float:
    """What two means of one thing are apart at most, by Student's t test; a single value has the other's deviation."""
    degrees = a.count + b.count - 2
    if degrees == 0:
        return 0.0
    pooled = ((a.count - 1) * a.sd**2 + (b.count - 1) * b.sd**2) / degrees
    return quantile(1 - SIGNIFICANCE / 2, degrees) * math.sqrt(pooled * (1 / a.count + 1 / b.count))


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
