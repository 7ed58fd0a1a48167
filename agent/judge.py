"""The verdict of an experiment, after every seed, with error rates that hold under such peeking.

Candidate and parent run on the same seeds; each gives one improvement (positive is better). After each of at most
MAX_SEEDS looks the questions are answered with a t statistic whose deviation is moderated: the noise known before the
experiment counts with its degrees of freedom, the experiment's own differences with theirs (Smyth 2004).

- Certainly better? Keep once the lower bound of the improvement lies above zero and the effect is worth its price, on
  LEAST_SEEDS seeds or more: recipes of a high learning rate were measured to vary twenty times as much as others, and
  one seed cannot tell. The bound is a one-sided t bound at level ERROR / MAX_SEEDS, so by the union bound at most ERROR
  of the experiments without any effect are kept, however the looks depend on each other: the repeated confidence
  interval of Jennison and Turnbull (1989). `bench/judge.py` says what is kept where recipes are noisier than was known.
- Nothing at all? Values that are the same to the last bit on LEAST_SEEDS seeds are no matter of noise.
- Hopeless? Give up once a keep at the last look has become unlikely: given the mean so far, and with no prior on the
  effect, the mean at the last look is normal around it with variance s^2 (1/k - 1/K); give up below a chance of HOPE.
  This is stochastic curtailment (Lan, Simon and Halperin 1982). It can only lower the rate of false keeps.
- Otherwise: another seed. After the last one the verdict is `discard` if an improvement worth having is ruled out
  (one-sided bound at level DOUBT), else `inconclusive`.

A candidate that is simpler than its parent (`agent.complexity`) need not be better. It is kept as `simpler` if a
worsening by `minimum` or more is ruled out: a one-sided test of non-inferiority at level DOUBT, made once, after the
last seed, so that peeking does not enter. Of changes that make things worse by `minimum` or more, at most DOUBT are so
kept; equal ones are no error, but what was wanted. Giving up means `discard` only where it is worse, else
`inconclusive`.

The published effect is shrunk towards zero by the factor 1 - 1/z^2 (positive part; z = mean / standard error), the
James-Stein form for one coordinate, in which the scale of the prior is read off the observation itself. It hardly moves
effects of many deviations, which are common here, and takes back the most from those that have just crossed the line,
where the winner's curse is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.entries import Verdict
from agent.noise import Noise, PairedNoise
from agent.student import quantile

ERROR: Final = 0.04
DOUBT: Final = 0.05
HOPE: Final = 0.10
MAX_SEEDS: Final = 6
LEAST_SEEDS: Final = 2
SAME_SEEDS: Final = 3
WORTH: Final = 0.5


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


def judge(improvements: Sequence[float], noise: PairedNoise, *, minimum: float, simpler: bool = False) -> Judgement:
    """Judge the improvements of the seeds run so far.

    improvements: one per seed, 1 to MAX_SEEDS of them; noise: of one of them, known before the experiment;
    minimum: the smallest improvement worth having, >= 0; simpler: whether the candidate is simpler than its parent.
    """
    k = len(improvements)
    if not 1 <= k <= MAX_SEEDS:
        raise ValueError(f"{k} improvements; the judge looks after each of 1 to {MAX_SEEDS} seeds")
    mean = math.fsum(improvements) / k
    degrees = noise.degrees + k - 1
    squares = math.fsum((value - mean) ** 2 for value in improvements)
    sd = math.sqrt((noise.degrees * noise.sd**2 + squares) / degrees)
    error = sd / math.sqrt(k)
    reach = quantile(1 - ERROR / MAX_SEEDS, degrees) * error
    effect = _shrunk(mean, error)
    verdict: Verdict | None
    if mean > reach and effect >= minimum:
        verdict = "keep" if k >= LEAST_SEEDS else None
    elif k >= LEAST_SEEDS and not any(improvements):
        verdict = "simpler" if simpler else "discard"
    elif k < MAX_SEEDS and mean + _luck(sd, k, noise) >= _goal(sd, noise, minimum, simpler):
        verdict = None
    else:
        doubt = quantile(1 - DOUBT, degrees) * error
        if k == MAX_SEEDS and simpler and mean - doubt > -minimum:
            verdict = "simpler"
        elif k < MAX_SEEDS and not simpler:
            verdict = "discard"
        else:
            verdict = "discard" if mean + doubt < (0 if simpler else minimum) else "inconclusive"
    return Judgement(verdict, effect, mean - reach, mean + reach)


def ignores_seed(candidate: Sequence[float], parent: Sequence[float]) -> bool | None:
    """Whether a candidate gives one value whatever the seed, where its parent does not; None if more seeds must tell.

    A program that sets its own seed is its parent with a lucky draw, as often as its author cared to draw, and the
    noise would say that it has none. Values that are the same on SAME_SEEDS seeds are its sign; metrics in coarse steps
    may agree on fewer.
    """
    if len(set(candidate)) > 1 or len(set(parent)) == 1:
        return False
    return True if len(candidate) >= SAME_SEEDS else None


def _luck(sd: float, k: int, noise: PairedNoise) -> float:
    """By how much the mean may yet rise until the last look, but for a chance of HOPE."""
    return quantile(1 - HOPE, noise.degrees + k - 1) * sd * math.sqrt(1 / k - 1 / MAX_SEEDS)


def _goal(sd: float, noise: PairedNoise, minimum: float, simpler: bool) -> float:
    """The mean that would be kept at the last look, if the deviation stays as it is."""
    level, worst = (DOUBT, -minimum) if simpler else (ERROR / MAX_SEEDS, 0.0)
    reach = quantile(1 - level, noise.degrees + MAX_SEEDS - 1) * sd / math.sqrt(MAX_SEEDS)
    return worst + reach if simpler else max(reach, minimum)


def _shrunk(mean: float, error: float) -> float:
    return mean * (1 - (error / mean) ** 2) if abs(mean) > error else 0.0
