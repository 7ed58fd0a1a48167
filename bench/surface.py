"""Fits the response surface of `story-cpu` to the recorded trials, and says how good it is on trials it has not seen.

    python -m bench.surface [--keep]

Weights of the kernel are those of the greatest posterior density, with a wide log-normal prior on each, so that a knob
of which little was recorded is taken for weak. They are fitted anew without each tenth of the recipes, which are then
predicted. With --keep the model of all recipes is written to configs/surfaces.
"""

import argparse
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.stats import spearmanr

from agent.noise import weighted_median
from bench.table import Table
from trainer.recipe import Recipe
from trainer.surface import (
    FOLDER,
    Array,
    Kernel,
    Model,
    Reading,
    Surface,
    coordinates,
    covariance,
    similarity,
)
from trainer.task import Task, load_task

READING: Final = Reading(
    only_if={
        "INIT_STD": ("INIT", ("normal",)),
        "ROPE_BASE": ("POSITIONS", ("rope",)),
        "SHORT_WINDOW": ("WINDOW_PATTERN", ("SL", "SSL", "SSSL")),
        "UNEMBEDDING_LR": ("TIED", (False,)),
        "CURRICULUM_START": ("CURRICULUM", ("length", "rarity")),
        "CURRICULUM_END": ("CURRICULUM", ("length", "rarity")),
    },
    refused=({"PACKING": ("best_fit",), "CURRICULUM": ("length", "rarity")},),
)
"""Read off trainer/gpt/train.py."""

LENGTHS: Final = (0.3, 0.6)
WEIGHT: Final = (0.01, 2.0)  # median and spread (of the logarithm) of a knob's weight, before anything is seen
PAIRS: Final = (0.3, 1.5)
JITTER: Final = (0.01, 0.7)  # deviation of y that the kernel does not explain
WORST: Final = 4.0  # what is worse counts as this: how far a trial diverged says nothing of other recipes
FOLDS: Final = 10
ENDS: Final = ("ends", "found")  # streams of what searchers ended with
MODELS: Final = ("mean", "nearest", "single knobs", "single knobs and pairs")


@dataclass(frozen=True)
class Data:
    """Recipes, each with the mean y over its seeds, and the variance of that mean by the seeds' luck."""

    recipes: Sequence[Recipe]
    y: Array
    variance: Array

    def part(self, chosen: Sequence[int]) -> "Data":
        return Data([self.recipes[i] for i in chosen], self.y[chosen], self.variance[chosen])


def noise_sd(table: Table) -> float:
    """The deviation of a trial over seeds: the median over recipes with three seeds and more, weighted by the seeds."""
    spreads = [(float(np.std(found, ddof=1)), len(found) - 1.0) for found in _values(table).values() if len(found) >= 3]
    return weighted_median(spreads) if spreads else table.task.metric.noise


def data_of(table: Table, sd: float) -> Data:
    """What the surface is fitted to."""
    floor = table.task.metric.floor or 0.0
    means = {recipe: (fmean(found), len(found)) for recipe, found in _values(table).items()}
    above = np.array([mean - floor for mean, _ in means.values()])
    seeds = np.array([count for _, count in means.values()])
    return Data(list(means), np.log(above), (sd / above) ** 2 / seeds)


def _values(table: Table) -> dict[Recipe, list[float]]:
    found: dict[Recipe, list[float]] = defaultdict(list)
    for row in table.rows:
        if row.value is not None:
            found[row.recipe].append(min(row.value, WORST))
    return found


def fit(task: Task, data: Data, sd: float, *, pairs: bool = True) -> Model:
    """The model of greatest posterior density, over the lengths that are tried."""
    points = coordinates(task, READING, data.recipes)
    offset = float(data.y.mean())
    found = [_fit(task, points, data, offset, length, pairs) for length in LENGTHS]
    _, kernel, strengths, unexplained = min(found, key=lambda each: each[0])
    return Model(
        task=task.name,
        fingerprint=task.fingerprint_hex,
        floor=task.metric.floor or 0.0,
        offset=offset,
        sd=sd,
        kernel=kernel,
        reading=READING,
        points=tuple(dict(recipe.knobs) for recipe in data.recipes),
        strengths=tuple(float(f"{strength:.9g}") for strength in strengths),
        unexplained=tuple(float(f"{variance:.9g}") for variance in unexplained),
    )


