"""Whom to let go when there are more connections than a node wants. Pure.

A node keeps some of its connections free for newcomers: it tells them of others and, before it is full, lets go of
those that have had time to find others. So the address that everyone knows stays a door, and does not become a hub.
"""

import ipaddress
from collections import Counter
from collections.abc import Container, Sequence
from typing import Final

from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from gossip.events import Peer

RESERVED_PART: Final = 10
MIN_RESERVED: Final = 2


def room(max_connections: int) -> int:
    """How many connections to keep, so that newcomers find a free one."""
    return max(1, max_connections - max(MIN_RESERVED, max_connections // RESERVED_PART))


def surplus(
    peers: Sequence[Peer], keep: int, *, useful: Container[str], since: int, only_inbound: bool = True
) -> list[Peer]:
    """Whom to let go so that at most `keep` remain, of those connected no later than `since` (ms since 1970).

    First those that are not `useful`; among them one of whichever network has most connections, so that a stranger with
    many addresses displaces himself; and of that network whoever has been connected longest.
    """
    candidates = [peer for peer in peers if peer.since <= since and (peer.inbound or not only_inbound)]
    networks = Counter(network_of(peer.address) for peer in peers)
    going: list[Peer] = []
    while candidates and len(peers) - len(going) > keep:
        chosen = min(candidates, key=lambda p: (p.peer in useful, -networks[network_of(p.address)], p.since, p.peer))
        candidates.remove(chosen)
        networks[network_of(chosen.address)] -= 1
        going.append(chosen)
    return going


def network_of(address: str) -> str:
    """The neighbourhood of an address: 24 bits of IPv4, 48 bits of IPv6; empty where there is no address."""
    try:
        multiaddr = Multiaddr(address)
        ip = ipaddress.ip_address(multiaddr.value_for_protocol(multiaddr.protocols()[0].name))
    except (MultiaddrError, ValueError, LookupError):
        return ""
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))
