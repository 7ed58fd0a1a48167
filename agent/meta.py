"""Random-effects meta-analysis: what several sources say together, where each has its own truth and its own error.

The sources are authors (on one device class): their recipes and machines differ, so a knob's value really does more
for one than for another. The mean is over these truths, and its interval says where it lies.

- variance between the sources: DerSimonian and Laird 1986, "Meta-analysis in clinical trials";
- interval: Hartung and Knapp 2001, "A refined method for the meta-analysis of controlled clinical trials with binary
  outcome", a t interval with k - 1 degrees, which keeps its level with few sources; its scale is not taken below 1
  (Roever, Knapp and Friede 2015), where it would be narrower than the fixed-effect one by luck;
- heterogeneity: Cochran's Q, and I^2 of Higgins and Thompson 2002.

Sums are exact before rounding (`math.fsum`), so the order of the sources does not matter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.student import quantile

LEVEL: Final = 0.95


@dataclass(frozen=True)
class Pooled:
    """Mean over the sources, its standard error and LEVEL interval, all in the sources' unit.

    between: standard deviation of the sources' truths; disagreement: I^2, the share of the sources' variance that
    chance does not explain, 0 to 1; chance: probability of a Q as large where all sources have one truth.
    """

    mean: float
    sd: float
    interval: tuple[float, float]
    between: float
    disagreement: float
    chance: float


def random_effects(means: Sequence[float], variances: Sequence[float], degrees: float) -> Pooled:
    """Pool one or more sources. variances: of their means by chance, > 0; degrees: with which those are known, >= 1.

    A single source has the t interval of its own chance.
    """
    fixed = [1 / variance for variance in variances]
    middle = _mean(means, fixed)
    q = math.fsum(weight * (mean - middle) ** 2 for mean, weight in zip(means, fixed, strict=True))
    free = len(means) - 1
    if free == 0:
        sd = math.sqrt(variances[0])
        reach = quantile((1 + LEVEL) / 2, degrees) * sd
        return Pooled(middle, sd, (middle - reach, middle + reach), 0.0, 0.0, 1.0)
    total = math.fsum(fixed)
    spread = max(0.0, (q - free) / (total - math.fsum(weight * weight for weight in fixed) / total))
    weights = [1 / (variance + spread) for variance in variances]
    mean = _mean(means, weights)
    squares = math.fsum(weight * (own - mean) ** 2 for own, weight in zip(means, weights, strict=True))
    sd = math.sqrt(max(1.0, squares / free) / math.fsum(weights))
    reach = quantile((1 + LEVEL) / 2, free) * sd
    return Pooled(
        mean,
        sd,
        (mean - reach, mean + reach),
        math.sqrt(spread),
        max(0.0, 1 - free / q) if q else 0.0,
        chi_square_tail(q, free),
    )


def chi_square_tail(q: float, degrees: int) -> float:
    """P(chi^2 > q) for whole degrees >= 1, by the finite sums of Abramowitz and Stegun 26.4.4 and 26.4.5."""
    if q <= 0:
        return 1.0
    half = q / 2
    powers = [degrees % 2 / 2 + i for i in range(degrees // 2)]
    # by logarithms: exp(-half) and the powers leave the range of a float long before their product does
    terms = (math.exp(power * math.log(half) - math.lgamma(power + 1) - half) for power in powers)
    return min(1.0, (math.erfc(math.sqrt(half)) if degrees % 2 else 0.0) + math.fsum(terms))


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return math.fsum(v * w for v, w in zip(values, weights, strict=True)) / math.fsum(weights)
