"""What all experiments say of the knobs, as evidence on one recipe: `agent.belief` makes heights of it.

Evidence from another recipe is blurred the more knobs and files that recipe differs by, since effects depend on the
rest, and by how little its author is believed.
"""

from typing import Final

from agent.belief import Step
from agent.notebook import Notebook
from agent.similar import most_similar
from trainer.recipe import Recipe

MOST: Final = 300  # experiments that are looked at, those on the most similar recipes
INTERACTION: Final = 1.0  # deviations by which one differing knob may move an effect
CRASH: Final = -15.0  # deviations that a crash counts as
EXACT: Final = 1e-4  # variance of an effect of exactly zero: on that recipe the program never reads the knob
STRANGER: Final = 0.5  # credibility of whom nothing is known


def steps_around(notebook: Notebook, origin: Recipe, blur: float = 1.0) -> list[Step]:
    """The experiments on recipes like `origin`, the most similar first, at most MOST. blur: of all evidence."""
    noise = notebook.noise().sd
    trusted: dict[bytes, float] = {notebook.me: 1.0}
    steps = []
    for distance, test in most_similar(notebook, origin, MOST):
        effect = CRASH if test.verdict == "crash" else (test.effect or 0.0) / noise
        luck = EXACT if test.effect == 0 else 2 / max(test.seeds, 1)
        if test.author not in trusted:
            trusted[test.author] = min(1.0, notebook.credibility(test.author) / STRANGER)
        variance = blur * (luck + INTERACTION**2 * distance) / trusted[test.author] ** 2
        steps.append(Step(test.change.knobs, effect, variance))
    return steps
