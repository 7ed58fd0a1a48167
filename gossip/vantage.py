"""Where this node is seen from outside, and which of its addresses it announces.

Now and then a peer that the node dialled itself is asked to dial back (gossip/reach.py). What was confirmed is
announced first, even if it is an address that no interface of this machine has, as behind a router that forwards the
port; what two peers could not dial is not announced as long as there is something else. Behind plain NAT nothing is
confirmed.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import push_identify_to_peers
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from gossip.flood import forget_own_record
from gossip.frames import ConversationError
from gossip.host import Connections, reachable
from gossip.reach import Dialable, ask_dialback

FIRST_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 600.0
RETRY_SECONDS: Final = 60.0
DENIALS: Final = 2
MAX_FINDINGS: Final = 16
PUSH_SECONDS: Final = 10.0


@dataclass
class Findings:
    """What peers said of each address. Pure."""

    confirmed: dict[str, None] = field(default_factory=dict)
    denied: dict[str, set[str]] = field(default_factory=dict)

    def note(self, witness: str, finding: Dialable) -> None:
        """Take in what one peer found. One peer's failure may be its own network's; that of DENIALS is not."""
        deniers = self.denied.pop(finding.address, set())
        if not finding.failure:
            self.confirmed.pop(finding.address, None)
            self.confirmed[finding.address] = None
        else:
            self.denied[finding.address] = deniers | {witness}
            if len(self.denied[finding.address]) >= DENIALS:
                self.confirmed.pop(finding.address, None)
        for known in (self.confirmed, self.denied):
            while len(known) > MAX_FINDINGS:
                del known[next(iter(known))]

    def announced(self, own: Sequence[Multiaddr]) -> list[Multiaddr]:
        """The addresses to announce: the latest confirmed first, then those of `own` that nobody denied."""
        confirmed = [Multiaddr(text) for text in reversed(self.confirmed)]
        denied = {text for text, deniers in self.denied.items() if len(deniers) >= DENIALS}
        rest = [address for address in own if address not in confirmed and str(address) not in denied]
        return [*reachable(confirmed), *rest] or list(own)


class Vantage:
    """Keeps asking. `changed` is called after what is announced has changed."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self.findings = Findings()
        self._changed = changed

    def announced(self, listening: Sequence[Multiaddr]) -> list[Multiaddr]:
        """What to announce for these listen addresses."""
        return self.findings.announced(reachable(listening))

    async def look(self, host: BasicHost, connections: Connections, *, first: float = FIRST_SECONDS) -> None:
        """Ask one peer after another, seldom. Runs until cancelled."""
        pause = first
        while True:
            await trio.sleep(pause * random.uniform(0.75, 1.25))
            pause = RETRY_SECONDS
            dialled = [ID.from_string(peer.peer) for peer in connections.peers.values() if not peer.inbound]
            if not dialled:
                continue
            peer = random.choice(dialled)
            before = host.get_addrs()
            try:
                finding = await ask_dialback(host, peer)
            except ConversationError:
                continue  # it is gone, busy, or of another kind; the next one may know
            self.findings.note(str(peer), finding)
            pause = RETRY_SECONDS if finding.failure else AGAIN_SECONDS
            if host.get_addrs() != before:
                forget_own_record(host)
                self._changed()
                with trio.move_on_after(PUSH_SECONDS):
                    await push_identify_to_peers(host)
