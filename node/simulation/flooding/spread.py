"""How records spread: what a run of `flood` counted, and the figures of it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossip.mesh import STORE_EVERY_SECONDS
from node.simulation.flooding.overlay import Flags, Floats, Ints

ID_BYTES: Final = 48
"""Of one id in an IHAVE or IWANT: 46 bytes, with tag and length."""
ANNOUNCEMENT_BYTES: Final = 28
REQUEST_BYTES: Final = 5
"""An IHAVE and an IWANT without ids, in their frame."""
SENDER_BYTES: Final = 230
"""The signed peer record in an answer, which is of the library's making."""
PACKET_BYTES: Final = 70
"""TCP and IP 40, Noise 18, Yamux 12."""
MESSAGE_BYTES: Final = 146
"""What GossipSub adds to a record: author, number, topic and signature, with all tags."""


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

    def sent_bytes(self, record_bytes: int) -> Ints:
        """Bytes that each node sent, down to IP, where records have so many."""
        control = self.announcements + self.requested
        return (
            (self.messages + self.answers) * (record_bytes + MESSAGE_BYTES)
            + (self.announced + self.requested) * ID_BYTES
            + self.announcements * ANNOUNCEMENT_BYTES
            + self.requested * REQUEST_BYTES
            + self.answers * SENDER_BYTES
            + (self.packets + control + self.answers) * PACKET_BYTES
        )


@dataclass(frozen=True)
class Spread:
    """authors, said: of each record, its node and when; after: seconds from there until each node has it in its log, by
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


def stored(said: Floats, after: Floats) -> Floats:
    """When records are in the logs that were judged so many seconds after they were said: a node writes all that came
    within STORE_EVERY_SECONDS of the first at once (`Mesh.store_arrivals`). By record and node.
    """
    judged = said[:, np.newaxis] + after
    order = np.argsort(judged, axis=0)
    until = np.full(after.shape[1], -np.inf)
    found = after.copy()
    for places in order:
        nodes = np.arange(len(places))
        came, own = judged[places, nodes], after[places, nodes] == 0
        until = np.where((came > until) & ~own, came + STORE_EVERY_SECONDS, until)
        found[places, nodes] = np.where(own, 0.0, until - said[places])
    return found
