"""What a discovery promises a node on its own best recipe.

Where that stands as the finder's did, in the same program, it is what the finder and those who repeated the test saw.
Where it holds a part of the change already, has moved a knob of it, or is another program, that would be too much: then
it is the sum of what the experiments of everybody say of each knob's step (`agent.belief`), the finder's among them.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from agent.belief import mean, place
from agent.discoveries import Discovery, SameChange
from agent.notebook import Notebook
from agent.steps import steps_around
from trainer.recipe import values


class Outlook:
    """Of one notebook as it is now; what it takes is computed when first asked for."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self._mine = values(notebook.task, notebook.best())
        self._files = frozenset(notebook.best().files.items())

    def same(self, discovery: Discovery) -> SameChange | None:
        """A finder's test and those that repeated it, if this node's would be one more of them; else None."""
        found = (tests for tests in discovery.same_changes if tests.finders)
        files = frozenset() if discovery.edits_code else self._files
        here = (tests for tests in found if tests.files == files)
        return next((tests for tests in here if all(self._mine[knob] == old for knob, old in tests.old)), None)

    def gain(self, discovery: Discovery) -> float:
        """The improvement that it promises if it holds, in the metric's unit."""
        told = self.notebook.gain(discovery)
        if discovery.edits_code or discovery.simpler or self.same(discovery):
            return told
        knobs = self.notebook.task.knobs
        steps = (
            self._heights[name][place(knobs[name], new)] - self._heights[name][place(knobs[name], self._mine[name])]
            for name, new in discovery.new_values.items()
        )
        return min(told, self.notebook.noise().sd * sum(steps))

    @cached_property
    def largest(self) -> float:
        """The largest improvement that this node ever saw itself."""
        own = self.notebook.experiments(self.notebook.me)
        return max((test.effect or 0.0 for test in own), default=0.0)

    @cached_property
    def _heights(self) -> Mapping[str, Sequence[float]]:
        notebook = self.notebook
        return mean(notebook.task.knobs, notebook.device_class, steps_around(notebook, notebook.best()))
