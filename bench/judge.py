"""How often the judge is wrong, and how many seeds it needs: on simulated trials, then on recorded ones of `story-cpu`.

    python -m bench.judge                      both
    python -m bench.judge --record MINUTES     run trials of a few recipes on many seeds, and add them to the table

Deviations are of one trial; candidate and parent are uncorrelated, the case in which pairing does not help. Simulated:
the judge knows the task's usual deviation, 1, by 30 degrees of freedom, and nothing of the parent's own. Every figure
is of BATCHES batches of RUNS experiments.

A/A on recorded trials: candidate and parent are the same recipe on other seeds, which is what a change does that only
moves the random stream. The values are drawn from those recorded of the recipe, with replacement, and smoothed by half
of their deviation (and scaled back), since there are few. What the judge knows is what a node would: the task file's
guess, two seeds of every other recipe, and two of the parent, which it was kept on. The mix of effects is every
recorded pair of recipes that differ in at most DISTANCE knobs, the parent no worse than the baseline, as the effect of
the one on the other, with the noise of each drawn anew.
"""

import argparse
import itertools
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from agent.entries import Verdict, kept
from agent.judge import WORTH, judge
from agent.noise import Noise, PairedNoise, Spread, paired, pool
from bench.figures import figure, machine
from bench.record import FOR_NOISE, Ask, record
from bench.table import RECORDED, Table
from trainer.recipe import BASELINE, Recipe, make_recipe
from trainer.task import Task, load_task

BATCHES: Final = 5
RUNS: Final = 2000
POOLED_DEGREES: Final = 30
USUAL: Final = 2  # what the pooled noise counts as a forecast of one recipe's, before own trials say more
NIGHT: Final = 30
DISTANCE: Final = 2
LEAST_VALUES: Final = 3
SMOOTHING: Final = 0.5
SEEDS: Final = range(6, 26)  # those before are in the table of `bench.record`

Draw = Callable[[], float]


@dataclass(frozen=True)
class Run:
    """A simulated experiment: what the effect truly is, what was found, on how many seeds, and the effect published."""

    effect: float
    verdict: Verdict
    seeds: int
    published: float


def experiment(
    effect: float, candidate: Draw, parent: Draw, noise: PairedNoise, minimum: float, *, simpler: bool = False
) -> Run:
    """Judge until there is a verdict. candidate, parent: the chance in a further trial's value, greater is better."""
    improvements: list[float] = []
    while True:
        improvements.append(effect + candidate() - parent())
        found = judge(improvements, noise, minimum=minimum, simpler=simpler)
        if found.verdict is not None:
            return Run(effect, found.verdict, len(improvements), found.effect)


def simulated(
    rng: random.Random,
    effect: float,
    *,
    candidate_sd: float = 1.0,
    parent_sd: float = 1.0,
    degrees: int = USUAL,
    simpler: bool = False,
) -> Run:
    """One experiment with normal noise."""
    sd = (rng.gammavariate(POOLED_DEGREES / 2, 2) / POOLED_DEGREES) ** 0.5
    noise = PairedNoise(2**0.5 * sd, degrees)
    candidate, parent = partial(rng.gauss, 0.0, candidate_sd), partial(rng.gauss, 0.0, parent_sd)
    return experiment(effect, candidate, parent, noise, WORTH * sd, simpler=simpler)


def batches(one: Callable[[], Run]) -> list[list[Run]]:
    return [[one() for _ in range(RUNS)] for _ in range(BATCHES)]


def share(runs: Sequence[list[Run]], verdict: Verdict = "keep") -> list[float]:
    """Of each batch, the percentage with that verdict."""
    return [100 * statistics.fmean(run.verdict == verdict for run in batch) for batch in runs]


def seeds(runs: Sequence[list[Run]]) -> list[float]:
    return [statistics.fmean(run.seeds for run in batch) for batch in runs]


def excess(runs: Sequence[list[Run]]) -> list[float]:
    """Of each batch, by how much keeps were published too large, in deviations, on average."""
    return [statistics.fmean(run.published - run.effect for run in b if run.verdict == "keep") for b in runs]


