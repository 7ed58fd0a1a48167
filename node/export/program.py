"""The program of a recipe, as a file."""

from node.export.choice import ExportError, one_recipe
from node.state import State
from trainer.recipe import materialise


def write_program(state: State, what: str) -> str:
    """The editable file with the recipe in it. Raises ExportError."""
    if what == "kept":
        raise ExportError("--what kept is not for a program: say best, baseline, or one record's ID")
    _, _, recipe = one_recipe(state, what)
    if len(state.task.editable) != 1:
        raise ExportError("the task has several editable files: export a patch instead")
    return materialise(state.task, recipe)[state.task.editable[0]]
