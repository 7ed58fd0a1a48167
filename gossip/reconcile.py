"""Negentropy messages about the records of a log, made in a thread, and a limit on talk that leads nowhere.

A message holds 2,000 ids or 3,000 fingerprints at most, which bounds what answering it can cost. Ranges are cut finer
than the reference implementation cuts them: 100 differences scattered over 100,000 records then take 55 kB instead of
114 kB, in no more round trips.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import trio

from gossip import negentropy
from gossip.frames import PeerBroke
from gossip.items import Items
from gossip.negentropy import BadMessage, Split, Step

MAX_MESSAGE: Final = 64 * 1024
SPLIT: Final = Split(buckets=8, list_below=16)
FIRST: Final = Split(buckets=1, list_below=16)  # most exchanges find nothing, and one fingerprint of all tells so
FIRST_BYTES: Final = 20  # of a message that is one fingerprint of all
SECOND: Final = Split(buckets=SPLIT.buckets**2, list_below=16)  # what that saved in steps is not lost again
MANY: Final = SECOND.buckets * SECOND.list_below
MAX_BARREN: Final = 100

T = TypeVar("T")


async def begin(items: Items) -> bytes:
    """The leader's first message."""
    return await _locked(items, lambda: negentropy.initiate(items, limit=MAX_MESSAGE, split=FIRST))


async def answer(items: Items, message: bytes) -> bytes:
    """The follower's answer. Raises PeerBroke."""
    _check_size(message)
    split = SECOND if len(message) <= FIRST_BYTES and len(items) >= MANY else SPLIT
    return await _locked(items, lambda: negentropy.reply(items, message, limit=MAX_MESSAGE, split=split))


async def compare(items: Items, message: bytes) -> Step:
    """What the follower's answer tells the leader, and the leader's next message. Raises PeerBroke."""
    _check_size(message)
    return await _locked(items, lambda: negentropy.compare(items, message, limit=MAX_MESSAGE, split=SPLIT))


class Progress:
    """Reconciliation messages since one led to a record: honest nodes need few, so MAX_BARREN are too many."""

    def __init__(self) -> None:
        self._barren = 0

    def message(self) -> None:
        """Note a message. Raises PeerBroke when there were too many for nothing."""
        self._barren += 1
        if self._barren > MAX_BARREN:
            raise PeerBroke(f"sent {MAX_BARREN} messages that led to no record")

    def record(self) -> None:
        """Note that a record came, or went."""
        self._barren = 0


async def _locked(items: Items, make: Callable[[], T]) -> T:
    def run() -> T:
        with items.lock:
            return make()

    try:
        return await trio.to_thread.run_sync(run)
    except BadMessage as error:
        raise PeerBroke(f"sent a reconciliation message that breaks its protocol: {error}") from error


def _check_size(message: bytes) -> None:
    if len(message) > MAX_MESSAGE:
        raise PeerBroke(f"sent a reconciliation message of {len(message)} bytes")
