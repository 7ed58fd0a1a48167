"""Runs real trials of `story-cpu` and adds them to the recorded table, from which the response surface is made.

    python -m bench.record [--minutes M] [--file TABLE]

What is run is a mixture, so that the surface is right where searchers go: seeds of a few recipes for the noise, single
changes of the baseline, changes of a few knobs around the best recipes so far, what a node's own search and Optuna's
TPE ask for, and uniform random recipes. Which trial comes next depends on the table alone: stopped at any time, it
goes on where it was. A budget of FLOPs makes the values independent of the machine's speed.
"""

import argparse
import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias, cast

import trio

from agent.span import Span, options
from bench.search import repeat
from bench.searchers import Searcher, random_search, searching, tpe, uniform_changes, uniform_value
from bench.surface import data_of, fit, noise_sd
from bench.table import Row, Table
from node.home import data_cache
from node.simulation.modelled import modelled_world
from node.simulation.world import World
from trainer.data import prepare_data
from trainer.errors import SandboxError
from trainer.knobs import Scalar
from trainer.recipe import Recipe, make_recipe, materialise
from trainer.sandbox import find_sandbox
from trainer.task import Knob, load_task
from trainer.trial import run_trial
from trainer.worker import open_worker

Ask: TypeAlias = tuple[Recipe, int]

GOOD: Final[dict[str, Scalar]] = {
    "INIT": "normal", "ZERO_PROJECTIONS": True, "NORM": "rmsnorm", "POSITIONS": "rope", "ACTIVATION": "relu2",
    "OPTIMIZER": "muon", "MATRIX_LR": 0.01, "EMBEDDING_LR": 0.01, "UNEMBEDDING_LR": 0.003, "BETA2": 0.95,
    "WARMDOWN": 0.5, "BATCH_SIZE": 4,
}  # fmt: skip
FOR_NOISE: Final[list[dict[str, Scalar]]] = [
    {},
    GOOD,
    {"INIT": "normal", "POSITIONS": "rope", "MATRIX_LR": 0.003},
    {"OPTIMIZER": "muon", "MATRIX_LR": 0.02, "ZERO_PROJECTIONS": True},
    {"WIDTH": 64, "DEPTH": 2, "MATRIX_LR": 0.01, "EMBEDDING_LR": 0.01, "TIED": True},
    {"MATRIX_LR": 0.03, "UNEMBEDDING_LR": 0.03, "CLIP": 1.0, "ACTIVATION": "swiglu", "BETA2": 0.99},
]
NOISE_SEEDS: Final = 6
POSITIONS: Final = (0.7, 0.3, 0.9, 0.1, 0.5)
APART: Final = 0.15
PARENTS: Final = 3  # mean rank among the recipes so far
STEP: Final = 0.2  # of the span
FINDERS: Final = (searching, tpe, uniform_changes)
WALL_SECONDS: Final = 900.0
FINDING: Final = 100  # trials
ENDS: Final = ((searching, 1), (tpe, 1), (searching, 2), (random_search, 1))
ENDING: Final = 150  # trials


def noise(table: Table) -> Iterator[Ask]:
    """A few recipes on the same seeds."""
    for seed in range(NOISE_SEEDS):
        for knobs in FOR_NOISE:
            yield make_recipe(table.task, knobs), seed


def singles(table: Table) -> Iterator[Ask]:
    """One knob of the baseline changed: a value of each knob, then another of each."""
    task = table.task
    others = {name: _others(knob) for name, knob in task.knobs.items()}
    for turn in range(max(map(len, others.values()))):
        names = [name for name, values in others.items() if turn < len(values)]
        for name in random.Random(turn).sample(names, len(names)):
            yield make_recipe(task, {name: others[name][turn]}), 0


def _others(knob: Knob) -> list[Scalar]:
    span = Span.of(knob)
    if span is None:
        return [value for value in options(knob) if value != knob.default]
    near = span.position(knob.default)
    return [span.value(there) for there in POSITIONS if abs(there - near) > APART]


def near(table: Table) -> Iterator[Ask]:
    """One to five knobs changed, of one of the best recipes so far."""
    rng = random.Random(len(table.rows))
    best = list(table.means())
    parent = best[min(int(rng.expovariate(1 / PARENTS)), len(best) - 1)]
    while True:
        knobs = dict(parent.knobs)
        for name in rng.sample(list(table.task.knobs), rng.choice((1, 1, 2, 2, 3, 5))):
            knob = table.task.knobs[name]
            span = Span.of(knob)
            value = uniform_value(knob, rng)
            if span is not None and rng.random() < 0.7:
                there = span.position(knobs.get(name, knob.default)) + rng.gauss(0, STEP)
                value = span.value(min(max(there, 0), 1))
            knobs[name] = value
        yield make_recipe(table.task, knobs), rng.randrange(3)


