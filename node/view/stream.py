"""A stream of messages to many readers, of which none can hold up the node or fill its memory.

Messages are numbered. The latest are kept, so that a reader who lost the connection goes on where it was; one who is
too slow, or was away for too long, is told to start over.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import trio

KEPT: Final = 500
WAITING: Final = 256
MAX_READERS: Final = 24


class TooManyReaders(Exception):
    """There are MAX_READERS already."""


@dataclass(frozen=True)
class Message:
    """number: from 1 on, or 0 for one that is not kept; kind; data: a line of JSON."""

    number: int
    kind: str
    data: str


RESET: Final = Message(0, "reset", "{}")
"""What a reader gets who has missed something: everything is to be fetched anew."""


class Stream:
    """Messages of one running node. `epoch` tells its numbers from those of an earlier run."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch
        self.readers = 0
        self._last = 0
        self._kept: deque[Message] = deque(maxlen=KEPT)
        self._ways: set[trio.MemorySendChannel[Message]] = set()

    @property
    def full(self) -> bool:
        """Whether there is no room for one more reader."""
        return self.readers >= MAX_READERS

    def send(self, kind: str, data: str, *, keep: bool = True) -> None:
        """Give a message to all readers. keep: whether one who comes back later gets it too."""
        if keep:
            self._last += 1
        message = Message(self._last if keep else 0, kind, data)
        if keep:
            self._kept.append(message)
        for way in list(self._ways):
            try:
                way.send_nowait(message)
            except trio.WouldBlock:
                if keep:  # it does not keep up: its iteration ends, and it comes back or not
                    self._ways.discard(way)
                    way.close()

    @contextmanager
    def read(self, after: str | None = None) -> Iterator[trio.MemoryReceiveChannel[Message]]:
        """The messages from now on, first those after `after` (`EPOCH-NUMBER` of the last one seen).

        The channel ends when the reader is too slow. Raises TooManyReaders.
        """
        if self.full:
            raise TooManyReaders
        missed = self._missed(after)
        send, receive = trio.open_memory_channel[Message](WAITING + len(missed))
        for message in missed:
            send.send_nowait(message)
        self._ways.add(send)
        self.readers += 1
        try:
            yield receive
        finally:
            self.readers -= 1
            self._ways.discard(send)
            send.close()
            receive.close()

    def _missed(self, after: str | None) -> list[Message]:
        if after is None:
            return []
        epoch, _, number = after.partition("-")
        if epoch != str(self.epoch) or not number.isdecimal():
            return [RESET]
        missed = [message for message in self._kept if message.number > int(number)]
        return missed if len(missed) == self._last - int(number) else [RESET]
