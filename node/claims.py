"""Who tests what right now: what peers say that they are at, and what this node says."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from agent.claims import CLAIM_MS, Claim
from agent.entries import Presence
from gossip.network import now_ms
from node.events import mean_values
from node.state import State
from trainer.knobs import Scalar

PRESENCE_SECONDS: Final = 20.0


@dataclass
class Claims:
    """The claims of peers, and this node's own presence. announce: send a presence."""

    state: State
    alias: str
    announce: Callable[[Presence], Awaitable[None]]
    _of_peers: dict[bytes, Claim] = field(default_factory=dict)
    _own: Presence | None = None

    def note(self, claim: Claim) -> None:
        """Take note of what a peer says it is testing; an empty change takes its claim back."""
        now = now_ms()
        self._of_peers = {claim.author: claim for claim in self.live()}
        self._of_peers.pop(claim.author, None)
        if claim.change:
            self._of_peers[claim.author] = replace(claim, expires_ms=min(claim.expires_ms, now + CLAIM_MS))

    def live(self) -> list[Claim]:
        """What peers are testing now."""
        now = now_ms()
        return [claim for claim in self._of_peers.values() if claim.expires_ms > now]

    async def say(self, activity: str, claim: Mapping[str, Scalar]) -> None:
        """Tell peers what this node is doing, so that they pick something else."""
        result = self.state.notebook.best_result()
        self._own = Presence(
            alias=self.alias,
            activity=activity[:200],
            claim=dict(claim),
            expires_ms=now_ms() + CLAIM_MS if claim else 0,
            best=mean_values(result.pairs)[0] if result else None,
        )
        await self.announce(self._own)

    async def keep_saying(self) -> None:
        """Repeat the presence, for peers that came later or missed it."""
        while True:
            await trio.sleep(PRESENCE_SECONDS)
            if self._own is not None:
                await self.announce(self._own)
