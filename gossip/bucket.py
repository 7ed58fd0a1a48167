"""Token buckets: how much of something, and how often. Pure: the time, in seconds, is passed in."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
MAX_KEYS: Final = 10_000


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second in the long run."""

    burst: float
    per_second: float


class Bucket:
    """Holds up to `rate.burst` tokens and gains `rate.per_second`; full at first."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at: float | None = None

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take `amount` if there is that much."""
        self._fill(now)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def owe(self, now: float, amount: float = 1.0) -> float:
        """Take `amount` in any case; the seconds to wait until the debt is paid, 0 where there is none."""
        self._fill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate.per_second)

    def _fill(self, now: float) -> None:
        if self._at is not None:
            self._tokens = min(self._rate.burst, self._tokens + max(0.0, now - self._at) * self._rate.per_second)
        self._at = now


class Buckets(Generic[Key]):
    """A bucket for each key. Of more than `max_keys` those used longest ago are forgotten, so they are full again."""

    def __init__(self, rate: Rate, max_keys: int = MAX_KEYS) -> None:
        self._rate = rate
        self._max_keys = max_keys
        self._buckets: OrderedDict[Key, Bucket] = OrderedDict()

    def take(self, key: Key, now: float, amount: float = 1.0) -> bool:
        """Take `amount` from the bucket of `key` if there is that much."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now, amount)

    def __len__(self) -> int:
        return len(self._buckets)
