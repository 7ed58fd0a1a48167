"""Who may be connected, and what follows for those who may not: they are told of, and disconnected.

The guard keeps the score of offences (gossip/guard.py); here its bans take effect: at the door, after the handshake,
and for peers that are connected.
"""

from collections.abc import Callable
from typing import Final

import trio
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID

from gossip import upstream
from gossip.events import Peer, PeerRejected
from gossip.guard import Guard, Origin, origin_of
from gossip.teller import Teller

BROKEN_PROTOCOL: Final = 5.0
BROKEN_MUXING: Final = 10.0
OTHER_SWARM: Final = 1000.0


class Admission:
    """Bans and their effects. own_id: which is never a peer's. peer_of: a peer that is connected."""

    def __init__(self, own_id: ID, peer_of: Callable[[ID], Peer | None], teller: Teller) -> None:
        self.guard = Guard()
        self._own_id = own_id
        self._peer_of = peer_of
        self._teller = teller
        self._to_disconnect, self._disconnects = trio.open_memory_channel[ID](1000)

    def shut(self, origin: Origin) -> bool:
        """Whether nobody from there may connect."""
        return self.guard.shut(origin, trio.current_time())

    def allowed(self, peer: ID) -> bool:
        """Whether that peer may be connected."""
        return peer != self._own_id and not self.guard.banned(peer.to_base58(), trio.current_time())

    def admit(self, peer: ID) -> bool:
        """Whether a peer that has just proved its id may stay."""
        if peer == self._own_id:
            self._teller.twins.met()
        return self.allowed(peer)

    def blame(self, peer: ID, reason: str, weight: float = 1.0) -> None:
        """Count an offence of that weight; whoever is banned is told of and disconnected."""
        name = peer.to_base58()
        connected = self._peer_of(peer)
        origin = origin_of(_ip_of(connected.address)) if connected else None
        # one who is of another swarm is no evil-doer, and his neighbours may be of this one
        count = self.guard.blame(name, trio.current_time(), weight, origin, evil=weight < OTHER_SWARM)
        if count:
            self._teller.tell(PeerRejected(name, reason, count))
        if count or not self.allowed(peer):
            try:
                self._to_disconnect.send_nowait(peer)
            except trio.WouldBlock:
                self._teller.report("guard", f"too many peers to disconnect at once; {name} stays a while")

    async def disconnect(self, swarm: Swarm) -> None:
        """Disconnect those who are banned. Runs until cancelled."""
        async with trio.open_nursery() as nursery:
            async for peer in self._disconnects:
                nursery.start_soon(upstream.disconnect, swarm, peer)


def _ip_of(address: str) -> str:
    """The IP address in a multiaddress such as `/ip4/192.0.2.1/tcp/4001`."""
    return address.split("/")[2] if address.count("/") >= 2 else ""
