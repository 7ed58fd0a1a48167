"""The verdict of an experiment, after every seed, with error rates that hold under such peeking.

Candidate and parent run on the same seeds; each gives one improvement (positive is better). After each of at most
`max_seeds` looks there are three questions, answered with a t statistic whose deviation is moderated: the noise known
before the experiment counts with its degrees of freedom, the experiment's own differences with theirs (Smyth 2004).

- Certain? Keep once the lower bound of the improvement lies above zero. The bound is a one-sided t bound at level
  ERROR / max_seeds, so by the union bound at most ERROR of the experiments without any effect are kept, however the
  looks depend on each other. This is the repeated confidence interval of Jennison and Turnbull (1989).
- Hopeless? Discard once a keep at the last look has become unlikely: given the mean so far, and with no prior on the
  effect, the mean at the last look is normal around it with variance s^2 (1/k - 1/K); give up below a chance of HOPE.
  This is stochastic curtailment (Lan, Simon and Halperin 1982). It can only lower the rate of false keeps.
- Neither? Run another seed. After the last one the verdict is `discard` if an improvement worth having is ruled out
  (one-sided bound at level ERROR), else `inconclusive`.

The published effect is shrunk towards zero by the factor 1 - 1/z^2 (positive part; z = mean / standard error), the
James-Stein form for one coordinate, in which the scale of the prior is read off the observation itself. It hardly moves
effects of many deviations, which are common here, and takes back the most from those that have just crossed the line,
where the winner's curse is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from agent.noise import Noise, PairedNoise
from agent.student import quantile

ERROR: Final = 0.05
HOPE: Final = 0.10
MAX_SEEDS: Final = 4
WORTH: Final = 0.5

Verdict = Literal["keep", "discard", "inconclusive"]


@dataclass(frozen=True)
class Judgement:
    """What is known after the seeds so far, in the metric's unit, positive is better.

    verdict: None asks for another seed; effect: the improvement, shrunk; low, high: bounds that hold at every look at
    once, each with probability 1 - ERROR.
    """

    verdict: Verdict | None
    effect: float
    low: float
    high: float


def smallest_worth(noise: Noise) -> float:
    """The smallest improvement worth having: half a deviation of one trial, which no user would notice."""
    return WORTH * noise.sd


def judge(
    improvements: Sequence[float], noise: PairedNoise, *, max_seeds: int = MAX_SEEDS, minimum: float
) -> Judgement:
    """Judge the improvements of the seeds run so far.

    improvements: one per seed, 1 to max_seeds of them; noise: of one of them, known before the experiment;
    minimum: the smallest improvement worth having, >= 0.
    """
    k = len(improvements)
    if not 1 <= k <= max_seeds:
        raise ValueError(f"{k} improvements; the judge looks after each of 1 to {max_seeds} seeds")
    mean = math.fsum(improvements) / k
    degrees = noise.degrees + k - 1
    squares = math.fsum((value - mean) ** 2 for value in improvements)
    sd = math.sqrt((noise.degrees * noise.sd**2 + squares) / degrees)
    error = sd / math.sqrt(k)
    reach = quantile(1 - ERROR / max_seeds, degrees) * error
    effect = _shrunk(mean, error)
    return Judgement(
        _verdict(mean, effect, sd, noise, k, max_seeds, minimum, reach), effect, mean - reach, mean + reach
    )


def _verdict(
    mean: float,
    effect: float,
    sd: float,
    noise: PairedNoise,
    k: int,
    max_seeds: int,
    minimum: float,
    reach: float,
) -> Verdict | None:
    if mean > reach and effect >= minimum:
        return "keep"
    if k == max_seeds:
        high = mean + quantile(1 - ERROR, noise.degrees + k - 1) * sd / math.sqrt(k)
        return "discard" if high < minimum else "inconclusive"
    last = quantile(1 - ERROR / max_seeds, noise.degrees + max_seeds - 1) * sd / math.sqrt(max_seeds)
    still = sd * math.sqrt(1 / k - 1 / max_seeds)
    hope = mean + quantile(1 - HOPE, noise.degrees + k - 1) * still
    return "discard" if hope < max(last, minimum) else None


def _shrunk(mean: float, error: float) -> float:
    return mean * (1 - (error / mean) ** 2) if abs(mean) > error else 0.0