def _fit(
    task: Task, points: Array, data: Data, offset: float, length: float, pairs: bool
) -> tuple[float, Kernel, Array, Array]:
    """(negative log posterior density, kernel, strengths, variance not explained) for one length."""
    similar = similarity(task, points, points, length)
    y = data.y - offset
    middle = np.log([WEIGHT[0]] * len(task.knobs) + [PAIRS[0] if pairs else 1e-9, JITTER[0] ** 2])
    spread = np.array([WEIGHT[1]] * len(task.knobs) + [PAIRS[1] if pairs else 1e-3, 2 * JITTER[1]])

    def kernel_of(theta: Array) -> Kernel:
        weights = {name: float(w) for name, w in zip(task.knobs, np.exp(theta[:-2]), strict=True)}
        return Kernel(weights=weights, pairs=float(np.exp(theta[-2])), length=length)

    def loss(theta: Array) -> tuple[float, Array]:
        weights, c, jitter = np.exp(theta[:-2]), np.exp(theta[-2]), np.exp(theta[-1])
        single = np.tensordot(weights, similar, axes=1)
        covered = 1 + single + c * single**2 + np.diag(data.variance + jitter)
        inverse = np.linalg.inv(covered)
        alpha = inverse @ y
        # d loss / d K = (K^-1 - alpha alpha^T) / 2 (Rasmussen and Williams 2006, equation 5.9)
        outer = (inverse - np.outer(alpha, alpha)) / 2
        by_single = outer * (1 + 2 * c * single)
        gradient = np.empty_like(theta)
        gradient[:-2] = weights * np.tensordot(similar, by_single, axes=2)
        gradient[-2] = c * np.sum(outer * single**2)
        gradient[-1] = jitter * np.trace(outer)
        away = (theta - middle) / spread
        value = (y @ alpha + np.linalg.slogdet(covered)[1] + away @ away) / 2
        return float(value), gradient + away / spread

    bounds = list(zip(middle - 4 * spread, middle + 4 * spread, strict=True))
    best = minimize(loss, middle, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200})
    kernel = kernel_of(best.x)
    unexplained = data.variance + np.exp(best.x[-1])
    strengths = np.linalg.solve(covariance(kernel, similar) + np.diag(unexplained), y).astype(np.float64)
    return float(best.fun), kernel, strengths, unexplained


def predict(task: Task, model: str, seen: Data, sd: float, recipes: Sequence[Recipe]) -> Array:
    """y of recipes by one of MODELS."""
    if model == "mean":
        return np.full(len(recipes), seen.y.mean())
    if model == "nearest":
        return np.array([seen.y[_nearest(task, seen.recipes, recipe)] for recipe in recipes])
    surface = Surface(task, fit(task, seen, sd, pairs="pairs" in model))
    return np.array([math.log((surface.mean(recipe) or math.inf) - (task.metric.floor or 0.0)) for recipe in recipes])


def _nearest(task: Task, recipes: Sequence[Recipe], recipe: Recipe) -> int:
    """The recipe that differs in the fewest knobs, or in numbers by less."""
    here = coordinates(task, READING, [recipe])
    return int(np.argmax(similarity(task, here, coordinates(task, READING, recipes), 0.3).sum(axis=0)[0]))


def cross_validate(task: Task, data: Data, sd: float) -> dict[str, Array]:
    """Model -> predicted y of every recipe, from the nine tenths that it is not in."""
    order = random.Random(0).sample(range(len(data.y)), len(data.y))
    predicted = {model: np.empty(len(data.y)) for model in MODELS}
    for fold in range(FOLDS):
        hidden = order[fold::FOLDS]
        seen = data.part([i for i in order if i not in set(hidden)])
        for model, into in predicted.items():
            into[hidden] = predict(task, model, seen, sd, [data.recipes[i] for i in hidden])
    return predicted


def show_ends(task: Task, table: Table, data: Data, sd: float) -> None:
    """What searchers ended with, for real, against a surface that was fitted without all such recipes."""
    ends = {row.recipe for row in table.rows if row.stream in ENDS}
    hidden = [i for i, recipe in enumerate(data.recipes) if recipe in ends]
    seen = data.part([i for i, recipe in enumerate(data.recipes) if recipe not in ends])
    said = predict(task, MODELS[-1], seen, sd, [data.recipes[i] for i in hidden])
    real, floor = data.y[hidden], task.metric.floor or 0.0
    off = np.exp(said) / np.exp(real)
    print(
        f"where searchers ended ({len(hidden)} recipes, none of them seen): modelled over real, above the floor, "
        f"{np.exp(np.log(off).mean()):.2f} on average, {np.quantile(off, 0.1):.2f} to {np.quantile(off, 0.9):.2f} "
        f"for 80 %; rank correlation {spearmanr(said, real).statistic:.2f}, typical error "
        f"{np.median(np.abs(np.exp(said) - np.exp(real)) / (floor + np.exp(real))):.1%} of the value"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="write the model of all recipes to configs/surfaces")
    told = parser.parse_args()
    task = load_task("story-cpu")
    table = Table.load(task)
    sd = noise_sd(table)
    data = data_of(table, sd)
    print(f"recorded: {len(table.rows)} trials of {len(data.y)} recipes with a value; noise {sd:.4f}")
    best = min(table.means().items(), key=lambda pair: pair[1])
    print(f"best: {best[1]:.4f} {dict(best[0].knobs)}")
    floor = task.metric.floor or 0.0
    show_ends(task, table, data, sd)
    for model, y in cross_validate(task, data, sd).items():
        left = 1 - np.sum((y - data.y) ** 2) / np.sum((data.y - data.y.mean()) ** 2)
        rank = spearmanr(y, data.y).statistic
        good = data.y <= np.median(data.y)
        rank_good = spearmanr(y[good], data.y[good]).statistic
        off = np.abs(np.exp(y) - np.exp(data.y)) / (floor + np.exp(data.y))
        print(
            f"{model}, out of sample: R2 {left:.2f}, rank correlation {rank:.2f} (better half {rank_good:.2f}), "
            f"typical error {np.median(off):.1%} of the value"
        )
    fitted = fit(task, data, sd)
    ordered = sorted(fitted.kernel.weights.items(), key=lambda pair: -pair[1])
    print("strongest knobs:", ", ".join(f"{name} {weight:.3f}" for name, weight in ordered[:12]))
    print(f"length {fitted.kernel.length}, pairs {fitted.kernel.pairs:.2f}")
    if told.keep:
        path = FOLDER / f"{task.name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(fitted.model_dump_json(indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
