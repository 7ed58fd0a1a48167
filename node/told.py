"""What the research loop tells in the feed, some of it only once."""

from dataclasses import dataclass, field

from gossip.clock import now_ms
from node.events import Event, EventKind
from node.state import Show


@dataclass
class Told:
    """The loop's voice. alias: this node's name."""

    show: Show
    alias: str
    _once: set[str] = field(default_factory=set)

    def event(self, kind: EventKind, **data: object) -> None:
        """An event about this node, now."""
        self.show(Event(kind, now_ms(), self.alias, True, data))

    def note(self, text: str) -> None:
        """Something worth a line."""
        self.event("note", text=text)

    def trouble(self, what: str, why: str) -> None:
        """Something failed and was dealt with."""
        self.event("trouble", what=what, why=why)

    def first(self, what: str) -> bool:
        """Whether this is said for the first time, since the start or since `forget`."""
        if what in self._once:
            return False
        self._once.add(what)
        return True

    def forget(self, what: str) -> None:
        """It is over: when it comes again, it is said again."""
        self._once.discard(what)
