"""The set that is reconciled: (time, id) pairs in order, with the sums of their ids at hand.

Items lie in blocks of at most BLOCK, each with the sum of its ids; running totals over the blocks are brought up to
date when they are next asked for. So an insertion moves one block, and a range's sum reads two blocks and two totals,
however many items there are. An item takes 40 bytes.

Pure and not locked: whoever shares a set between threads holds `lock` around all that has to be of one moment.
"""

import struct
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

TIME_BYTES: Final = 8
ID_BYTES: Final = 32
KEY_BYTES: Final = TIME_BYTES + ID_BYTES
MAX_TIME: Final = 2**64 - 2
BLOCK: Final = 256  # even

Item = tuple[int, bytes]
_ID: Final = struct.Struct(f"{TIME_BYTES}x{ID_BYTES}s")


def key_of(time: int, item_id: bytes) -> bytes:
    """The 40 bytes by which items are ordered: time as 8 bytes, big-endian, then the id."""
    return time.to_bytes(TIME_BYTES, "big") + item_id


class Items:
    """An ordered set of items; positions count from 0. Made fastest of items in ascending order."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self.lock = threading.Lock()
        self._blocks = [bytearray()]
        self._firsts = [b""]
        self._sums = [0]
        self._counts_before = [0]
        self._sums_before = [0]
        self._totalled = 0  # how many blocks are in the running totals
        for time, item_id in items:
            self.insert(time, item_id)

    def __len__(self) -> int:
        return self._running_totals()[0][-1]

    def insert(self, time: int, item_id: bytes) -> bool:
        """Add an item; whether it was not there yet. time: 0 to 2^64-2; item_id: 32 bytes."""
        if len(item_id) != ID_BYTES or not 0 <= time <= MAX_TIME:
            raise ValueError(f"not an item: time {time}, an id of {len(item_id)} bytes")
        key = key_of(time, item_id)
        number = max(0, bisect_right(self._firsts, key) - 1)
        block = self._blocks[number]
        start = _below(block, key) * KEY_BYTES
        if block[start : start + KEY_BYTES] == key:
            return False
        self._totalled = min(self._totalled, number)
        if len(block) == BLOCK * KEY_BYTES:
            # ascending items leave full blocks behind; others find room in the halves of one
            ascending = number == len(self._blocks) - 1 and start == len(block)
            middle = start if ascending else len(block) // 2
            self._cut(number, middle)
            if ascending or start > middle:
                number, start = number + 1, start - middle
            block = self._blocks[number]
        block[start:start] = key
        self._sums[number] += int.from_bytes(item_id, "little")
        if not start:
            self._firsts[number] = key
        return True

    def rank(self, bound: bytes) -> int:
        """How many items lie below `bound`: a key, or the first bytes of one, of which the rest reads as zeros."""
        number = bisect_left(self._firsts, bound) - 1
        return self._running_totals()[0][number] + _below(self._blocks[number], bound) if number >= 0 else 0

    def key(self, position: int) -> bytes:
        """The key of the item at `position`."""
        counts, _ = self._running_totals()
        number = bisect_right(counts, position) - 1
        start = (position - counts[number]) * KEY_BYTES
        return bytes(self._blocks[number][start : start + KEY_BYTES])

    def ids(self, lower: int, upper: int) -> list[bytes]:
        """The ids of the items at positions from `lower` to before `upper`, in order."""
        counts, _ = self._running_totals()
        found: list[bytes] = []
        number = bisect_right(counts, lower) - 1
        while lower < upper:
            block, first = self._blocks[number], counts[number]
            end = min(upper, counts[number + 1])
            found.extend(
                bytes(block[start + TIME_BYTES : start + KEY_BYTES])
                for start in range((lower - first) * KEY_BYTES, (end - first) * KEY_BYTES, KEY_BYTES)
            )
            lower, number = end, number + 1
        return found

    def sum(self, lower: int, upper: int) -> int:
        """The sum of the ids, read as little-endian integers, at positions from `lower` to before `upper`."""
        return self._sum_below(upper) - self._sum_below(lower)

    def _sum_below(self, position: int) -> int:
        counts, sums = self._running_totals()
        number = bisect_right(counts, position) - 1
        inside = (position - counts[number]) * KEY_BYTES
        if not inside:
            return sums[number]
        block = self._blocks[number]
        if 2 * inside <= len(block):
            return sums[number] + _sum(block[:inside])
        return sums[number + 1] - _sum(block[inside:])

    def _running_totals(self) -> tuple[list[int], list[int]]:
        """Before each block, and after the last: how many items there are, and the sum of their ids."""
        counts, sums, known = self._counts_before, self._sums_before, self._totalled
        if known < len(self._blocks):
            lengths = (len(block) // KEY_BYTES for block in self._blocks[known:])
            counts[known:] = accumulate(lengths, initial=counts[known])
            sums[known:] = accumulate(self._sums[known:], initial=sums[known])
            self._totalled = len(self._blocks)
        return counts, sums

    def _cut(self, number: int, start: int) -> None:
        block = self._blocks[number]
        rest = block[start:]
        del block[start:]
        total = _sum(rest)
        self._blocks.insert(number + 1, rest)
        self._firsts.insert(number + 1, bytes(rest[:KEY_BYTES]))
        self._sums[number : number + 1] = self._sums[number] - total, total


def _below(block: bytearray, bound: bytes) -> int:
    """How many keys of the block are less than `bound`."""
    low, high = 0, len(block) // KEY_BYTES
    while low < high:
        middle = (low + high) // 2
        if block[middle * KEY_BYTES : (middle + 1) * KEY_BYTES] < bound:
            low = middle + 1
        else:
            high = middle
    return low


def _sum(block: bytearray) -> int:
    number = int.from_bytes
    return sum([number(item_id, "little") for (item_id,) in _ID.iter_unpack(block)])
