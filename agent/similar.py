"""The experiments that were made on recipes like a given one: what they saw is most likely to hold there."""

from agent.evidence import Experiment
from agent.notebook import Notebook
from trainer.recipe import Recipe


def most_similar(notebook: Notebook, origin: Recipe, most: int) -> list[tuple[int, Experiment]]:
    """(distance of its parent from `origin`, experiment): the nearest first, the earlier of equally near ones.

    At most so many, of those that set knobs only and either gave a value or crashed. There are far fewer parents than
    experiments, so distances are measured parent by parent.
    """
    groups = sorted(
        ((distance(origin, tests[0].parent), tests) for tests in notebook.experiments_by_parent()),
        key=lambda group: group[0],
    )
    found: list[tuple[int, Experiment]] = []
    last = -1
    for far, tests in groups:
        if len(found) >= most and far > last:
            break
        last = far
        found += [(far, test) for test in tests if not test.edits_code and _says(test)]
    found.sort(key=lambda pair: (pair[0], pair[1].moment))
    return found[:most]


def distance(one: Recipe, other: Recipe) -> int:
    """On how many knobs and files two recipes differ."""
    files = sum(one.files.get(name) != other.files.get(name) for name in one.files.keys() | other.files.keys())
    return files + sum(one.knobs.get(name) != other.knobs.get(name) for name in one.knobs.keys() | other.knobs.keys())


def _says(test: Experiment) -> bool:
    return test.effect is not None or test.verdict == "crash"
