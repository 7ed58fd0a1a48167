"""A numeric knob's range as a stretch from 0 to 1, on a log scale where the task says so."""

import math
from dataclasses import dataclass
from typing import Self

from trainer.knobs import Scalar
from trainer.task import Knob


@dataclass(frozen=True)
class Span:
    """From low to high; whole: only whole numbers."""

    low: float
    high: float
    log: bool
    whole: bool

    @classmethod
    def of(cls, knob: Knob) -> Self | None:
        """The knob's span; None for a bool or a choice."""
        if knob.low is None or knob.high is None:
            return None
        return cls(knob.low, knob.high, knob.log, knob.type == "int")

    def position(self, value: Scalar) -> float:
        """Where the value lies: 0 at low, 1 at high."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self._scaled(float(value)) - low) / (high - low)

    def value(self, position: float) -> int | float:
        """The value at a position, in the span and with three significant digits, as people can read it."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        scaled = low + position * (high - low)
        return self.readable(math.exp(scaled) if self.log else scaled)

    def readable(self, value: float) -> int | float:
        """The value with three significant digits, in the span."""
        inside = min(max(float(f"{value:.3g}"), self.low), self.high)
        return round(inside) if self.whole else float(inside)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


def options(knob: Knob) -> tuple[Scalar, ...]:
    """The values of a bool or choice knob."""
    return knob.choices if knob.type == "choice" else (False, True)
