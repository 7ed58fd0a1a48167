"""What the network tells the node: every event is counted, and waits for the node to read it.

On their way events are looked at for what they say of this node itself: that its clock is wrong, or that another node
uses its identity.
"""

import math
from collections.abc import Callable

import trio

from gossip.clock import PeerClocks
from gossip.events import Event, EventQueue, Notice, RecordArrived, SyncFinished, Trouble
from gossip.metrics import Metrics, look_up
from gossip.twin import Twins


class Teller:
    """events: for one reader. metrics: what they came to so far. twins: who else is `author`, the node itself."""

    def __init__(self, author: bytes, clock: Callable[[], int]) -> None:
        self.events = EventQueue()
        self.metrics = Metrics()
        self.twins = Twins(author, clock, self.report)
        self._peer_clocks = PeerClocks()
        look_up(self.metrics.queue, lambda: self.events.waiting, "events")
        look_up(self.metrics.clock_offset, self._clock_offset_seconds)

    def tell(self, event: Event) -> None:
        """Tell the node."""
        self.metrics.count(event)
        self.events.put(event)
        match event:
            case RecordArrived(record):
                self.twins.arrived(record)
            case SyncFinished():
                self._compare_clocks(event)

    def report(self, what: str, why: str) -> None:
        """Tell of a trouble: what has it, and why."""
        self.metrics.troubles.inc()
        self.tell(Trouble(what, why))

    def _compare_clocks(self, event: SyncFinished) -> None:
        self._peer_clocks.note(event.peer, event.offset_ms, trio.current_time())
        change = self._peer_clocks.change()
        if change is not None:
            self.tell(Trouble("clock", change) if self._peer_clocks.wrong else Notice(change))

    def _clock_offset_seconds(self) -> float:
        offset_ms = self._peer_clocks.offset_ms
        return math.nan if offset_ms is None else offset_ms / 1000
