"""Where in a knob's range to look next: Optuna's tree-structured Parzen estimator, fed with what is known of the knob.

TPE (Bergstra et al. 2011) proposes full vectors of a search space; here a change sets one knob, sometimes a few, on top
of a recipe, so which knob is decided elsewhere and Optuna answers for one knob at a time. Its trials are the
values that anyone tried and their heights: the improvement relative to each other, put on one scale by `heights`.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.span import Span
from trainer.knobs import Scalar
from trainer.task import Knob

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SWEEPS: Final = 30
MOST_VALUES: Final = 40


@dataclass(frozen=True)
class Move:
    """A knob's step from one value to another and the improvement that was seen; None where the trial crashed."""

    old: Scalar
    new: Scalar
    effect: float | None
    weight: float = 1.0


def heights(moves: Sequence[Move], default: Scalar) -> dict[Scalar, float]:
    """How good each value is, in the metric's unit; the default is about zero.

    Moves start from different values, so their effects are differences of heights: solved by least squares with a
    slight pull to zero (Gauss-Seidel sweeps). Values that crashed and never worked lie below all others.
    """
    links: dict[Scalar, list[tuple[Scalar, float, float]]] = defaultdict(list)
    for move in moves:
        if move.effect is not None:
            links[move.new].append((move.old, move.effect, move.weight))
            links[move.old].append((move.new, -move.effect, move.weight))
    level = dict.fromkeys([default, *links], 0.0)
    for _ in range(SWEEPS):
        for value, edges in links.items():
            if value != default:
                total = sum(weight * (level[other] + effect) for other, effect, weight in edges)
                level[value] = total / (0.05 + sum(weight for _, _, weight in edges))
    crashed = {move.new for move in moves if move.effect is None} - level.keys()
    spread = statistics.pstdev(level.values())
    return level | dict.fromkeys(sorted(crashed, key=str), min(level.values()) - spread)


def sample(knob: Knob, known: Mapping[Scalar, float], seed: int) -> Scalar:
    """A promising value of the knob by TPE, numbers readable. known: height of each tried value, higher is better."""
    import optuna  # takes a third of a second, which a node that only reads should not pay

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=0))
    space = {knob.name: distribution(knob)}
    told = sorted(known.items(), key=lambda pair: -pair[1])[:MOST_VALUES]
    trials = [
        optuna.trial.create_trial(params={knob.name: value}, distributions=space, value=height)
        for value, height in told
    ]
    # TPE takes the best tenth of the trials for good ones: of a few values that would be one, and its neighbours would
    # be shunned. Trials that lie below all and say nothing of this knob let the best third of the values be good.
    silent = optuna.trial.create_trial(value=min(known.values(), default=0.0) - 1)
    study.add_trials(trials + [silent] * (10 * math.ceil(len(told) / 3) - len(told)))
    value: Scalar = study.ask(space).params[knob.name]
    span = Span.of(knob)
    return value if span is None else span.readable(float(value))


def distribution(knob: Knob) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    span = Span.of(knob)
    if span is None:
        return CategoricalDistribution(options(knob))
    if span.whole:
        return IntDistribution(int(span.low), int(span.high), log=span.log)
    return FloatDistribution(span.low, span.high, log=span.log)


def options(knob: Knob) -> tuple[Scalar, ...]:
    """The values of a bool or choice knob."""
    return knob.choices if knob.type == "choice" else (False, True)
