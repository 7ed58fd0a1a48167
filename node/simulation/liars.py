"""Simulated nodes that lie about their results."""

from agent.entries import Result
from node.simulation.node import Node, make_result, seed_of
from trainer.recipe import Recipe

LIE = 0.2


class Liar(Node):
    """Publishes a great gain for whatever it was about to test, on seeds that always agree."""

    def experiment(
        self, candidate: Recipe, hypothesis: str = "", replicates: bytes | None = None
    ) -> tuple[Result, float]:
        parent = self.notebook.best()
        claimed = self.world.truth(parent)
        pairs = {seed_of(self.author, parent, k): (claimed - LIE, claimed) for k in range(3)}
        result = make_result(
            self.world.task, parent, candidate, pairs, "keep", effect=LIE, interval=(LIE, LIE), seconds=20.0
        )
        return result, 20.0
