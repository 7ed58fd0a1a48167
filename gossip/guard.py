"""Who broke the rules, how often, and until when they are shut out. Pure: the time, in seconds, is passed in.

A peer that was banned before is banned for twice as long. An address from which several banned peers came is shut out
as a whole: keys cost nothing, addresses do. Not so loopback and private ones, behind which a person's own nodes are.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

MAX_OFFENCES: Final = 20
FORGIVEN_PER_SECOND: Final = 1 / 30
BAN_SECONDS: Final = 600.0
LONGEST_BAN_SECONDS: Final = 24 * 3600.0
FORGOTTEN_SECONDS: Final = 24 * 3600.0
BANNED_PEERS_OF_AN_ADDRESS: Final = 3
MAX_PEERS: Final = 10_000
IPV6_SITE_BITS: Final = 64


@dataclass(frozen=True)
class Origin:
    """Where a connection comes from, as one who owns several addresses cannot change it: IPv4, or a /64 of IPv6."""

    name: str
    local: bool


def origin_of(address: str) -> Origin:
    """The origin of an IP address in text form; what is no address is an origin of its own, and not local."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return Origin(address, False)
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    local = ip.is_loopback or ip.is_private or ip.is_link_local
    if ip.version == 4:
        return Origin(str(ip), local)
    return Origin(str(ipaddress.ip_network((ip, IPV6_SITE_BITS), strict=False)), local)


@dataclass
class _Conduct:
    offences: float = 0.0
    seen: float = 0.0
    count: int = 0
    bans: int = 0
    banned_until: float = 0.0

    def ban(self, now: float) -> None:
        if now - self.banned_until > FORGOTTEN_SECONDS:
            self.bans = 0
        self.banned_until = now + min(LONGEST_BAN_SECONDS, BAN_SECONDS * 2**self.bans)
        self.bans = min(self.bans + 1, 32)


@dataclass
class _Address(_Conduct):
    peers: dict[str, float] = field(default_factory=dict)


class Guard:
    """Counts each peer's offences, forgives them slowly, and bans at MAX_OFFENCES."""

    def __init__(self) -> None:
        self._peers: OrderedDict[str, _Conduct] = OrderedDict()
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def blame(
        self, peer: str, now: float, weight: float = 1.0, origin: Origin | None = None, *, evil: bool = True
    ) -> int:
        """Note an offence. Returns how many there were in all if the peer has just become banned, else 0.

        `origin` is where the peer is connected from, if known. A ban for what is not `evil` lengthens no later one, and
        is not held against the origin.
        """
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
        conduct.ban(now)
        if not evil:
            conduct.bans -= 1
        elif origin is not None and not origin.local:
            self._count_against(origin, peer, now)
        return conduct.count

    def banned(self, peer: str, now: float) -> bool:
        """Whether the peer is shut out at that time."""
        conduct = self._peers.get(peer)
        return conduct is not None and now < conduct.banned_until

    def shut(self, origin: Origin, now: float) -> bool:
        """Whether nobody is let in from there at that time."""
        address = self._addresses.get(origin.name)
        return address is not None and now < address.banned_until

    def _count_against(self, origin: Origin, peer: str, now: float) -> None:
        address = self._addresses.setdefault(origin.name, _Address())
        self._addresses.move_to_end(origin.name)
        if len(self._addresses) > MAX_PEERS:
            self._addresses.popitem(last=False)
        address.peers = {other: at for other, at in address.peers.items() if now - at < FORGOTTEN_SECONDS}
        address.peers[peer] = now
        if len(address.peers) >= BANNED_PEERS_OF_AN_ADDRESS:
            address.ban(now)
            address.peers.clear()
