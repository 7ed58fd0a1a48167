"""A world whose trials are modelled by a response surface that was fitted to real ones."""

import math
from dataclasses import dataclass, field
from typing import Final

from node.simulation.world import World
from trainer.recipe import Recipe
from trainer.surface import Model, Surface, load_model
from trainer.task import Task

SECONDS: Final = 12.0  # a trial of `story-cpu` on one core of its own


@dataclass(frozen=True)
class ModelledWorld(World):
    """The world of a built-in task with recorded trials; made by `modelled_world`."""

    surface: Surface = field(kw_only=True)

    def trial(self, recipe: Recipe, seed: int) -> float:
        """What the surface says, with the luck of the seed; infinite where the program refuses the recipe."""
        value = self.surface.value(recipe, seed)
        return math.inf if value is None else value


def modelled_world(task: Task, model: Model | None = None) -> ModelledWorld:
    """The world of a task, by default by the model that comes with it. Raises SurfaceError where there is none."""
    model = model or load_model(task)
    surface = Surface(task, model)

    def truth(recipe: Recipe) -> float:
        mean = surface.mean(recipe)
        return math.inf if mean is None else mean

    return ModelledWorld(task, truth, model.sd, SECONDS, surface=surface)
