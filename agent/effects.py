"""What is known of a knob's value: the effects that experiments saw, pooled over authors."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from agent.evidence import Experiment, Moment


@dataclass(frozen=True)
class Effect:
    """What one experiment saw of a knob's value, in the metric's unit, positive is better.

    interval: as published, where it was; seeds: pairs of values; share: 1 / number of knobs that were changed together.
    """

    moment: Moment
    author: bytes
    effect: float
    interval: tuple[float, float] | None
    seeds: int
    share: float

    @property
    def weight(self) -> float:
        return self.seeds * self.share


@dataclass(frozen=True)
class PooledEffect:
    """A knob's value over all experiments: mean, sd of that mean, summed weight, crashes, and what it is made of."""

    mean: float
    sd: float
    weight: float
    crashes: int
    observed: tuple[Effect, ...]


def pool_effects(tests: Iterable[Experiment], trial_variance: float) -> PooledEffect:
    """Pool experiments that set one knob to one value. trial_variance: of one trial over seeds.

    An author's effects are averaged first (by weight), then the authors, so that nobody counts by the number of their
    records. The mean's deviation is the larger of what chance and what the authors' disagreement explains. Where
    several knobs were changed together, each is credited with the whole effect at a part of the weight.
    """
    ordered = sorted(tests, key=lambda test: test.moment)
    crashes = sum(test.verdict == "crash" for test in ordered)
    observed = tuple(
        Effect(test.moment, test.author, test.effect, test.result.interval, test.seeds, 1 / len(test.change))
        for test in ordered
        if test.effect is not None
    )
    if not observed:
        return PooledEffect(0.0, math.inf, 0.0, crashes, ())
    by_author: dict[bytes, list[Effect]] = defaultdict(list)
    for seen in observed:
        by_author[seen.author].append(seen)
    means = [
        math.fsum(seen.effect * seen.weight for seen in theirs) / math.fsum(seen.weight for seen in theirs)
        for theirs in by_author.values()
    ]
    weight = math.fsum(seen.weight for seen in observed)
    disagreement = statistics.variance(means) / len(means) if len(means) > 1 else 0.0
    chance = 2 * trial_variance / weight
    return PooledEffect(statistics.fmean(means), math.sqrt(max(chance, disagreement)), weight, crashes, observed)