class Missing(Exception):
    """A trial that the table lacks."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        super().__init__(recipe, seed)
        self.trial = recipe, seed


class Recorded:
    """A world, and the bench on it, in which trials are looked up."""

    seconds = 1.0

    def __init__(self, table: Table) -> None:
        self.task = table.task
        self.world: World = cast("World", self)  # it is asked as a world is
        self._table = table

    def trial(self, recipe: Recipe, seed: int) -> float:
        row = self._table.known(recipe, seed)
        if row is None:
            raise Missing(recipe, seed)
        return math.inf if row.value is None else row.value  # as a modelled world has it

    def holds(self, best: Recipe) -> None:
        """Nothing is counted here."""


def found(table: Table) -> Iterator[Ask]:
    """What a searcher finds on the surface as it is fitted now: where that is too good to be true, it will be seen."""
    number = sum(row.stream == "found" for row in table.rows)
    sd = noise_sd(table)
    world = modelled_world(table.task, fit(table.task, data_of(table, sd), sd))
    while True:
        searcher = FINDERS[number % len(FINDERS)]
        yield repeat(world, -math.inf, searcher, [number + 1], FINDING)[0].best, 0
        number += 1


@cache
def _ends(task_name: str) -> tuple[Recipe, ...]:
    world = modelled_world(load_task(task_name))
    runs = [repeat(world, -math.inf, searcher, [number], ENDING) for searcher, number in ENDS]
    return tuple(run.best for (run,) in runs)


def ends(table: Table) -> Iterator[Ask]:
    """What searchers end with on the surface that is kept: `bench.surface` tells how far that is from what it says."""
    for recipe in _ends(table.task.name):
        for seed in range(2):
            yield recipe, seed


def wanted_by(searcher: Searcher) -> Callable[[Table], Iterator[Ask]]:
    """The first trial of a searcher that the table lacks."""

    def ask(table: Table) -> Iterator[Ask]:
        try:
            searcher(Recorded(table), 1)
        except Missing as missing:
            yield missing.trial

    return ask


STREAMS: Final[dict[str, tuple[float, Callable[[Table], Iterator[Ask]]]]] = {
    "ends": (50, ends),
    "search": (4, wanted_by(searching)),
    "found": (3, found),
    "tpe": (2, wanted_by(tpe)),
    "random": (1, wanted_by(random_search)),
    "near": (1, near),
    "noise": (1, noise),
    "single": (0.3, singles),
}
"""How much of each, at first: those that end leave their share to the others."""


def next_trial(table: Table) -> tuple[str, Ask]:
    """(stream, trial) that the table lacks, of the stream that is behind its share the most."""
    done = Counter(row.stream for row in table.rows)
    for stream in sorted(STREAMS, key=lambda name: (done[name] + 1) / STREAMS[name][0]):
        for ask in STREAMS[stream][1](table):
            if table.known(*ask) is None:
                return stream, ask
    raise AssertionError("random search never ends")


async def record(table: Table, seconds: float, choose: Callable[[Table], tuple[str, Ask]] = next_trial) -> None:
    """Run trials until the time is over, the last one to its end."""
    # a busy machine's seconds say nothing of a recipe
    task = table.task.model_copy(update={"limits": table.task.limits.model_copy(update={"wall_seconds": WALL_SECONDS})})
    try:
        sandbox = find_sandbox()
    except SandboxError as error:
        print(f"without a sandbox: {error}")
        sandbox = None
    data = await prepare_data(task, data_cache())
    started = trio.current_time()
    async with open_worker(task, sandbox, data) as worker:
        with tempfile.TemporaryDirectory() as folder:
            while trio.current_time() < started + seconds:
                stream, (recipe, seed) = choose(table)
                trial = await run_trial(
                    task,
                    materialise(task, recipe),
                    seed,
                    workspace=Path(folder),
                    data=data,
                    sandbox=sandbox,
                    worker=worker,
                )
                told = trial.metrics
                row = Row(
                    stream,
                    recipe.knobs,
                    seed,
                    trial.status,
                    trial.value,
                    round(trial.seconds, 2),
                    round(told.get("training_seconds", 0.0), 2),
                    int(told.get("num_params", 0)),
                    int(told.get("total_tokens", 0)),
                    trial.reason[:200],
                )
                table.add(row)
                print(f"{len(table.rows)} {stream} {trial.status} {trial.value} {trial.seconds:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--file", type=Path, help="the table; by default the one in bench/recorded")
    told = parser.parse_args()
    trio.run(record, Table.load(load_task("story-cpu"), told.file), 60 * told.minutes)


if __name__ == "__main__":
    main()
