"""Negentropy, protocol version 1: which items each of two sets lacks, in a few small messages.

Range-based set reconciliation after Aljoscha Meyer, in the wire format of hoytech/negentropy, which Nostr relays speak.
Each message covers all items by adjacent ranges: what is equal is skipped, what differs is split, and short ranges are
sent as lists of ids. The side that asks learns both differences; the side that answers keeps no state, and learns
nothing. Both may go on changing their sets: each message is made from the set as it is at that moment.

    message   0x61, then ranges
    range     upper bound (exclusive), mode, then: 0 skip: nothing; 1 fingerprint: 16 bytes; 2 ids: count, 32 bytes each
    bound     0 for infinity, else 1 + time - the previous bound's time; length of an id prefix, the prefix
    numbers   base 128, most significant digit first, all bytes but the last with the high bit, fewest digits

This module is pure: sets and bytes in, bytes out. Whatever a message holds, BadMessage is the only error.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gossip.items import ID_BYTES, MAX_TIME, TIME_BYTES, Items

VERSION: Final = 0x61
VERSIONS: Final = range(0x60, 0x70)
SKIP: Final = 0
FINGERPRINT: Final = 1
IDS: Final = 2
FINGERPRINT_BYTES: Final = 16
MAX_NUMBER_BYTES: Final = 10
MIN_LIMIT: Final = 4096
RESERVE: Final = 200
START: Final = bytes(TIME_BYTES)
INFINITY: Final = b"\xff" * TIME_BYTES


class BadMessage(Exception):
    """A message that breaks the protocol; the text says how."""


@dataclass(frozen=True)
class Split:
    """How a range that differs is cut: into `buckets`, or, below `list_below` items, into one list of ids.

    The other side may cut otherwise. Fewer buckets and shorter lists take fewer bytes and more messages.
    """

    buckets: int = 16
    list_below: int = 32


REFERENCE: Final = Split()


@dataclass(frozen=True)
class Step:
    """What an answer told: ids that only we have, ids that only they have, and the next message, None at the end."""

    have: list[bytes]
    need: list[bytes]
    message: bytes | None


def initiate(items: Items, *, limit: int = 0, split: Split = REFERENCE) -> bytes:
    """The first message. limit: a message's greatest length in bytes, at least MIN_LIMIT, or 0 for none."""
    writer = _Writer(limit)
    writer.split(items, split, 0, len(items), INFINITY)
    return bytes(writer.data)


def reply(items: Items, message: bytes, *, limit: int = 0, split: Split = REFERENCE) -> bytes:
    """The answer of the side that was asked. Raises BadMessage."""
    if message and message[0] in VERSIONS and message[0] != VERSION:
        return bytes([VERSION])
    return _respond(items, message, limit, split, None)


def compare(items: Items, message: bytes, *, limit: int = 0, split: Split = REFERENCE) -> Step:
    """What the answer of the other side tells the side that asked. Raises BadMessage."""
    step = _Differences()
    output = _respond(items, message, limit, split, step)
    return Step(step.have, step.need, output if len(output) > 1 else None)


def fingerprint(items: Items, lower: int, upper: int) -> bytes:
    """16 bytes that stand for the items at positions from `lower` to before `upper`."""
    total = items.sum(lower, upper) % 2**256
    return hashlib.sha256(total.to_bytes(32, "little") + _number(upper - lower)).digest()[:FINGERPRINT_BYTES]


@dataclass
class _Differences:
    have: list[bytes] = field(default_factory=list)
    need: list[bytes] = field(default_factory=list)

    def note(self, ours: list[bytes], theirs: list[bytes]) -> None:
        here, there = frozenset(ours), frozenset(theirs)
        if [i for i in ours if i in there] != [i for i in theirs if i in here]:
            raise BadMessage("ids that are not in the order of their times")
        self.have += [i for i in ours if i not in there]
        self.need += [i for i in theirs if i not in here]


def _respond(items: Items, message: bytes, limit: int, split: Split, differences: _Differences | None) -> bytes:
    """One message answered range by range; `differences` is given on the side that asked."""
    writer = _Writer(limit)
    lower = 0
    skipped: bytes | None = None
    for bound, mode, payload in _ranges(message):
        upper = max(lower, items.rank(bound))
        before = len(writer.data)
        if mode == SKIP or (mode == FINGERPRINT and payload == fingerprint(items, lower, upper)):
            skipped = bound
        elif mode == IDS and differences is not None:
            differences.note(items.ids(lower, upper), _ids_of(payload))
            skipped = bound
        else:
            if skipped is not None:
                writer.range(skipped, SKIP)
                skipped = None
            if mode == FINGERPRINT:
                writer.split(items, split, lower, upper, bound)
            else:
                upper = writer.list_while_room(items, lower, upper, bound, before)
            if writer.full:
                if mode == FINGERPRINT:
                    del writer.data[before:]  # as the reference does: this range waits for another message
                writer.range(INFINITY, FINGERPRINT, fingerprint(items, upper, len(items)))
                break
        lower = upper
    return bytes(writer.data)


