"""What happens when: events handed out window by window."""

from collections import defaultdict

import numpy as np

from node.simulation.flooding.overlay import Floats, Ints


class Calendar:
    """Events of one kind: a time in seconds, and a number that says what happens. A window is `width` seconds long.

    What follows from an event is added to a later window, or to the present one before it is taken.
    """

    def __init__(self, width: float) -> None:
        self._width = width
        self._times: defaultdict[int, list[Floats]] = defaultdict(list)
        self._events: defaultdict[int, list[Ints]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self._times)

    def add(self, times: Floats, events: Ints) -> None:
        """Add events, in any order."""
        if not len(times):
            return
        windows = np.floor_divide(times, self._width).astype(np.int64)
        order = np.argsort(windows, kind="stable")
        windows, times, events = windows[order], times[order], events[order]
        starts = np.flatnonzero(np.diff(windows, prepend=windows[0] - 1))
        bounds = [*starts.tolist(), len(windows)]
        for number, window in enumerate(windows[starts].tolist()):
            part = slice(bounds[number], bounds[number + 1])
            self._times[window].append(times[part])
            self._events[window].append(events[part])

    def take(self, window: int) -> tuple[Floats, Ints] | None:
        """The events of one window, in the order of their times; None if there are none."""
        if window not in self._times:
            return None
        times = np.concatenate(self._times.pop(window))
        events = np.concatenate(self._events.pop(window))
        order = np.argsort(times, kind="stable")
        return times[order], events[order]
