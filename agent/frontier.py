"""The frontier over time: how the best recipe's value moved, this node's own and that of the swarm."""

import statistics
from dataclasses import dataclass
from typing import Final

from agent.evidence import Experiment
from agent.notebook import Notebook

STRANGER: Final = 0.5  # credibility


@dataclass(frozen=True)
class Step:
    """A keep that moved the frontier. value: the candidate's mean over the seeds on which both gave a value."""

    test: Experiment
    value: float


def own_frontier(notebook: Notebook) -> list[Step]:
    """This node's own best recipe: it moves with each of its keeps."""
    return [Step(test, value_of(test)) for test in notebook.keeps(notebook.me)]


def swarm_frontier(notebook: Notebook) -> list[Step]:
    """The best value that anyone kept, as far as this node believes it."""
    better = notebook.task.metric.better
    steps: list[Step] = []
    for test in notebook.keeps():
        value = value_of(test)
        if (not steps or better(value, steps[-1].value)) and believed(notebook, test, value):
            steps.append(Step(test, value))
    return steps


def believed(notebook: Notebook, test: Experiment, value: float) -> bool:
    """Whether this node has no reason to doubt a kept value: always its own.

    Of others not: what was refuted, only reported by the author's program, or beyond the task's floor; nor the word of
    an author who is less credible than a stranger.
    """
    if test.author == notebook.me:
        return True
    floor = notebook.task.metric.floor
    if floor is not None and notebook.task.metric.better(value, floor):
        return False
    found = notebook.discovery(test.record_id)
    if found is not None and found.status == "refuted":
        return False
    return test.integrity != "reported" and notebook.credibility(test.author) >= STRANGER


def value_of(kept: Experiment) -> float:
    """The candidate's value in a keep, which has a pair of values."""
    both = [pair.candidate for pair in kept.result.pairs if pair.candidate is not None and pair.parent is not None]
    return statistics.fmean(both)
