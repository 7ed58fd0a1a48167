"""Who broke the rules, how often, and until when they are shut out. Pure: the time, in seconds, is passed in."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MAX_OFFENCES: Final = 20
FORGIVEN_PER_SECOND: Final = 1 / 30
BAN_SECONDS: Final = 600.0
MAX_PEERS: Final = 10_000


@dataclass
class _Conduct:
    offences: float = 0.0
    seen: float = 0.0
    count: int = 0
    banned_until: float = 0.0


class Guard:
    """Counts each peer's offences, forgives them slowly, and bans at MAX_OFFENCES."""

    def __init__(self) -> None:
        self._peers: OrderedDict[str, _Conduct] = OrderedDict()

    def blame(self, peer: str, now: float, weight: float = 1.0) -> int:
        """Note an offence. Returns how many there were in all if the peer has just become banned, else 0."""
        conduct = self._peers.setdefault(peer, _Conduct(seen=now))
        self._peers.move_to_end(peer)
        if len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        conduct.offences = max(0.0, conduct.offences - (now - conduct.seen) * FORGIVEN_PER_SECOND) + weight
        conduct.seen = now
        conduct.count += 1
        if conduct.offences < MAX_OFFENCES or now < conduct.banned_until:
            return 0
        conduct.offences = 0.0
        conduct.banned_until = now + BAN_SECONDS
        return conduct.count

    def banned(self, peer: str, now: float) -> bool:
        """Whether the peer is shut out at that time."""
        conduct = self._peers.get(peer)
        return conduct is not None and now < conduct.banned_until
