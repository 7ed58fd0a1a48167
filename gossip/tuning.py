"""What tests and large machines set differently about the network."""

from dataclasses import dataclass
from typing import Final

from gossip import liveness
from gossip.door import LOCAL, PUBLIC, Width
from gossip.host import MAX_CONNECTIONS
from gossip.quota import LIMITS, Limits
from gossip.vantage import FIRST_SECONDS

HEARTBEAT_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Tuning:
    """public, local: what one address may do, and one of this machine or a private network. limits: of an author.

    heartbeat: of GossipSub. grace: how long a newcomer stays at least where it is crowded. ping, patience: how often a
    peer is pinged, and how long its answer may take. vantage: when a peer is first asked to dial back. Times are
    seconds.
    """

    max_connections: int = MAX_CONNECTIONS
    heartbeat: float = HEARTBEAT_SECONDS
    public: Width = PUBLIC
    local: Width = LOCAL
    limits: Limits = LIMITS
    grace: float = GRACE_SECONDS
    ping: float = liveness.EVERY_SECONDS
    patience: float = liveness.ANSWER_SECONDS
    vantage: float = FIRST_SECONDS


USUAL: Final = Tuning()
