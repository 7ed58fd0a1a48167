"""Whether a simulated node repeats itself or stands still."""

from collections import Counter
from itertools import pairwise

from agent.cells import near_class
from agent.strategy import CLIMB
from node.simulation.node import Node
from node.simulation.swarm import Swarm


def repeats(node: Node) -> int:
    """Experiments of a node on a recipe that it had tested before."""
    tested = Counter(test.candidate_id for test in node.notebook.experiments(node.author))
    return sum(tested.values()) - len(tested)


def most_near(node: Node) -> int:
    """The most recipes that a node tested of one class of near-duplicates."""
    task = node.world.task
    classes = Counter(near_class(task, test.candidate) for test in node.notebook.experiments(node.author))
    return max(classes.values(), default=0)


def longest_gap(swarm: Swarm, node: Node) -> float:
    """The longest time (virtual seconds) that a node ran no trial."""
    spans = [(did.start, did.start + did.seconds) for did in swarm.done if did.node is node and did.trials]
    ends = [0.0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), swarm.now]
    return max(start - end for end, start in zip(ends, starts, strict=True))


def shifts(swarm: Swarm, node: Node) -> list[str]:
    """The reason of each change of a node's strategy, empty where none was given; the start is no change."""
    explored = [did for did in swarm.done if did.node is node and did.strategy]
    return [
        after.reason or ("the best recipe moved" if after.strategy == CLIMB.kind else "")
        for before, after in pairwise(explored)
        if before.strategy != after.strategy
    ]
