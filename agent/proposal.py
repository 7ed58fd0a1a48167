"""Proposals: what to try next, and what every proposer offers, whether it searches or asks a language model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.notebook import Notebook
from trainer.knobs import Scalar
from trainer.recipe import Recipe
from trainer.task import Task


class NothingLeft(Exception):
    """The proposer finds no recipe that was not tried: the task's knobs are too few, or its ranges too narrow."""


@dataclass(frozen=True)
class Proposal:
    """An idea: what to change in the node's own best recipe.

    change: knob -> new value. edits: file -> full new text, as it stands in that recipe's program, so with the values
    of its knobs in place (other values there are changes too).

    hypothesis: one sentence that says why; proposer: "search", "person", or a model's name; inspired_by: record ids.
    """

    change: Mapping[str, Scalar]
    hypothesis: str
    proposer: str
    inspired_by: tuple[bytes, ...] = ()
    edits: Mapping[str, str] = field(default_factory=dict)


class Proposer(Protocol):
    """Proposes one change to the notebook's own best recipe."""

    def propose(
        self,
        notebook: Notebook,
        task: Task,
        *,
        avoid: Sequence[Mapping[str, Scalar]] = (),
        start: Recipe | None = None,
        bold: bool = False,
    ) -> Proposal:
        """avoid: changes that peers are testing right now; start: the recipe that ideas start from, by default the own
        best, against which the change is all the same; bold: larger changes. Raises NothingLeft.
        """
        ...
