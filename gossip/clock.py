"""What time it is, and whether this node's clock is wrong, by what the peers' clocks say.

One peer's clock proves nothing, nor do several of one liar who connects often; so the median over enough distinct peers
decides. Nothing is corrected: a node states times by its own clock, and its person sets it. PeerClocks is pure: times
are passed in.
"""

import time
from collections import OrderedDict
from statistics import median
from typing import Final

ENOUGH_PEERS: Final = 3
WRONG_MS: Final = 60_000
RIGHT_MS: Final = 30_000
REMEMBERED_SECONDS: Final = 1800.0
MAX_PEERS: Final = 100


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


class PeerClocks:
    """What peers' clocks said, each peer's latest. wrong: whether this node's clock is held to be wrong."""

    def __init__(self) -> None:
        self.wrong = False
        self._offsets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def note(self, peer: str, offset_ms: int, now: float) -> None:
        """A peer's clock is `offset_ms` ahead of this node's; `now` in seconds."""
        self._offsets[peer] = (now, offset_ms)
        self._offsets.move_to_end(peer)
        while len(self._offsets) > MAX_PEERS or next(iter(self._offsets.values()))[0] < now - REMEMBERED_SECONDS:
            self._offsets.popitem(last=False)

    @property
    def offset_ms(self) -> int | None:
        """How far the peers' clocks are ahead of this node's, by the median; None while too few have told."""
        if len(self._offsets) < ENOUGH_PEERS:
            return None
        return int(median(offset for _, offset in self._offsets.values()))

    def change(self) -> str | None:
        """What to tell the person if the judgement has just changed: that the clock is wrong, or right again."""
        offset = self.offset_ms
        limit = RIGHT_MS if self.wrong else WRONG_MS
        if offset is None or (abs(offset) > limit) == self.wrong:
            return None
        self.wrong = not self.wrong
        if not self.wrong:
            return "this node's clock agrees with its peers' again"
        side, harm = (
            ("behind", "It refuses peers' new records until then")
            if offset > 0
            else ("ahead", "Peers refuse its records until their time has come")
        )
        return (
            f"this node's clock is {_duration(abs(offset))} {side}, by {len(self._offsets)} peers. {harm}, and none is "
            "lost. Set it: timedatectl set-ntp true (Linux), sudo sntp -sS time.apple.com (macOS)"
        )


def _duration(milliseconds: int) -> str:
    minutes = milliseconds / 60_000
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
