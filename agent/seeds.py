"""On which seeds a node tests the children of a recipe.

Each author has seeds of their own, so that a replication is independent evidence, and each recipe fresh ones, so that
the luck which made it the best does not stand in its children's way. A recipe that was kept by a wide margin owes that
to no luck worth speaking of: there the seeds of its keep come first, whose trials are known, so that the next
experiments need trials of the candidate only.
"""

import hashlib
import math
from typing import Final

from agent.notebook import Notebook
from trainer.recipe import Recipe, recipe_id

WIDE: Final = 5.0  # standard errors of the effect: who is kept at these was not chosen for its luck


def seed_of(author: bytes, parent: Recipe, number: int) -> int:
    """The number-th fresh seed (31 bits) of experiments on a parent."""
    digest = hashlib.sha256(author + recipe_id(parent) + number.to_bytes(4, "big")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def seeds(notebook: Notebook, parent: Recipe, count: int) -> list[int]:
    """The first `count` seeds of this node's experiments on a parent."""
    fresh = [seed_of(notebook.me, parent, number) for number in range(count)]
    return list(dict.fromkeys([*_of_keep(notebook, parent), *fresh]))[:count]


def _of_keep(notebook: Notebook, recipe: Recipe) -> list[int]:
    """The seeds on which this node kept the recipe by a wide margin; none where it did not."""
    made = [keep for keep in notebook.makers(recipe_id(recipe)) if keep.author == notebook.me]
    if not made or made[-1].effect is None:
        return []
    error = notebook.noise().sd * math.sqrt(2 / made[-1].seeds)
    return [pair.seed for pair in made[-1].result.pairs] if made[-1].effect > WIDE * error else []