class _Writer:
    """A message in the making, which `full` says should end."""

    def __init__(self, limit: int) -> None:
        if limit and limit < MIN_LIMIT:
            raise ValueError(f"a limit of {limit} bytes, of at least {MIN_LIMIT}")
        self.data = bytearray([VERSION])
        self._room = limit - RESERVE if limit else None
        self._time = 0

    @property
    def full(self) -> bool:
        return self._room is not None and len(self.data) > self._room

    def range(self, bound: bytes, mode: int, payload: bytes = b"") -> None:
        """Append one range. bound: the first bytes of a key, 8 to 40, or INFINITY."""
        if bound == INFINITY:
            self.data += _number(0)
        else:
            time = int.from_bytes(bound[:TIME_BYTES], "big")
            self.data += _number(1 + time - self._time)
            self._time = time
        self.data += _number(len(bound) - TIME_BYTES) + bound[TIME_BYTES:] + _number(mode) + payload

    def ids(self, bound: bytes, ids: list[bytes]) -> None:
        self.range(bound, IDS, _number(len(ids)) + b"".join(ids))

    def split(self, items: Items, split: Split, lower: int, upper: int, bound: bytes) -> None:
        """Append the items in a range as fingerprints of its parts, or as one list if they are few."""
        if upper - lower < split.list_below:
            self.ids(bound, items.ids(lower, upper))
            return
        size, larger = divmod(upper - lower, split.buckets)
        for bucket in range(split.buckets):
            end = lower + size + (bucket < larger)
            self.range(bound if end == upper else _between(items, end), FINGERPRINT, fingerprint(items, lower, end))
            lower = end

    def list_while_room(self, items: Items, lower: int, upper: int, bound: bytes, before: int) -> int:
        """Append a range's ids, as many as fit a message that was `before` bytes long; where the list ends."""
        if self._room is not None:
            fits = lower + (self._room - before) // ID_BYTES + 1
            if fits < upper:
                upper, bound = fits, items.key(fits)
        self.ids(bound, items.ids(lower, upper))
        return upper


def _between(items: Items, position: int) -> bytes:
    """The shortest bound that parts the item at `position` from the one before it."""
    low, high = items.key(position - 1), items.key(position)
    if low[:TIME_BYTES] != high[:TIME_BYTES]:
        return high[:TIME_BYTES]
    same = next(place for place in range(TIME_BYTES, len(high)) if low[place] != high[place])
    return high[: same + 1]


def _number(value: int) -> bytes:
    digits = [value & 127]
    while value := value >> 7:
        digits.append(128 | value & 127)
    return bytes(reversed(digits))


class _Reader:
    """A message being read. Raises BadMessage where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise BadMessage(f"{count} bytes are announced where {self.left} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self) -> int:
        value = 0
        for place in range(MAX_NUMBER_BYTES):
            digit = self.take(1)[0]
            if place == 0 and digit == 128:
                raise BadMessage("a number that does not take the fewest digits")
            value = value << 7 | digit & 127
            if digit < 128:
                return value
        raise BadMessage("a number that does not end")


def _ranges(message: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """(upper bound, mode, payload: a fingerprint, or ids end to end) of each range.

    After a list that fills a message up to infinity comes an empty range up to infinity, as the reference writes it.
    """
    reader = _Reader(message)
    if reader.take(1)[0] != VERSION:
        raise BadMessage(f"protocol version 0x{message[0]:02x}; this is 0x{VERSION:02x}")
    last, time = START, 0
    while reader.left:
        step = reader.number()
        length = reader.number()
        if length > ID_BYTES or (not step and length):
            raise BadMessage(f"a bound with a prefix of {length} bytes")
        time = time + step - 1 if step else time
        if time > MAX_TIME:
            raise BadMessage("a time beyond all times")
        bound = time.to_bytes(TIME_BYTES, "big") + reader.take(length) if step else INFINITY
        if bound < last:
            raise BadMessage("bounds that go backwards")
        last = bound
        mode = reader.number()
        if mode == SKIP:
            yield bound, SKIP, b""
        elif mode == FINGERPRINT:
            yield bound, FINGERPRINT, reader.take(FINGERPRINT_BYTES)
        elif mode == IDS:
            ids = reader.take(reader.number() * ID_BYTES)
            if len(set(_ids_of(ids))) * ID_BYTES != len(ids):
                raise BadMessage("an id that is listed twice")
            yield bound, IDS, ids
        else:
            raise BadMessage(f"a range of mode {mode}")


def _ids_of(ids: bytes) -> list[bytes]:
    return [ids[start : start + ID_BYTES] for start in range(0, len(ids), ID_BYTES)]
