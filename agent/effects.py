"""What is known of a knob's value: the effects that experiments saw, pooled over authors and device classes.

Each author on each device class is one source with one mean, so that nobody counts by the number of their records; the
sources are pooled by random effects (`agent.meta`). Where several knobs were changed together, each is credited with
the whole effect at a part of the weight. Numbers are pooled by cell (`agent.cells`).

A test is added to its source's sums, which are exact and so do not depend on the order; what is pooled from them is
made when asked for.
"""

import math
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeAlias

from agent.cells import Cell, cell
from agent.evidence import Experiment, Moment
from agent.meta import random_effects
from agent.noise import Noise
from trainer.knobs import Scalar
from trainer.task import Task

Source: TypeAlias = tuple[bytes, str]
"""(author, device class)."""


@dataclass(frozen=True)
class SourceEffect:
    """What one author saw of a knob's value on one device class: mean effect, summed weight, tests, the latest's id."""

    author: bytes
    device_class: str
    mean: float
    weight: float
    tests: int
    record_id: bytes


@dataclass(frozen=True)
class PooledEffect:
    """A knob's value over all experiments, in the metric's unit, positive is better.

    mean: over the sources; sd: its standard error; interval: 95 %; between: deviation of the sources' own truths;
    disagreement: I^2, 0 to 1; chance: how likely sources of one truth disagree as much; weight: pairs of values, less
    where knobs were changed together; crashes: of all tests; sources: what it is made of, by author and device class,
    none where all tests crashed.
    """

    mean: float
    sd: float
    interval: tuple[float, float]
    between: float
    disagreement: float
    chance: float
    weight: float
    crashes: int
    sources: tuple[SourceEffect, ...]

    @property
    def authors(self) -> int:
        """How many authors saw it."""
        return len({source.author for source in self.sources})

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        low, high = self.interval
        return low > 0 or high < 0


@dataclass(slots=True)
class Tests:
    """The tests of one knob's value, added up."""

    tallies: dict[Source, "Tally"] = field(default_factory=dict)
    crashes: dict[Source, "Crashes"] = field(default_factory=dict)
    _sources: tuple[SourceEffect, ...] | None = None

    def add(self, test: Experiment) -> None:
        source = (test.author, test.result.device_class)
        if test.verdict == "crash":
            self.crashes.setdefault(source, Crashes()).add(test)
        if test.effect is not None:
            self.tallies.setdefault(source, Tally()).add(test)
            self._sources = None

    def sources(self) -> tuple[SourceEffect, ...]:
        """What each author saw on each device class, made anew after a test was added."""
        if self._sources is None:
            self._sources = tuple(tally.effect(*source) for source, tally in sorted(self.tallies.items()))
        return self._sources

    def pool(self, noise: Noise, without: AbstractSet[bytes] = frozenset(), device: str | None = None) -> PooledEffect:
        """The pooled effect. without: authors who are not believed; device: only what was seen there."""
        sources = [
            source
            for source in self.sources()
            if source.author not in without and device in (None, source.device_class)
        ]
        crashes = sum(crashes.count for crashes in self.crashes.values())
        if not sources:
            return PooledEffect(0.0, math.inf, (-math.inf, math.inf), 0.0, 0.0, 1.0, 0.0, crashes, ())
        variances = [2 * noise.variance / source.weight for source in sources]
        pooled = random_effects([source.mean for source in sources], variances, max(1.0, noise.degrees))
        return PooledEffect(
            pooled.mean,
            pooled.sd,
            pooled.interval,
            pooled.between,
            pooled.disagreement,
            pooled.chance,
            sum(source.weight for source in sources),
            crashes,
            tuple(sources),
        )


@dataclass(slots=True)
class Tally:
    """One source's effects: exact sums, with so many bits after the point as they need, and the latest test."""

    tests: int = 0
    weight: int = 0
    weighed: int = 0
    bits: int = 0
    latest: Moment = (0, b"")

    def add(self, test: Experiment) -> None:
        assert test.effect is not None
        weight = test.seeds / len(test.change)
        weighed = test.effect * weight
        self.tests += 1
        more = max(0, _bits(weight) - self.bits, _bits(weighed) - self.bits)
        self.bits += more
        self.weight = (self.weight << more) + _fixed(weight, self.bits)
        self.weighed = (self.weighed << more) + _fixed(weighed, self.bits)
        self.latest = max(self.latest, test.moment)

    def effect(self, author: bytes, device_class: str) -> SourceEffect:
        """The sums as a mean, correctly rounded."""
        mean, weight = self.weighed / self.weight, self.weight / (1 << self.bits)
        return SourceEffect(author, device_class, mean, weight, self.tests, self.latest[1])


@dataclass(slots=True)
class Crashes:
    """One source's crashes: how many, the latest, and the reasons of those where nothing else was changed."""

    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    latest: Moment = (0, b"")

    def add(self, test: Experiment) -> None:
        self.count += 1
        self.latest = max(self.latest, test.moment)
        if len(test.change) == 1:
            self.reasons[test.result.reason] += 1


def _bits(value: float) -> int:
    """How many bits after the point say a float exactly; at most 1,074."""
    return value.as_integer_ratio()[1].bit_length() - 1


def _fixed(value: float, bits: int) -> int:
    """A float times 2 ** bits, which are enough."""
    numerator, denominator = value.as_integer_ratio()
    return (numerator << bits) // denominator


class Effects:
    """The effects of all knobs' values."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._tests: dict[Cell, Tests] = {}

    def add(self, test: Experiment) -> None:
        """Add what a test says of each knob that it set."""
        for knob, (_, new) in test.change.knobs.items():
            self._tests.setdefault(self.cell(knob, new), Tests()).add(test)

    def cell(self, knob: str, value: Scalar) -> Cell:
        """The cell of the knob's range that the value is pooled in."""
        return cell(self._task.knobs[knob], value)

    def tests(self, knob: str, value: Scalar) -> Tests | None:
        """What was added up of a value; None without any."""
        return self._tests.get(self.cell(knob, value))

    def all(self) -> Iterator[tuple[Cell, Tests]]:
        """Every cell that anyone tried, by knob and value."""
        return iter(sorted(self._tests.items(), key=lambda pair: (pair[0][0], str(pair[0][1]))))
