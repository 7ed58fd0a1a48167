"""Who takes part in a scenario besides researchers and liars: nodes that only report, and nodes that flood."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.claims import Claim
from agent.entries import Result, write
from agent.policy import Explore
from agent.span import Span, options
from gossip.record import Record
from node.simulation.liars import Liar
from node.simulation.node import Node, Step, identity, make_result
from trainer.knobs import Scalar
from trainer.recipe import BASELINE, make_recipe
from trainer.task import Task

REPORTING: Final = Explore("made up, where only the network is asked")


@dataclass
class Reporter(Node):
    """Publishes made-up results and looks at none. every: seconds between two, on average (exponential)."""

    every: float = 60.0

    @property
    def announces(self) -> bool:
        return False

    def hear(self, record: Record) -> None:
        """It keeps no notebook, which would be the dearest part of a large swarm."""

    def act(self, claims: Sequence[Claim], now_ms: int) -> Step:
        return Step([made_up_result(self.world.task, self.rng)], self.rng.expovariate(1 / self.every), REPORTING)


@dataclass
class Flooder(Reporter):
    """Publishes as much as it can: well-formed, correctly signed, and worthless."""

    every: float = 0.05


def is_crooked(node: Node) -> bool:
    """Whether a node breaks the rules."""
    return isinstance(node, Liar | Flooder)


def made_up_result(task: Task, rng: random.Random) -> Result:
    """A result about one knob, of the size that results have; its values are nobody's."""
    name = rng.choice(list(task.knobs))
    knob = task.knobs[name]
    span = Span.of(knob)
    value: Scalar = rng.choice(options(knob)) if span is None else span.value(rng.random())
    while value == knob.default:
        value = rng.choice(options(knob)) if span is None else span.value(rng.random())
    pairs = {rng.getrandbits(31): (1 + rng.random(), 1 + rng.random()) for _ in range(2)}
    return make_result(task, BASELINE, make_recipe(task, {name: value}), pairs, "discard", effect=-0.1)


def made_up_records(task: Task, count: int, *, before_ms: int, apart_ms: int = 1000, authors: int = 20) -> list[Record]:
    """The history of a swarm: made-up results of so many authors, evenly apart, the last just before that time."""
    rng = random.Random(count)
    signers = [identity(2**64 + number) for number in range(authors)]
    return [
        write(
            signers[index % authors],
            task.fingerprint,
            before_ms - apart_ms * (count - index),
            made_up_result(task, rng),
        )
        for index in range(count)
    ]
