"""Simulated nodes that lie about their results; each class is one kind of lie, told as well as it can be told.

All lie on seeds of their own, as everybody has, with values around what their recipe truly gives, so that nothing but
other nodes' trials can show that it is a lie.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final

from agent.claims import Claim
from agent.entries import Result
from agent.policy import Replicate
from agent.seeds import seed_of
from node.experiment import Plan
from node.simulation.node import Node, Step, identity, make_result
from node.simulation.world import World

LIE: Final = 0.2
PLAUSIBLE: Final = (3.0, 5.0)  # deviations
SECONDS: Final = 20.0  # what a lie takes, as if there had been trials


class Liar(Node):
    """Invents a great gain for whatever it was about to test."""

    def experiment(self, plan: Plan) -> tuple[Result, float]:
        return self._lie(plan, LIE, "keep"), SECONDS

    def _lie(self, plan: Plan, gain: float, verdict: str) -> Result:
        level = self.world.truth(plan.parent)
        noise = self.world.sd if gain < LIE else 0.0
        pairs = {
            seed_of(self.author, plan.parent, k): (
                level - gain + self.rng.gauss(0, noise),
                level + self.rng.gauss(0, noise),
            )
            for k in range(2)
        }
        seen = {"effect": gain, "interval": (gain - 2 * noise, gain + 2 * noise), "replicates": plan.replicates}
        return make_result(self.world.task, plan.parent, plan.candidate, pairs, verdict, seconds=SECONDS, **seen)


class Exaggerator(Liar):
    """Invents gains of a few deviations, as true discoveries have them."""

    def experiment(self, plan: Plan) -> tuple[Result, float]:
        return self._lie(plan, random_gain(self.rng) * self.world.sd, "keep"), SECONDS


class Colluder(Exaggerator):
    """Invents such gains, confirms those of its fellows at once, and is honest about what others found."""

    fellows: frozenset[bytes] = frozenset()

    def act(self, claims: Sequence[Claim], now_ms: int) -> Step:
        for found in self.notebook.discoveries():
            mine = self.author == found.author or self.author in dict(found.replications)
            useful = self.notebook.onto_best(found) != self.notebook.best()
            if found.author in self.fellows and not mine and useful:
                decision = Replicate(found, "a fellow's")
                result, seconds = self.experiment(self.replication(found))
                return Step([result], seconds, decision, found.new_values)
        return super().act(claims, now_ms)

    def experiment(self, plan: Plan) -> tuple[Result, float]:
        found = self.notebook.discovery(plan.replicates) if plan.replicates else None
        if found is not None and found.author not in self.fellows:
            return Node.experiment(self, plan)
        return super().experiment(plan)


class Denier(Liar):
    """Says of everything that it is worse, above all of what others found."""

    def act(self, claims: Sequence[Claim], now_ms: int) -> Step:
        for found in self.notebook.open_replications():
            result, seconds = self.experiment(self.replication(found))
            return Step([result], seconds, Replicate(found, "to deny it"), found.new_values)
        return super().act(claims, now_ms)

    def experiment(self, plan: Plan) -> tuple[Result, float]:
        return self._lie(plan, -random_gain(self.rng) * self.world.sd, "discard"), SECONDS


KINDS: Final[Mapping[str, type[Liar]]] = {
    "great gains": Liar,
    "small gains": Exaggerator,
    "collusion": Colluder,
    "denial": Denier,
}


def make_liars(world: World, kinds: Sequence[type[Liar]], first: int) -> list[Node]:
    """One liar of each of these kinds, numbered from `first`; colluders know each other."""
    liars = [kind(world, identity(first + number), first + number) for number, kind in enumerate(kinds)]
    fellows = frozenset(liar.author for liar in liars if isinstance(liar, Colluder))
    for liar in liars:
        if isinstance(liar, Colluder):
            liar.fellows = fellows
    return list(liars)


def random_gain(rng: random.Random) -> float:
    """A plausible gain in deviations."""
    return rng.uniform(*PLAUSIBLE)
