"""How records spread: what a run of `flood` counted, and the figures of it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.simulation.flooding.overlay import Flags, Floats, Ints

ID_BYTES: Final = 48
"""Of one id in an IHAVE or IWANT: 46 bytes, with tag and length."""
ANNOUNCEMENT_BYTES: Final = 28
REQUEST_BYTES: Final = 5
"""An IHAVE and an IWANT without ids, in their frame, without the sender's signed peer record."""


@dataclass(frozen=True)
class Counts:
    """What a node sent, one number a node. messages: copies of records; packets: frames with some; announced: ids in
    IHAVE; announcements: IHAVEs; requested: ids in IWANT, each an IWANT of its own; answers: records sent for them.
    """

    messages: Ints
    packets: Ints
    announced: Ints
    announcements: Ints
    requested: Ints
    answers: Ints

    def sent_bytes(self, message_bytes: int) -> Ints:
        """Bytes that each node sent, below Noise: messages and answers with their RPC, ids with theirs."""
        return (
            (self.messages + self.answers) * message_bytes
            + self.announced * ID_BYTES
            + self.announcements * ANNOUNCEMENT_BYTES
            + self.requested * (ID_BYTES + REQUEST_BYTES)
        )


@dataclass(frozen=True)
class Spread:
    """authors, said: of each record, its node and when; after: seconds from there to its delivery at each node, by
    record and node, infinite where it never came and 0 at its author; hops: on the way that came first; meant: whether
    that node was there from its publication for long enough to be counted; copies: records that arrived at each node.
    """

    authors: Ints
    said: Floats
    after: Floats
    hops: NDArray[np.uint16]
    meant: Flags
    copies: Ints
    sent: Counts

    @property
    def delivered(self) -> Flags:
        """Who got what, by record and node, of those who were meant to; authors do not get their own."""
        return self._receivers & np.isfinite(self.after)

    @property
    def _receivers(self) -> Flags:
        receivers = self.meant.copy()
        receivers[np.arange(len(self.authors)), self.authors] = False
        return receivers

    @property
    def share(self) -> float:
        """Deliveries over what was meant to be delivered."""
        return float(self.delivered.sum() / self._receivers.sum())

    @property
    def seconds(self) -> Floats:
        """From publication to delivery, of every delivery, ascending."""
        return np.sort(self.after[self.delivered])

    @property
    def redundancy(self) -> float:
        """Copies that arrived for each first one."""
        first = int(np.isfinite(self.after).sum()) - len(self.authors)
        return float(self.copies.sum() / max(1, first))

    @property
    def hop_counts(self) -> NDArray[np.uint16]:
        """Hops of every delivery."""
        return self.hops[self.delivered]
