"""How far a value can be believed, by what was run: every result carries its level.

`trusted`: only knobs differ from the task's own program, so what printed the value is the task's. `audited`: code was
edited, and the value was computed from outside, from predictions. `reported`: the program printed its own value and
nothing checked it; such a result of somebody else is never adopted.
"""

from typing import Literal, TypeAlias

from trainer.recipe import Recipe
from trainer.task import Task

Integrity: TypeAlias = Literal["trusted", "audited", "reported"]


def level(task: Task, recipe: Recipe) -> Integrity:
    """The integrity of a value of this recipe."""
    if task.reported:
        return "reported"
    if not recipe.files:
        return "trusted"
    return "audited" if task.evaluate is not None else "reported"
