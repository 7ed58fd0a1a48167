"""The times of a node's own records: each millisecond is used once.

Two records of one author for one millisecond contradict each other (gossip/intake.py), so a node never signs them, not
even when its clock was set back or it says several things at once. Pure: the clock's time is passed in.
"""

from collections.abc import Iterable


class Stamps:
    """Gives out times. `used` are those of this author's records so far."""

    def __init__(self, used: Iterable[int] = ()) -> None:
        self._used = set(used)

    def next(self, now_ms: int) -> int:
        """The first unused millisecond from `now_ms` on."""
        while now_ms in self._used:
            now_ms += 1
        self._used.add(now_ms)
        return now_ms
