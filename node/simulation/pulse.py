"""The heartbeats of all nodes: those that beat together are one entry of the clock."""

import math
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from node.simulation import virtual

PHASES: Final = 32  # of a second, in one of which a node beats


def phase_after(moment: float) -> float:
    """The first moment from that one on at which nodes may beat, in seconds."""
    return math.ceil(moment * PHASES) / PHASES


class Pulse:
    """Calls that come every second. A thousand entries of their own would cost more than most of the calls."""

    def __init__(self) -> None:
        self._together: dict[int, list[Callable[[], bool]]] = {}

    def add(self, first: float, beat: Callable[[], bool]) -> None:
        """Have `beat` called each second for as long as it returns True, from `phase_after(first)` on, which is at most
        a second away.
        """
        moment = phase_after(first)
        phase = round(moment * PHASES) % PHASES
        beats = self._together.setdefault(phase, [])
        beats.append(beat)
        if len(beats) == 1:
            virtual.at(moment, partial(self._beat, phase))

    def _beat(self, phase: int) -> None:
        self._together[phase] = [beat for beat in self._together[phase] if beat()]
        if self._together[phase]:
            virtual.at(trio.current_time() + 1, partial(self._beat, phase))
