"""How many experiments a node's search needs on `story-cpu`, against random search and Optuna's TPE; and a swarm of 8.

    python -m bench.search [--repeats N] [--trials N] [--only NAME ...] [--swarms N]

Trials are modelled by the response surface (`bench/surface.py`), with the noise of seeds. The mark is 1.05 times the
best mean value in the recorded table, so a value that was reached in reality. A searcher is there when the recipe that
it holds for the best, by the noisy values that it saw, truly lies at the mark or below. Each repetition is given the
same number of trials; one that is not there by then counts with that number, and is told as not there.
"""

import argparse
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from bench.figures import figure, machine
from bench.searchers import Searcher, random_search, searching, tpe, tpe_told, uniform_changes
from bench.table import Table
from node.simulation.modelled import modelled_world
from node.simulation.node import Node, identity
from node.simulation.swarm import Swarm
from node.simulation.world import World
from trainer.recipe import Recipe
from trainer.task import load_task

LOOKS: Final = (10, 20, 40, 80, 200)  # trials
WITHIN: Final = 1.05
SWARM: Final = 8
HOURS: Final = 3.0  # virtual, at most
SEARCHERS: Final[dict[str, Searcher]] = {
    "a node's search": searching,
    "random search": random_search,
    "random single changes, judged": uniform_changes,
    "TPE": tpe,
    "TPE that is told the baseline": tpe_told,
}


class Over(Exception):
    """The repetition has come to its end."""


@dataclass
class Run:
    """One repetition: a bench that counts.

    there: (experiments, trials) at which the mark was reached, None if it was not; path: after each experiment the
    trials so far and the true value of the best recipe.
    """

    inner: World
    mark: float
    limit: int
    trials: int = 0
    there: tuple[int, int] | None = None
    path: list[tuple[int, float]] = field(default_factory=list)
    best: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        self.world: World = cast("World", self)  # it is asked as a world is
        self.task, self.seconds, self.truth = self.inner.task, self.inner.seconds, self.inner.truth

    def trial(self, recipe: Recipe, seed: int) -> float:
        self.trials += 1
        return self.inner.trial(recipe, seed)

    def parameters(self, recipe: Recipe) -> int:
        return self.inner.parameters(recipe)

    def holds(self, best: Recipe) -> None:
        self.best = best
        truth = self.truth(best)
        self.path.append((self.trials, truth))
        if self.there is None and truth <= self.mark:
            self.there = len(self.path), self.trials
        if self.trials >= self.limit:
            raise Over


def repeat(world: World, mark: float, searcher: Searcher, numbers: Iterable[int], limit: int) -> list[Run]:
    """Runs of one searcher, each with the randomness of its number (>= 1)."""
    runs = []
    for number in numbers:
        run = Run(world, mark, limit)
        try:
            searcher(run, number)
        except Over:
            runs.append(run)
    return runs


def wall_seconds(world: World, mark: float, size: int, number: int) -> float:
    """Virtual time until the first of so many nodes holds a recipe at the mark; infinite if none does in HOURS."""
    first = 100 * number
    swarm = Swarm(world, [Node(world, identity(first + i), first + i) for i in range(size)])

    def there() -> bool:
        return min(world.truth(node.notebook.best()) for node in swarm.nodes) <= mark

    swarm.run(60 * HOURS, until=there)
    return swarm.now if there() else math.inf


def value_after(run: Run, trials: int) -> float:
    """The true value of what was held for the best after so many trials; the baseline's before the first verdict."""
    held = [truth for spent, truth in run.path if spent <= trials]
    return held[-1] if held else run.truth(Recipe())


def show(name: str, runs: Sequence[Run], limit: int) -> None:
    """Experiments and trials to the mark, and what was reached: in a line with quartiles, then as figures."""
    experiments = sorted(run.there[0] if run.there else len(run.path) for run in runs)
    trials = sorted(run.there[1] if run.there else limit for run in runs)
    missed = sum(run.there is None for run in runs)
    final = sorted(run.path[-1][1] for run in runs)
    low, high = len(runs) // 4, -(len(runs) // 4) - 1
    print(
        f"{name}: {statistics.median(experiments):g} experiments ({experiments[low]} to {experiments[high]}), "
        f"{statistics.median(trials):g} trials ({trials[low]} to {trials[high]}); {missed} of {len(runs)} not there; "
        f"after {limit} trials {statistics.median(final):.4f} ({final[low]:.4f} to {final[high]:.4f})",
        flush=True,
    )
    print(figure(f"{name}, to the mark", "experiments", experiments, better="lower"))
    print(figure("… trials", "trials", trials, better="lower"))
    print(figure("… not there", "", [missed], better="lower"))
    print(figure(f"… the best after {limit} trials", "bits per byte", final, better="lower"), flush=True)
    curve = ", ".join(f"{at}: {statistics.median(value_after(run, at) for run in runs):.3f}" for at in LOOKS)
    print(f"{name}, value after so many trials: {curve}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--swarms", type=int, default=8, help="repetitions of the swarm")
    parser.add_argument("--only", nargs="+", choices=SEARCHERS, default=list(SEARCHERS))
    told = parser.parse_args()
    task = load_task("story-cpu")
    world = modelled_world(task)
    best = min(Table.load(task).means().values())
    mark = WITHIN * best
    print(machine())
    print(f"best recorded {best:.4f}, mark {mark:.4f}; the baseline is at {world.truth(Recipe()):.4f}")
    print(f"medians of {told.repeats} runs (and quartiles)")
    for name in told.only:
        show(name, repeat(world, mark, SEARCHERS[name], range(1, told.repeats + 1), told.trials), told.trials)
    if told.swarms:
        times = {
            size: [wall_seconds(world, mark, size, number) for number in range(1, told.swarms + 1)]
            for size in (1, SWARM)
        }
        for size, seconds in times.items():
            print(figure(f"wall time of {size}", "virtual min", [each / 60 for each in seconds]))
        gain = statistics.median(times[1]) / statistics.median(times[SWARM])
        print(figure(f"speed-up of {SWARM}", "times", [gain], better="higher"))


if __name__ == "__main__":
    main()