def show_simulated(rng: random.Random) -> None:
    lucky = [[rng.gauss(0, 1) - rng.gauss(0, 1) > 0 for _ in range(RUNS)] for _ in range(BATCHES)]
    print(figure("A/A kept by 'any decrease', one seed", "%", [100 * statistics.fmean(batch) for batch in lucky]))
    for degrees in (1, 2, 4):
        runs = batches(lambda d=degrees: simulated(rng, 0.0, degrees=d))  # type: ignore[misc]
        print(figure(f"A/A kept (noise counts for {degrees} degrees)", "%", share(runs)), end="; ")
        print(figure("… seeds", "", seeds(runs), better="lower"))
    for parent, candidate in ((1.7, 1.0), (1.0, 1.7), (1.7, 1.7), (0.58, 1.0), (1.0, 0.58), (0.58, 0.58), (5.0, 5.0)):
        runs = batches(lambda p=parent, c=candidate: simulated(rng, 0.0, parent_sd=p, candidate_sd=c))  # type: ignore[misc]
        print(
            figure(f"A/A kept, the parent {parent:g} and the candidate {candidate:g} times as noisy", "%", share(runs))
        )
    for effect in (1.0, 2.0, 3.0, 5.0, 10.0):
        runs = batches(lambda e=effect: simulated(rng, e))  # type: ignore[misc]
        print(figure(f"kept at {effect:g} deviations", "%", share(runs)), end="; ")
        print(figure("… seeds", "", seeds(runs), better="lower"), end="; ")
        print(figure("… keeps published too large by", "deviations", excess(runs)))
    for effect in (-WORTH, 0.0, 1.0):
        runs = batches(lambda e=effect: simulated(rng, e, simpler=True))  # type: ignore[misc]
        print(figure(f"kept as simpler at {effect:g} deviations", "%", share(runs, "simpler")))


