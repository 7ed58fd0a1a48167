"""What the network tells the node, and the queue it tells it through."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

import trio

from gossip.record import Record

MAX_NOISE: Final = 1000
IN_A_ROW: Final = 16  # events that a reader takes before others have a turn, which costs as much as a record's id


@dataclass(frozen=True)
class Peer:
    """A connected peer. `peer` is its libp2p peer id, `since` is in milliseconds since 1970."""

    peer: str
    address: str
    inbound: bool
    since: int


@dataclass(frozen=True)
class PeerConnected:
    peer: Peer


@dataclass(frozen=True)
class PeerLost:
    peer: Peer


@dataclass(frozen=True)
class RecordArrived:
    """A record of another node that was not in the log, and now is. `peer` is the peer id that brought it."""

    record: Record
    via: Literal["gossip", "sync"]
    peer: str


@dataclass(frozen=True)
class PresenceArrived:
    record: Record


@dataclass(frozen=True)
class SyncFinished:
    """A history exchange with `peer`: how many records it brought that were new here, and took.

    offset_ms: the peer's clock minus this node's, measured in passing: to half a round trip or so. archived: all that
    was here up to that number of arrival is now with the peer, who keeps everything; 0 where that is not known.
    """

    peer: str
    received: int
    sent: int
    offset_ms: int = 0
    archived: int = 0


@dataclass(frozen=True)
class PeerRejected:
    """`peer` broke the rules `count` times, the last time by `reason`, and is shut out for a while."""

    peer: str
    reason: str
    count: int


@dataclass(frozen=True)
class Contradicted:
    """`author` (32 bytes) signed two different records for one millisecond, which no honest node does; told once."""

    author: bytes
    time_ms: int


@dataclass(frozen=True)
class Trouble:
    """Something failed and is being tried again: what, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Notice:
    """Something a person should know that is no trouble, such as the end of one."""

    text: str


Event = (
    PeerConnected
    | PeerLost
    | RecordArrived
    | PresenceArrived
    | SyncFinished
    | PeerRejected
    | Contradicted
    | Trouble
    | Notice
)


class EventQueue:
    """Events in order, for one reader: `async for event in queue`.

    `put` never blocks. Of events other than RecordArrived only the latest MAX_NOISE are kept for a slow reader; records
    are all kept, and who can wait looks at `records_waiting` first.
    """

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._noise = 0
        self._in_a_row = 0
        self._news = trio.Event()

    @property
    def waiting(self) -> int:
        """How many events nobody has read yet."""
        return len(self._waiting)

    @property
    def records_waiting(self) -> int:
        """How many RecordArrived events nobody has read yet."""
        return len(self._waiting) - self._noise

    def put(self, event: Event) -> None:
        """Add an event, at the cost of the oldest noise if there is too much of it."""
        self._waiting.append(event)
        if not isinstance(event, RecordArrived):
            self._noise += 1
            if self._noise > MAX_NOISE:
                self._waiting.remove(next(e for e in self._waiting if not isinstance(e, RecordArrived)))
                self._noise -= 1
        self._news.set()

    async def receive(self) -> Event:
        """The next event, waiting for one if need be."""
        self._in_a_row += 1
        if self._in_a_row < IN_A_ROW and self._waiting:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            self._in_a_row = 0
            await trio.lowlevel.checkpoint()
        while not self._waiting:
            self._news = trio.Event()
            await self._news.wait()
        event = self._waiting.popleft()
        if not isinstance(event, RecordArrived):
            self._noise -= 1
        return event

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            yield await self.receive()
