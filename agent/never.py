"""What never to try again, and why: values that crash here, and values that clearly harm.

A crash counts where the knob was set alone, on this node's device class, since memory and kernels differ between
classes. One crash may be an accident; two authors' are none, nor is the same twice on this node itself. Whoever claims
crashes alone bars nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agent.cells import Cell
from agent.discoveries import BELIEVED
from agent.effects import PooledEffect, Tests
from agent.judge import smallest_worth
from agent.notebook import Notebook
from agent.wording import nodes, setting, size
from trainer.knobs import Scalar

AUTHORS: Final = 2


@dataclass(frozen=True)
class Never:
    """A knob's value (of a number, the part of the range around it) that is not worth a trial. why: one sentence."""

    knob: str
    value: Scalar
    crashes: bool
    authors: int
    why: str
    evidence: tuple[bytes, ...]


def never_again(notebook: Notebook) -> list[Never]:
    """Every such value, by knob."""
    effects = notebook.effects()
    return [barred for cell, tests in notebook.settings() for barred in _of(notebook, cell, tests, effects[cell])]


def _of(notebook: Notebook, cell: Cell, tests: Tests, effect: PooledEffect) -> Iterator[Never]:
    here = notebook.device_class
    said = setting(notebook.task, cell)
    crashed = [
        (author, crashes)
        for (author, device), crashes in sorted(tests.crashes.items())
        if device == here and crashes.reasons and notebook.credibility(author) >= BELIEVED
    ]
    worked = any(device == here for _, device in tests.tallies)
    again = any(author == notebook.me and max(c.reasons.values()) > 1 for author, c in crashed)
    if crashed and not worked and (len(crashed) >= AUTHORS or again):
        reasons = Counter(reason for _, crashes in crashed for reason in crashes.reasons.elements())
        reason = min(reasons, key=lambda reason: (-reasons[reason], reason))
        why = f"{said} crashes on {here}: {reason} ({nodes(len(crashed))})"
        yield Never(*cell, True, len(crashed), why, tuple(crashes.latest[1] for _, crashes in crashed))
    elif effect.authors >= AUTHORS and effect.interval[1] < -smallest_worth(notebook.noise()):
        worse = f"worse by {size(effect.mean)}, at least {size(effect.interval[1])}"
        why = f"{said} makes {notebook.task.metric.name} {worse} ({nodes(effect.authors)})"
        yield Never(*cell, False, effect.authors, why, tuple(sorted({source.record_id for source in effect.sources})))
