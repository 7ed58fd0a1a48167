"""What a simulated network carried, in columns: a large swarm has millions of deliveries."""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import trio

from gossip.record import Record

HERE: Final = 1  # what is added to the hops that stand in a byte, 0 being "not here"
MOST_HOPS: Final = 254


@dataclass(frozen=True)
class Delivery:
    """A record that was new to a node. record: its number, in order of publication; seconds: since then, virtual.

    hops: how many nodes it went through, the publisher not counted; at least 1. by_sync: it came by history exchange.
    """

    record: int
    publisher: int
    receiver: int
    seconds: float
    hops: int
    by_sync: bool


class Traffic:
    """Filled by a network, read by whoever wants figures. Nodes are the numbers that they were started with.

    record, receiver, seconds, hops, by_sync: columns of the deliveries, in order. publisher, published, size: columns
    of the published records: by whom, when in virtual seconds, how many bytes. duplicates: copies of records and
    presences that came to a node which had them; presences: how many were new to one. lost: packets that the network
    lost, or that went to nobody. sent: bytes by node.
    """

    def __init__(self) -> None:
        self.record = array("l")
        self.receiver = array("l")
        self.seconds = array("d")
        self.hops = array("B")
        self.by_sync = array("B")
        self.publisher = array("l")
        self.published = array("d")
        self.size = array("l")
        self.duplicates = 0
        self.presences = 0
        self.lost = 0
        self._sent = array("Q")
        self._numbers: dict[bytes, int] = {}
        self._holders: list[bytearray] = []  # for each record: hops + HERE by node

    def publish(self, node: int, record: Record) -> None:
        """Note that a node published a record, now."""
        self._numbers[record.id] = len(self.publisher)
        self.publisher.append(node)
        self.published.append(trio.current_time())
        self.size.append(len(record.raw))
        self._holders.append(bytearray())
        _put(self._holders[-1], node, HERE)

    def deliver(self, node: int, record: Record, bringer: int, *, by_sync: bool = False) -> None:
        """Note that a record reached a node, from `bringer`, now; not if nobody published it here."""
        number = self._numbers.get(record.id)
        if number is None:
            return
        holders = self._holders[number]
        known = holders[bringer] if bringer < len(holders) else 0
        hops = min(MOST_HOPS, max(known - HERE, 0) + 1)
        if node >= len(holders) or not holders[node]:
            _put(holders, node, hops + HERE)
        self.record.append(number)
        self.receiver.append(node)
        self.seconds.append(trio.current_time() - self.published[number])
        self.hops.append(hops)
        self.by_sync.append(by_sync)

    def send(self, node: int, size: int) -> None:
        """Note that a node sent so many bytes."""
        while len(self._sent) <= node:
            self._sent.append(0)
        self._sent[node] += size

    def sent(self, node: int) -> int:
        """How many bytes a node sent so far."""
        return self._sent[node] if node < len(self._sent) else 0

    def deliveries(self) -> Iterator[Delivery]:
        """All deliveries as values, in order."""
        columns = zip(self.record, self.receiver, self.seconds, self.hops, self.by_sync, strict=True)
        for record, receiver, seconds, hops, by_sync in columns:
            yield Delivery(record, self.publisher[record], receiver, seconds, hops, bool(by_sync))

    def digest(self) -> str:
        """A hash over every publication, delivery and byte count with its virtual time: equal for equal runs."""
        found = hashlib.sha256()
        for column in (self.publisher, self.published, self.size, self.record, self.receiver, self.seconds, self.hops):
            found.update(column.tobytes())
        found.update(self.by_sync.tobytes() + self._sent.tobytes() + b"%d %d" % (self.duplicates, self.lost))
        return found.hexdigest()[:16]


def _put(holders: bytearray, node: int, value: int) -> None:
    if node >= len(holders):
        holders.extend(bytes(node + 1 - len(holders)))
    holders[node] = value
