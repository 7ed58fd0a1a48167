"""How many trials run side by side on a machine, and which cores and card each has to itself. Pure.

An experiment compares two trials on one seed, so two at once halve its time. They share no core, so that neither takes
of the other's budget where that is seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trainer.task import Limits

CORES_PER_SLOT: Final = 2
"""Below twice this a machine runs one trial at a time: a laptop of two cores stays usable, its clock budgets honest."""

USEFUL: Final = 2
"""An experiment has no use for more."""

MEMORY_SHARE: Final = 0.75
"""Of the memory that is free, how much trials may take together if each takes all that its limit allows."""


@dataclass(frozen=True)
class Slot:
    """Where one trial runs. cores: those that it may use, empty for all; card: its graphics card, None for all."""

    cores: tuple[int, ...] = ()
    card: str | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What tells a program of its card."""
        return {} if self.card is None else {"CUDA_VISIBLE_DEVICES": self.card}


WHOLE_MACHINE: Final = Slot()


def plan_slots(
    cores: Sequence[int], free_memory_mb: float, limits: Limits, cards: Sequence[str] | None = None
) -> tuple[Slot, ...]:
    """The slots for a task's trials; at least one. They have no core and no card in common.

    Args:
        cores: the processor cores that this process may use.
        cards: the graphics cards that trials run on, as CUDA names them; None where they run on the processor.
    """
    by_memory = int(MEMORY_SHARE * free_memory_mb // limits.memory_mb)
    count = min(USEFUL, len(cores) // CORES_PER_SLOT, by_memory, USEFUL if cards is None else len(cards))
    if count < 2:
        return (WHOLE_MACHINE,)
    each = len(cores) // count
    ordered = sorted(cores)
    return tuple(
        Slot(tuple(ordered[number * each : (number + 1) * each]), None if cards is None else cards[number])
        for number in range(count)
    )


def shares(cores: Sequence[int], nodes: int) -> list[tuple[int, ...]]:
    """The cores of each of some nodes on one machine: equal parts, or all for each where there are fewer than nodes."""
    each = len(cores) // nodes
    if each == 0:
        return [tuple(cores)] * nodes
    ordered = sorted(cores)
    return [tuple(ordered[number * each : (number + 1) * each]) for number in range(nodes)]
