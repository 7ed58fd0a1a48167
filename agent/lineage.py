"""Who inspired whom: the keeps that a recipe was made of, and those that build on it."""

from typing import Final

from agent.evidence import Experiment
from agent.notebook import Notebook

MOST: Final = 30  # steps back, or children


def ancestors(notebook: Notebook, test: Experiment) -> list[Experiment]:
    """The keeps that led to the parent recipe, one step back each: the author's own, else the earliest of anyone."""
    found: list[Experiment] = []
    while len(found) < MOST:
        makers = [maker for maker in notebook.makers(test.parent_id) if maker.moment < test.moment]
        if not makers:
            break
        author = test.author
        test = min(makers, key=lambda maker: (maker.author != author, maker.moment))
        found.append(test)
    return found


def descendants(notebook: Notebook, test: Experiment) -> list[Experiment]:
    """The finds that name it as their inspiration or build on its recipe, the earliest first; at most MOST."""
    named = [child for child in notebook.naming(test.record_id) if child.is_find]
    built = [child for child in notebook.experiments_on_parent(test.candidate_id) if child.is_find]
    children = {child.record_id: child for child in (*named, *built)}
    return sorted(children.values(), key=lambda child: child.moment)[:MOST]
