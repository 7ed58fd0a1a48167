"""The searchers that are compared: a node's own, Optuna's TPE, and random ones.

Each works on a `Bench`, which answers for trials, and is told after every experiment what the searcher now holds for
the best recipe. They never end by themselves: the bench ends them with an exception.
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from agent import entries
from agent.proposal import Proposer
from agent.search import Search
from agent.span import Span, options
from node.simulation.node import Node, identity
from node.simulation.virtual import START_MS
from node.simulation.world import World
from tests.agent.world import Uniform
from trainer.knobs import Scalar
from trainer.recipe import Recipe, make_recipe
from trainer.task import Knob, Task

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Bench(Protocol):
    """Where trials come from, and who counts them."""

    world: World

    def holds(self, best: Recipe) -> None:
        """An experiment has ended, and this is the best recipe now."""
        ...


Searcher: TypeAlias = Callable[[Bench, int], None]
"""Works on a bench until that ends it, with the randomness of a number >= 1."""


def uniform_value(knob: Knob, rng: random.Random) -> Scalar:
    """Any value of the knob's range, all alike (on its log scale where it has one)."""
    span = Span.of(knob)
    return rng.choice(options(knob)) if span is None else span.value(rng.random())


def uniform_recipe(task: Task, rng: random.Random) -> Recipe:
    """Every knob anywhere in its range."""
    return make_recipe(task, {name: uniform_value(knob, rng) for name, knob in task.knobs.items()})


def distribution(knob: Knob) -> "BaseDistribution":
    """The knob's range as Optuna has it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    span = Span.of(knob)
    if span is None:
        return CategoricalDistribution(options(knob))
    if span.whole:
        return IntDistribution(int(span.low), int(span.high), log=span.log)
    return FloatDistribution(span.low, span.high, log=span.log)


def random_search(bench: Bench, number: int) -> None:
    """Uniform recipes, one trial each."""
    rng = random.Random(number)
    _one_trial_each(bench, lambda: uniform_recipe(bench.world.task, rng), lambda value: None)


def tpe(bench: Bench, number: int) -> None:
    """Optuna's default TPESampler over all knobs, one trial each."""
    _tpe(bench, number, told=False)


def tpe_told(bench: Bench, number: int) -> None:
    """The same, and the first trial is the baseline's, which a node begins with too."""
    _tpe(bench, number, told=True)


def _tpe(bench: Bench, number: int, *, told: bool) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    task = bench.world.task
    study = optuna.create_study(direction=task.metric.direction, sampler=optuna.samplers.TPESampler(seed=number))
    if told:
        study.enqueue_trial({name: knob.default for name, knob in task.knobs.items()})
    space = {name: distribution(knob) for name, knob in task.knobs.items()}
    asked: list[optuna.Trial] = []

    def ask() -> Recipe:
        asked.append(study.ask(space))
        return make_recipe(task, asked[-1].params)

    def tell(value: float) -> None:
        study.tell(asked[-1], value)

    _one_trial_each(bench, ask, tell)


def _one_trial_each(bench: Bench, ask: Callable[[], Recipe], tell: Callable[[float], object]) -> None:
    best: tuple[float, Recipe] | None = None
    number = 0
    while True:
        recipe = ask()
        value = bench.world.trial(recipe, number)
        tell(value)
        if best is None or bench.world.task.metric.better(value, best[0]):
            best = value, recipe
        bench.holds(best[1])
        number += 1


def searching(bench: Bench, number: int) -> None:
    """A node alone, as it is."""
    _node(bench, number, Search(number))


def uniform_changes(bench: Bench, number: int) -> None:
    """A node alone that changes any one knob of its best recipe to any value: notebook and judge, but no search."""
    _node(bench, number, Uniform(number))


def _node(bench: Bench, number: int, proposer: Proposer) -> None:
    node = Node(bench.world, identity(number), number)
    node.proposer = proposer
    now_ms = START_MS
    while True:
        step = node.act([], now_ms)
        now_ms += int(1000 * step.seconds)
        for order, entry in enumerate(step.entries):
            node.notebook.add(entries.write(node.signer, bench.world.task.fingerprint, now_ms + order, entry))
        bench.holds(node.notebook.best())
