"""The simulated world for tests, and the proposer to beat in it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent import entries
from agent.entries import BudgetBody
from agent.notebook import Notebook
from agent.proposal import Proposal, Proposer
from agent.span import Span, options
from node.simulation.liars import Liar
from node.simulation.node import Node, identity, make_result
from node.simulation.swarm import Swarm, make_swarm
from node.simulation.world import DEVICE_CLASS, KNOBS, SD, knob, make_task, surface, surface_world
from trainer.knobs import Scalar
from trainer.recipe import BASELINE, Recipe
from trainer.task import Task

__all__ = [
    "BUDGET",
    "DEVICE_CLASS",
    "KNOBS",
    "SD",
    "Liar",
    "Node",
    "Swarm",
    "Uniform",
    "experiments_to",
    "identity",
    "knob",
    "make_result",
    "make_swarm",
    "make_task",
    "surface",
]

BUDGET = BudgetBody(kind="flops", amount=1e12)


@dataclass
class Uniform:
    """The proposer to beat: any knob, any value of its range, all alike."""

    seed: int

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def propose(
        self,
        notebook: Notebook,
        task: Task,
        *,
        avoid: Sequence[Mapping[str, Scalar]] = (),
        start: Recipe | None = None,
        bold: bool = False,
    ) -> Proposal:
        while True:
            knob = self.rng.choice(list(task.knobs.values()))
            span = Span.of(knob)
            value = self.rng.choice(options(knob)) if span is None else span.value(self.rng.random())
            if not notebook.was_tried(notebook.on_best({knob.name: value})):
                return Proposal({knob.name: value}, "", "uniform")


def experiments_to(proposer: Proposer, number: int, target: float, limit: int) -> int:
    """How many experiments one node needs until its best recipe is at most `target` of the baseline; at most limit."""
    world = surface_world()
    node = Node(world, identity(number), number)
    now_ms = 1_700_000_000_000
    for done in range(1, limit + 1):
        proposal = proposer.propose(node.notebook, world.task)
        result, seconds = node.experiment(node.plan(proposal))
        node.notebook.add(entries.write(node.signer, world.task.fingerprint, now_ms, result))
        now_ms += int(1000 * seconds) + 1
        if world.truth(node.notebook.best()) <= target * world.truth(BASELINE):
            return done
    return limit
