"""A response surface: what a trial of a recipe would give, modelled from trials that were recorded.

A Gaussian process (Rasmussen and Williams 2006, chapter 2) on y = log(value - floor), whose kernel is 1 + S + c S^2
with S(a, b) = sum over knobs of w_k g_k(a, b): a constant, effects of single knobs, and effects of pairs, the larger
the more both knobs matter (additive kernels: Duvenaud et al. 2011). g_k is 1 for equal choices and else 0, and a
squared exponential of the distance in shares of a number's range.

The value is the posterior mean and CAUTION posterior deviations more: a searcher ends where the mean is too good to be
true, which is where little was recorded. By that much the surface is right, on average, where searchers end
(`bench/surface.py`).

A knob that a recipe's program never reads counts as its default, and so changes nothing, to the last bit. Edited code
is not modelled. `bench/surface.py` makes the models that are in configs/surfaces.
"""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from trainer.errors import TrainerError
from trainer.knobs import Scalar
from trainer.recipe import Recipe, recipe_id, values
from trainer.schema import Frozen, Value
from trainer.task import Knob, Task

CAUTION: Final = 1.0
FOLDER: Final = Path(__file__).parent.parent / "configs" / "surfaces"

Array = NDArray[np.float64]


class SurfaceError(TrainerError):
    """There is no surface of a task, or it is of another version of it."""


class Kernel(Frozen):
    """weights: w of each knob; pairs: c; length: of the squared exponential, a share of a number's range."""

    weights: dict[str, float]
    pairs: float
    length: float


class Reading(Frozen):
    """What a program does with its knobs. only_if: knob -> (other knob, its values with which the first is read)."""

    only_if: dict[str, tuple[str, tuple[Value, ...]]]
    refused: tuple[dict[str, tuple[Value, ...]], ...]
    """Combinations with which it ends at once."""


class Model(Frozen):
    """A fitted surface. offset: y far from every point; sd: of one trial over seeds, in the metric's unit.

    points: knob values of recorded recipes; strengths: what each adds to the mean, for a kernel of 1; unexplained: the
    variance of each one's y that the kernel does not explain.
    """

    task: str
    fingerprint: str
    floor: float
    offset: float
    sd: float
    kernel: Kernel
    reading: Reading
    points: tuple[dict[str, Value], ...]
    strengths: tuple[float, ...]
    unexplained: tuple[float, ...]


def load_model(task: Task) -> Model:
    """The model of a built-in task. Raises SurfaceError."""
    path = FOLDER / f"{task.name}.json"
    try:
        model = Model.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SurfaceError(f"trials of {task.name} cannot be modelled: none were recorded in {path}") from None
    except ValidationError as error:
        raise SurfaceError(f"{path} is damaged: {error}") from error
    if model.fingerprint != task.fingerprint_hex:
        raise SurfaceError(f"{path} models another {task.name}: its program, data or budget have changed since")
    return model


class Surface:
    """Answers for trials of a task. Raises ValueError for a model of other knobs than the task's."""

    def __init__(self, task: Task, model: Model) -> None:
        if list(model.kernel.weights) != list(task.knobs):
            raise ValueError(f"the model is of other knobs than {task.name}'s")
        self._task = task
        self._model = model
        self._points = coordinates(task, model.reading, [Recipe(point) for point in model.points])
        self._strengths = np.array(model.strengths)
        similar = similarity(task, self._points, self._points, model.kernel.length)
        self._precision = np.linalg.inv(covariance(model.kernel, similar) + np.diag(model.unexplained))
        self._means: dict[bytes, float | None] = {}

    def mean(self, recipe: Recipe) -> float | None:
        """The value over all seeds, in the metric's unit; None where the program refuses the recipe."""
        key = recipe_id(recipe)
        if key not in self._means:
            self._means[key] = self._mean(recipe)
        return self._means[key]

    def _mean(self, recipe: Recipe) -> float | None:
        model = self._model
        knobs = values(self._task, recipe)
        if any(all(knobs[name] in of for name, of in refused.items()) for refused in model.reading.refused):
            return None
        here = coordinates(self._task, model.reading, [recipe])
        near = covariance(model.kernel, similarity(self._task, here, self._points, model.kernel.length))[0]
        alone = covariance(model.kernel, similarity(self._task, here, here, model.kernel.length))[0, 0]
        deviation = math.sqrt(max(0.0, float(alone - near @ self._precision @ near)))
        return model.floor + math.exp(model.offset + float(near @ self._strengths) + CAUTION * deviation)

    def value(self, recipe: Recipe, seed: int) -> float | None:
        """One trial: the mean and the luck of a seed, the same each time. None where the program refuses the recipe."""
        mean = self.mean(recipe)
        if mean is None:
            return None
        read = coordinates(self._task, self._model.reading, [recipe]).tobytes()
        digest = hashlib.sha256(read + seed.to_bytes(8, "big")).digest()
        return mean + random.Random(digest).gauss(0, self._model.sd)


def coordinates(task: Task, reading: Reading, recipes: Sequence[Recipe]) -> Array:
    """(recipes, knobs): where a number lies in its range, which one a choice is; the default's for a knob not read."""
    rows = []
    for recipe in recipes:
        knobs = values(task, recipe)
        rows.append([_coordinate(knob, _read(knob, knobs, reading)) for knob in task.knobs.values()])
    return np.array(rows)


def similarity(task: Task, a: Array, b: Array, length: float) -> Array:
    """g: (knobs, rows of a, rows of b), each in [0, 1]."""
    apart = a.T[:, :, None] - b.T[:, None, :]
    numeric = np.array([knob.low is not None for knob in task.knobs.values()])[:, None, None]
    return np.where(numeric, np.exp(-0.5 * (apart / length) ** 2), apart == 0)


def covariance(kernel: Kernel, similar: Array) -> Array:
    """1 + S + c S^2 of similarities."""
    single = np.tensordot(np.array(list(kernel.weights.values())), similar, axes=1)
    return np.asarray(1 + single + kernel.pairs * single**2)


def _read(knob: Knob, knobs: Mapping[str, Scalar], reading: Reading) -> Scalar:
    other, wanted = reading.only_if.get(knob.name, ("", ()))
    return knobs[knob.name] if not other or knobs[other] in wanted else knob.default


def _coordinate(knob: Knob, value: Scalar) -> float:
    if knob.low is None or knob.high is None:
        return float(value) if knob.type == "bool" else float(knob.choices.index(value))
    low, high, here = (math.log(x) if knob.log else x for x in (knob.low, knob.high, float(value)))
    return (here - low) / (high - low)
