"""Who tests what right now: what peers say that they are at, and what this node says."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from agent.claims import CLAIM_MS, Claim
from agent.entries import Presence
from gossip.clock import now_ms
from node.events import mean_values
from node.pace import Pace
from node.state import State
from trainer.knobs import Scalar

INTERVALS: Final = 2  # for which a claim holds, where that is longer than CLAIM_MS


@dataclass
class Claims:
    """The claims of peers, and this node's own presence. announce: send a presence."""

    state: State
    alias: str
    announce: Callable[[Presence], Awaitable[None]]
    pace: Pace = field(default_factory=Pace)
    _of_peers: dict[bytes, Claim] = field(default_factory=dict)
    _own: Presence | None = None
    _waiting: trio.Event = field(default_factory=trio.Event)

    def hear(self, author: bytes, task: bytes, presence: Presence) -> None:
        """Take note of what a peer says that it is at; an empty claim takes its claim back.

        task: what it works on. On another one, it counts as one more who speaks.
        """
        self.pace.hear(author, presence.interval, trio.current_time())
        if task != self.state.task.fingerprint:
            return
        self._of_peers = {claim.author: claim for claim in self.live()}
        self._of_peers.pop(author, None)
        if presence.claim:
            expires_ms = min(presence.expires_ms, now_ms() + self._claim_ms())
            self._of_peers[author] = Claim(author, presence.claim, expires_ms, presence.hypothesis)

    def live(self) -> list[Claim]:
        """What peers are testing now."""
        now = now_ms()
        return [claim for claim in self._of_peers.values() if claim.expires_ms > now]

    async def say(self, activity: str, claim: Mapping[str, Scalar], hypothesis: bytes | None = None) -> None:
        """Tell peers what this node is doing, so that they pick something else; later, if it said much lately.

        claim: the change that it tests; hypothesis: the record whose idea that is, if one gave it.
        """
        result = self.state.notebook.best_result()
        self._own = Presence(
            alias=self.alias,
            activity=activity[:200],
            claim=dict(claim),
            expires_ms=now_ms() + self._claim_ms() if claim else 0,
            best=mean_values(result.pairs)[0] if result else None,
            hypothesis=hypothesis,
            interval=self.pace.interval(trio.current_time()),
        )
        if self.pace.pause(trio.current_time()):
            self._waiting.set()
        else:
            await self.announce(self._own)

    async def keep_saying(self) -> None:
        """Say what waits, and repeat the presence for peers that came later or missed it. Runs until cancelled."""
        while True:
            with trio.move_on_after(self.pace.interval(trio.current_time())):
                await self._waiting.wait()
            if self._own is None:
                continue
            while pause := self.pace.pause(trio.current_time()):  # noqa: ASYNC110 - the end of a pause is no event
                await trio.sleep(pause)
            self._waiting = trio.Event()
            interval = self.pace.interval(trio.current_time())
            await self.announce(self._own.model_copy(update={"interval": interval}))

    def _claim_ms(self) -> int:
        """How long a claim holds: longer than the pause until it is repeated."""
        return max(CLAIM_MS, int(1000 * INTERVALS * self.pace.interval(trio.current_time())))
