"""How often a node says what it does: the more nodes there are the less, so that all together stay bearable.

A node hears every presence of its swarm. So each of n nodes says at most HEARD_A_SECOND / n a second in the long run,
and everybody hears about HEARD_A_SECOND, however large the swarm. How many there are each counts itself: whoever was
heard within MISSED of the intervals that he said. A newcomer hears few at first and speaks up the more often, for as
long as it takes to hear the others. Pure: the time, in seconds of any clock, is passed in.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

LEAST_SECONDS: Final = 20.0
MOST_SECONDS: Final = 6 * 3600.0
HEARD_A_SECOND: Final = 2.0
AT_ONCE: Final = 3.0  # a node that does several things in a row says each
MISSED: Final = 3.0  # intervals without a word, after which a node is gone
MOST_KNOWN: Final = 50_000


@dataclass
class Pace:
    """When this node may speak, and how many others there are."""

    _until: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    _counted: float = -math.inf
    _tokens: float = AT_ONCE
    _at: float | None = None

    def hear(self, author: bytes, interval: float, now: float) -> None:
        """Note that a node spoke, and will again after `interval` seconds as it says."""
        self._until.pop(author, None)
        self._until[author] = now + MISSED * min(max(interval, LEAST_SECONDS), MOST_SECONDS)
        if len(self._until) > MOST_KNOWN:
            self._until.popitem(last=False)

    def there(self, now: float) -> int:
        """How many other nodes there are; who went away is missed LEAST_SECONDS late."""
        if now - self._counted >= LEAST_SECONDS:  # looking at tens of thousands costs milliseconds
            self._counted = now
            self._until = OrderedDict((author, until) for author, until in self._until.items() if until > now)
        return len(self._until)

    def interval(self, now: float) -> float:
        """After how many seconds this node says again what it said."""
        return min(max(LEAST_SECONDS, self.there(now) / HEARD_A_SECOND), MOST_SECONDS)

    def pause(self, now: float) -> float:
        """For how many seconds this node may say nothing new; if for none, it is taken to speak now."""
        gap = self.there(now) / HEARD_A_SECOND
        since = 0.0 if self._at is None else now - self._at
        self._at = now
        self._tokens = AT_ONCE if gap == 0 else min(AT_ONCE, self._tokens + since / gap)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) * gap
