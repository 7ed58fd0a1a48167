"""How much values vary by chance: the noise of a task, pooled robustly over recipes and authors.

Each recipe that one author ran on two or more seeds gives a sample variance. Variances differ between recipes (measured
on the built-in task: a tuned recipe has 1.7 times the deviation of the naive one), a recipe near divergence may have a
hundred times the usual variance, and peers may lie. So nothing here is a plain mean:

- own trials are trusted but winsorised: no recipe counts with more than OUTLIER times the median variance;
- each peer gives one figure, the peers' figures give one weighted median, and that one is moved into a factor of
  PEER_RANGE around what prior and own trials say, and never weighs more than PEER_DEGREES;
- the task file's guess counts as PRIOR_DEGREES degrees of freedom.

The result is the usual pooled variance with its degrees of freedom, as in empirical-Bayes moderated t statistics
(Smyth 2004, "Linear models and empirical Bayes methods", section 3).

How much recipes differ in noise is learned too. In Smyth's model a recipe's variance is v d / chi^2_d, so that a sample
variance over v follows F with (its degrees, d) degrees of freedom. d is what the pooled noise is worth as a forecast of
one recipe's: few where recipes differ much. Of RECIPE_DEGREES the likeliest by the own spreads is taken; peers have no
say in it, since a high d makes a judge rash.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self, TypeAlias

PRIOR_DEGREES: Final = 3.0
OUTLIER: Final = 9.0
PEER_RANGE: Final = 4.0
PEER_DEGREES: Final = 6.0
RECIPE_DEGREES: Final = {1: 0.2, 2: 0.4, 3: 0.2, 4: 0.2}  # d: how likely it is before any trial
STEP: Final = 0.25  # of the logarithm of a variance
SCALES: Final = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4)  # v, over the pooled variance

Figure: TypeAlias = tuple[float, float]
"""One author's (variance, degrees)."""


@dataclass(frozen=True)
class Noise:
    """A standard deviation in the metric's unit, and how many degrees of freedom stand behind it.

    measured: the part of the degrees that comes from own trials rather than from the prior or from peers; recipe: what
    all this is worth, in degrees, as a forecast of one recipe's noise.
    """

    sd: float
    degrees: float
    measured: float = 0.0
    recipe: int = 2

    @property
    def variance(self) -> float:
        return self.sd * self.sd


@dataclass(frozen=True)
class PairedNoise:
    """The standard deviation of one seed's improvement (candidate against parent), with its degrees of freedom."""

    sd: float
    degrees: float


@dataclass(frozen=True)
class Spread:
    """The sample variance of one recipe's values over seeds, by one author."""

    variance: float
    degrees: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of at least two values. The sum is exact, so the order of the values does not matter."""
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        return cls(squares / (len(values) - 1), len(values) - 1)


def pool(prior_sd: float, own: Iterable[Spread], peers: Mapping[bytes, Sequence[Spread]]) -> Noise:
    """The noise of one trial. prior_sd: the task's guess, > 0; own: this node's spreads; peers: each author's."""
    figures = [figure(spreads, prior_sd) for _, spreads in sorted(peers.items()) if spreads]
    return with_peers(own_noise(prior_sd, list(own)), figures)


def own_noise(prior_sd: float, own: Sequence[Spread]) -> Noise:
    """The noise by the task's guess and this node's own spreads."""
    own_variance, own_degrees = figure(own, prior_sd)
    variance = _mean([(prior_sd**2, PRIOR_DEGREES), (own_variance, own_degrees)])
    return Noise(math.sqrt(variance), PRIOR_DEGREES + own_degrees, own_degrees, recipe_degrees(own, variance))


def with_peers(own: Noise, figures: Sequence[Figure]) -> Noise:
    """The own noise, moved towards what the peers' figures say."""
    if not figures:
        return own
    # an author's say is bounded, so that many records of one author do not outvote the others
    said = weighted_median([(variance, min(degrees, PEER_DEGREES)) for variance, degrees in figures])
    said = min(max(said, own.variance / PEER_RANGE), own.variance * PEER_RANGE)
    weight = min(PEER_DEGREES, math.fsum(degrees for _, degrees in figures) / 2)
    pooled = _mean([(own.variance, own.degrees), (said, weight)])
    return Noise(math.sqrt(pooled), own.degrees + weight, own.measured, own.recipe)


def figure(spreads: Sequence[Spread], prior_sd: float) -> Figure:
    """One author's variance, pooled over recipes, each cut at OUTLIER times the median of all of them and the prior."""
    if not spreads:
        return 0.0, 0.0
    weighed = [(spread.variance, float(spread.degrees)) for spread in spreads]
    limit = OUTLIER * weighted_median([*weighed, (prior_sd**2, PRIOR_DEGREES)])
    return _mean([(min(variance, limit), degrees) for variance, degrees in weighed]), math.fsum(d for _, d in weighed)


def recipe_degrees(spreads: Sequence[Spread], variance: float) -> int:
    """d, by the spreads of several recipes with that pooled variance (Smyth 2004)."""
    # rounded to STEP, which is little beside the chance in a sample variance, so that thousands are a few dozen
    seen = Counter(
        (round(math.log(spread.variance / variance) / STEP), spread.degrees)
        for spread in spreads
        if spread.variance > 0
    )

    def likelihood(d: int) -> float:
        return max(
            math.fsum(many * _log_density(math.exp(STEP * steps) / scale, n, d) for (steps, n), many in seen.items())
            for scale in SCALES
        )

    return max(RECIPE_DEGREES, key=lambda d: likelihood(d) + math.log(RECIPE_DEGREES[d]))


def _log_density(ratio: float, n: int, d: int) -> float:
    """Logarithm of the density of log F with (n, d) degrees of freedom, where F = ratio."""
    share = n * ratio / d
    return n / 2 * math.log(share) - (n + d) / 2 * math.log1p(share) - _log_beta(n, d)


@lru_cache(maxsize=256)
def _log_beta(n: int, d: int) -> float:
    """Logarithm of the beta function of n / 2 and d / 2."""
    return math.lgamma(n / 2) + math.lgamma(d / 2) - math.lgamma((n + d) / 2)


def paired(noise: Noise, parent: Spread | None = None) -> PairedNoise:
    """The noise of one seed's difference between candidate and parent: sqrt(2) times that of a trial.

    Running both on one seed helps only where the change leaves the random stream alone; for changes of init, positions
    or optimizer the measured correlation is zero or negative. A smaller deviation is therefore never assumed here: the
    judge learns it from the experiment's own differences. The parent's own spread, in full, moves the forecast of the
    candidate's noise, since a child mostly takes after its parent; it makes it no more certain, since the candidate may
    be as much noisier than its parent as recipes differ.
    """
    degrees = min(noise.degrees, noise.recipe)
    parts = [(noise.variance, degrees)]
    if parent is not None:
        parts.append((parent.variance, float(parent.degrees)))
    return PairedNoise(math.sqrt(2 * _mean(parts)), degrees)


def weighted_median(pairs: Sequence[tuple[float, float]]) -> float:
    """The value at which half of the weight is reached; of two such the larger. pairs: (value, weight), not empty."""
    ordered = sorted(pairs)
    half = math.fsum(weight for _, weight in ordered) / 2
    reached = 0.0
    for value, weight in ordered:
        reached += weight
        if reached > half:
            return value
    return ordered[-1][0]


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    return math.fsum(v * w for v, w in pairs) / math.fsum(w for _, w in pairs)
