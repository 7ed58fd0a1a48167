"""Which settings and recipes are as good as the same: a number counts as the cell of its range that it lies in.

A cell is WIDTH of a number's span (on a log scale where the task says so), and one of them has the knob's default in
its middle. A value of a bool or choice is a cell of its own. Two recipes are near-duplicates if they lie in the same
cell for every knob and have the same files: so each recipe belongs to one class of near-duplicates, which can be
counted, at the price that two neighbours across a border count as different.
"""

import hashlib
import math
from typing import Final, TypeAlias

from agent.span import Span
from trainer.knobs import Scalar
from trainer.recipe import Recipe
from trainer.task import Knob, Task

WIDTH: Final = 0.05

Cell: TypeAlias = tuple[str, Scalar]
"""(knob, value that stands for all in the cell)."""
Near: TypeAlias = bytes
"""A class of near-duplicates: the hash of its cells other than the defaults', and of its edited files."""


def cell(knob: Knob, value: Scalar) -> Cell:
    """The cell of a knob's value; for numbers its middle stands for it, as people can read it."""
    span = Span.of(knob)
    if span is None:
        return knob.name, value
    middle = span.position(knob.default)
    steps = math.floor((span.position(value) - middle) / WIDTH + 0.5)
    return knob.name, span.value(middle + steps * WIDTH) if steps else knob.default


def near_class(task: Task, recipe: Recipe) -> Near:
    """The class of near-duplicates that a recipe belongs to."""
    cells = sorted(
        found
        for name, value in recipe.knobs.items()
        if (found := cell(task.knobs[name], value)) != (name, task.knobs[name].default)
    )
    return hashlib.blake2b(repr((cells, sorted(recipe.files.items()))).encode(), digest_size=16).digest()
