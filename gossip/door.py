"""Who may come in by the listening socket, before anything dear is done for him. Pure: the time is passed in.

A connection costs nothing to open and a handshake costs milliseconds, so both are bounded: for each origin (an IPv4
address, or a /64 of IPv6) and in all. When too many handshakes are unfinished, the oldest of the origin that has most
gives way; so idle sockets, however many, delay nobody. Loopback and private addresses, where one person runs many
nodes, have wider limits.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gossip.bucket import Buckets, Rate
from gossip.guard import Origin, origin_of

MAX_HANDSHAKES: Final = 64


@dataclass(frozen=True)
class Width:
    """How wide the door is for one origin: connections at a time, and arrivals."""

    connections: int
    arrivals: Rate


PUBLIC: Final = Width(connections=16, arrivals=Rate(burst=40, per_second=1))
LOCAL: Final = Width(connections=1000, arrivals=Rate(burst=1000, per_second=50))


@dataclass(eq=False)
class Guest:
    """One who came in."""

    origin: Origin


class Door:
    """Counts guests. `shut` says whether nobody is let in from an origin."""

    def __init__(
        self, shut: Callable[[Origin], bool] = lambda origin: False, *, public: Width = PUBLIC, local: Width = LOCAL
    ) -> None:
        self._shut = shut
        self._widths = {False: public, True: local}
        self._arrivals: dict[bool, Buckets[str]] = {
            kind: Buckets(width.arrivals) for kind, width in self._widths.items()
        }
        self._inside: Counter[str] = Counter()
        self._shaking: dict[Guest, None] = {}

    def enter(self, address: str, now: float) -> Guest | str:
        """Let one in from an IP address, in seconds: his place, or why not."""
        origin = origin_of(address)
        if self._shut(origin):
            return f"{origin.name} is shut out"
        if self._inside[origin.name] >= self._widths[origin.local].connections:
            return f"{origin.name} has too many connections"
        if not self._arrivals[origin.local].take(origin.name, now):
            return f"{origin.name} connects too often"
        guest = Guest(origin)
        self._inside[origin.name] += 1
        self._shaking[guest] = None
        return guest

    def crowded_out(self) -> Guest | None:
        """The guest whose unfinished handshake must be given up now, if any; to be called after each `enter`."""
        if len(self._shaking) <= MAX_HANDSHAKES:
            return None
        (busiest, _), *_ = Counter(guest.origin.name for guest in self._shaking).most_common(1)
        guest = next(guest for guest in self._shaking if guest.origin.name == busiest)
        self.greeted(guest)
        return guest

    def greeted(self, guest: Guest) -> None:
        """His handshake is done, or given up."""
        self._shaking.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        """He has gone."""
        self.greeted(guest)
        self._inside[guest.origin.name] -= 1
        if not self._inside[guest.origin.name]:
            del self._inside[guest.origin.name]
