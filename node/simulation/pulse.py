"""The heartbeats of all nodes: those that beat together are one entry of the clock."""

import math
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from node.simulation import virtual

PHASES: Final = 32  # of a second, in one of which a node beats


class Pulse:
    """Calls that come every second. A thousand entries of their own would cost more than most of the calls."""

    def __init__(self) -> None:
        self._together: dict[int, list[Callable[[], bool]]] = {}

    def add(self, first: float, beat: Callable[[], bool]) -> None:
        """Have `beat` called each second for as long as it returns True, from the first phase after the moment `first`,
        which is less than a second away.
        """
        number = math.ceil(first * PHASES)
        beats = self._together.setdefault(number % PHASES, [])
        beats.append(beat)
        if len(beats) == 1:
            virtual.at(number / PHASES, partial(self._beat, number % PHASES))

    def _beat(self, phase: int) -> None:
        self._together[phase] = [beat for beat in self._together[phase] if beat()]
        if self._together[phase]:
            virtual.at(trio.current_time() + 1, partial(self._beat, phase))