def show_nights(rng: random.Random) -> None:
    """A lucky-seed change after another, on one parent with its own seeds, until one is kept; then on a new parent."""
    keeps = []
    for _ in range(BATCHES * RUNS // NIGHT):
        count, drawn = 0, parent_of(rng)
        for _ in range(NIGHT):
            run = experiment(0.0, partial(rng.gauss, 0.0, 1.0), drawn(), PairedNoise(2**0.5, USUAL), WORTH)
            if kept(run.verdict):
                count, drawn = count + 1, parent_of(rng)
        keeps.append(count)
    mean = statistics.fmean(keeps)
    print(figure(f"of {NIGHT} lucky-seed changes in one night, kept on average", "", [mean]), end="; ")
    none = 100 * statistics.fmean(count == 0 for count in keeps)
    print(f"{figure('… nights with none', '%', [none])} (of {len(keeps)})")


def parent_of(rng: random.Random) -> Callable[[], Draw]:
    """A parent: its trials are run once, and every child is compared with the same."""
    values: list[float] = []

    def trials() -> Draw:
        numbers = itertools.count()

        def draw() -> float:
            if (number := next(numbers)) == len(values):
                values.append(rng.gauss(0, 1))
            return values[number]

        return draw

    return trials


def recorded(task: Task) -> dict[Recipe, list[float]]:
    """Recipe -> the values of its trials, over both tables."""
    values: dict[Recipe, dict[int, float]] = {}
    for table in (Table.load(task), Table.load(task, RECORDED / "noise.jsonl")):
        for row in table.rows:
            if row.value is not None:
                values.setdefault(make_recipe(task, row.knobs), {})[row.seed] = row.value
    return {recipe: list(found.values()) for recipe, found in values.items()}


def known(task: Task, values: Mapping[Recipe, Sequence[float]], parent: Recipe, rng: random.Random) -> Noise:
    """What a node knows that ran every recipe on two seeds, but for the parent."""
    others = [rng.sample(found, 2) for recipe, found in values.items() if len(found) > 1 and recipe != parent]
    return pool(task.metric.noise, map(Spread.of, others), {})


def redraw(rng: random.Random, values: Sequence[float]) -> float:
    """A further trial's chance: one of the recorded ones, smoothed."""
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    wide = (1 + SMOOTHING**2) ** 0.5
    drawn: float = (rng.choice(values) - mean + rng.gauss(0, SMOOTHING * sd)) / wide
    return drawn


def show_recorded(task: Task, rng: random.Random) -> None:
    values = recorded(task)
    noisy = {recipe: found for recipe, found in values.items() if len(found) >= LEAST_VALUES}
    rates, naive = [], []
    for recipe, found in noisy.items():

        def one(recipe: Recipe = recipe, found: Sequence[float] = found) -> Run:
            noise = known(task, values, recipe, rng)
            draw = partial(redraw, rng, found)
            return experiment(0.0, draw, draw, paired(noise, Spread.of(rng.sample(found, 2))), WORTH * noise.sd)

        rates.append(statistics.median(share(batches(one))))
        naive.append(100 * statistics.fmean(redraw(rng, found) > redraw(rng, found) for _ in range(RUNS)))
        name = ", ".join(f"{k}={v}" for k, v in recipe.knobs.items())[:60] or "the task's program"
        sd = statistics.stdev(found)
        print(f"deviation {sd:.4f} of {len(found)} seeds; {figure(f'recorded: A/A kept, {name}', '%', rates[-1:])}")
    print(figure("recorded: A/A kept by 'any decrease', over recipes", "%", naive))
    print(figure("recorded: A/A kept by the judge, over recipes", "%", rates), end="; ")
    print(figure("… their mean", "%", [statistics.fmean(rates)]))
    every = known(task, values, Recipe({"": 0}), rng)
    print(f"recorded: pooled deviation {every.sd:.4f}, worth {every.recipe} degrees as a forecast of one recipe's")
    show_mix(task, values, every, rng)


def effects(task: Task, values: Mapping[Recipe, Sequence[float]]) -> Iterator[float]:
    """Of every recorded pair of recipes that differ by a knob or two, the parent no worse than the baseline."""
    means = {recipe: statistics.fmean(found) for recipe, found in values.items()}
    for parent, candidate in itertools.permutations(means, 2):
        names = parent.knobs.keys() | candidate.knobs.keys()
        apart = sum(parent.knobs.get(name) != candidate.knobs.get(name) for name in names)
        if apart <= DISTANCE and means[parent] <= means[BASELINE] and (len(candidate.knobs) >= len(parent.knobs)):
            yield task.metric.improvement(means[parent], means[candidate])


def show_mix(task: Task, values: Mapping[Recipe, Sequence[float]], noise: Noise, rng: random.Random) -> None:
    mix = list(effects(task, values))
    sizes = Counter("better" if e > 3 * noise.sd else "worse" if e < -3 * noise.sd else "near nothing" for e in mix)
    told = ", ".join(f"{count} {size}" for size, count in sizes.items())
    print(f"recorded: {len(mix)} effects of one or two knobs: {told} (3 deviations)")

    def one() -> Run:
        draw = partial(rng.gauss, 0.0, noise.sd)
        return experiment(rng.choice(mix), draw, draw, paired(noise), WORTH * noise.sd)

    runs = batches(one)
    print(figure("recorded: seeds per verdict on that mix", "", seeds(runs), better="lower"))
    too_large = [value / noise.sd for value in excess(runs)]
    print(figure("recorded: keeps published too large by", "deviations", too_large))


def next_seed(table: Table) -> tuple[str, Ask]:
    """The next trial that the table of noise lacks: of each recipe in turn."""
    asks = ((make_recipe(table.task, knobs), seed) for seed in itertools.chain(SEEDS) for knobs in FOR_NOISE)
    return "judge", next(ask for ask in asks if table.known(*ask) is None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", type=float, metavar="MINUTES")
    minutes = parser.parse_args().record
    task = load_task("story-cpu")
    if minutes is not None:
        trio.run(record, Table.load(task, RECORDED / "noise.jsonl"), 60 * minutes, next_seed)
        return
    print(machine())
    rng = random.Random(1)
    show_simulated(rng)
    show_nights(rng)
    show_recorded(task, rng)


if __name__ == "__main__":
    main()
