"""What is believed of every knob's values, from all experiments at once, and one draw of what may be true.

The improvement from one recipe to another is taken for the sum of what each knob that differs brings: an additive
Gaussian process (Duvenaud et al. 2011) on differences, so experiments that change several knobs count too. A number's
values hang together over LENGTH of its range; choices are each on their own. How much a knob matters is seen from the
steps that were made on it.

`draw` gives one function from the posterior (Thompson sampling), by Matheron's rule: a draw from the prior, corrected
by what it gets wrong (Wilson et al. 2020). What is promising or unknown comes out high now and then, what is known to
be bad never does. `mean` is what such draws are spread around.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

from agent.span import Span, options
from trainer.knobs import Scalar
from trainer.task import Knob

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

PLACES: Final = 17  # in a number's range
LENGTH: Final = 0.25  # share of the range over which a number's values hang together
FIRST_SCALE: Final = 8.0  # deviations by which a value of a knob is thought to matter, for a prior weight of 1
HELD: Final = 3.0  # experiments that this thought is worth
LARGEST: Final = 30.0  # deviations that count: a step into disaster says little of the rest

# For matrices of this size threads only wait for each other, on a busy machine fifty times as long as the work takes.
# It counts for the whole process: numpy, which nothing else here asks for much, reads it when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@dataclass(frozen=True)
class Step:
    """An experiment: knob -> (old value, new value), the improvement in deviations of one trial, and its variance."""

    moved: Mapping[str, tuple[Scalar, Scalar]]
    improvement: float
    variance: float


def places(knob: Knob) -> int:
    """How many places a knob's values fall into: PLACES for a number, each value for a choice."""
    return len(options(knob)) if Span.of(knob) is None else PLACES


def place(knob: Knob, value: Scalar) -> int:
    """Which place a value falls into."""
    span = Span.of(knob)
    return options(knob).index(value) if span is None else round(span.position(value) * (PLACES - 1))


def draw(
    knobs: Mapping[str, Knob], device_class: str, steps: Sequence[Step], seed: int, count: int = 1
) -> list[dict[str, Sequence[float]]]:
    """So many possible truths: knob -> how good each of its places is, in deviations, up to a constant."""
    import numpy as np  # not for a node that only reads

    rng = np.random.default_rng(seed)
    parts, columns, total = _layout(knobs, device_class, steps)
    drawn = rng.standard_normal((total, count))
    if steps:
        variances = np.array([step.variance for step in steps])
        luck = rng.standard_normal((len(steps), count)) * np.sqrt(variances)[:, None]
        drawn = _corrected(knobs, steps, parts, columns, drawn, luck)
    heights = {name: parts[name] @ drawn[columns[name]] for name in knobs}
    return [{name: heights[name][:, number].tolist() for name in knobs} for number in range(count)]


def mean(knobs: Mapping[str, Knob], device_class: str, steps: Sequence[Step]) -> dict[str, Sequence[float]]:
    """What is most likely: knob -> how good each of its places is, in deviations, up to a constant."""
    import numpy as np

    parts, columns, total = _layout(knobs, device_class, steps)
    weights = np.zeros((total, 1))
    if steps:
        weights = _corrected(knobs, steps, parts, columns, weights, np.zeros((len(steps), 1)))
    return {name: (parts[name] @ weights[columns[name]])[:, 0].tolist() for name in knobs}


def _layout(
    knobs: Mapping[str, Knob], device_class: str, steps: Sequence[Step]
) -> tuple[dict[str, "Array"], dict[str, slice], int]:
    """What heights are made of: independent parts, so that a draw from the prior is a draw of these.

    A knob's (places, parts), where its parts are among all, and how many these are.
    """
    scales = _scales(knobs, device_class, steps)
    parts = {name: scales[name] * _parts(places(knob), Span.of(knob) is not None) for name, knob in knobs.items()}
    columns, end = {}, 0
    for name, part in parts.items():
        columns[name] = slice(end, end + part.shape[1])
        end += part.shape[1]
    return parts, columns, end


def _corrected(
    knobs: Mapping[str, Knob],
    steps: Sequence[Step],
    parts: Mapping[str, "Array"],
    columns: Mapping[str, slice],
    drawn: "Array",
    luck: "Array",
) -> "Array":
    """Draws of the parts, (parts, draws), moved by what they get wrong of the steps. luck: (steps, draws).

    Solved for the parts, a few dozen, and not for the steps, which are hundreds (Woodbury's identity).
    """
    import numpy as np

    settings = {(name, value) for step in steps for name, both in step.moved.items() for value in both}
    places_of = {(name, value): place(knobs[name], value) for name, value in settings}
    design = np.zeros((len(steps), len(drawn)))
    for row, step in enumerate(steps):
        for name, (old, new) in step.moved.items():
            design[row, columns[name]] = parts[name][places_of[name, new]] - parts[name][places_of[name, old]]
    wrong = np.array([step.improvement for step in steps])[:, None] - design @ drawn - luck
    weighed = design.T / np.array([step.variance for step in steps])
    corrected: Array = drawn + np.linalg.solve(np.eye(len(drawn)) + weighed @ design, weighed @ wrong)
    return corrected


@cache
def _parts(count: int, numeric: bool) -> "Array":
    """(places, parts): a square root of the covariance of the places' heights, for a scale of 1."""
    import numpy as np

    if not numeric:
        return np.eye(count)
    at = np.arange(count) / (count - 1)
    sizes, vectors = np.linalg.eigh(np.exp(-0.5 * ((at[:, None] - at) / LENGTH) ** 2))
    matter = sizes > 1e-4
    return np.asarray(vectors[:, matter] * np.sqrt(sizes[matter]))


def _scales(knobs: Mapping[str, Knob], device_class: str, steps: Sequence[Step]) -> dict[str, float]:
    """How much each knob is thought to matter, in deviations."""
    seen: dict[str, list[float]] = {name: [] for name in knobs}
    for step in steps:
        for name in step.moved:
            # a step is the difference of two heights, and shared by what moved
            seen[name].append(min(abs(step.improvement), LARGEST) ** 2 / len(step.moved) / 2)
    return {
        name: math.sqrt(
            (HELD * FIRST_SCALE**2 * knob.weight(device_class) + math.fsum(seen[name])) / (HELD + len(seen[name]))
        )
        for name, knob in knobs.items()
    }
