"""Quantiles of Student's t distribution, which the standard library lacks."""

import math
from functools import lru_cache

MANY_DEGREES = 400  # beyond, t and the normal distribution agree to three digits


def cdf(t: float, degrees: int) -> float:
    """P(T <= t) for whole degrees of freedom >= 1, by the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan2(t, math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(1 + odd, degrees, 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    within = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + within / 2


@lru_cache(maxsize=1024)
def quantile(probability: float, degrees: float) -> float:
    """The t with P(T <= t) = probability, 0.5 <= probability < 1.

    Degrees >= 1 that are not whole are rounded down, which errs towards the wider distribution.
    """
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ValueError(f"no quantile for probability {probability} and {degrees} degrees")
    whole = min(int(degrees), MANY_DEGREES)
    low, high = 0.0, 1.0
    while cdf(high, whole) < probability:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle, whole) < probability else (low, middle)
    return (low + high) / 2
