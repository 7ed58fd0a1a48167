"""Whether a message is lost, by a hash of what it is and where: so the same ones are lost however a run goes
otherwise, and what is lost at a small chance is lost at a greater one too.
"""

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.simulation.flooding.overlay import Flags, Ints

STEPS: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Of splitmix64 (Steele, Lea and Flood 2014)."""


class Kind(IntEnum):
    """What travels."""

    RECORD = 1
    IHAVE = 2
    IWANT = 3
    ANSWER = 4


def lost(seed: int, kind: Kind, ways: Ints, loss: float) -> Flags:
    """For each way, which is a record on a link, whether this message is lost, with the chance `loss`."""
    if not loss:
        return np.zeros(len(ways), np.bool_)
    start = np.uint64((seed * 16 + kind) * STEPS[0] % 2**64)
    return np.asarray(_mix(ways.astype(np.uint64) + start) >> np.uint64(11), np.float64) < loss * 2.0**53


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + np.uint64(STEPS[0])
    value = (value ^ (value >> np.uint64(30))) * np.uint64(STEPS[1])
    value = (value ^ (value >> np.uint64(27))) * np.uint64(STEPS[2])
    return value ^ (value >> np.uint64(31))
