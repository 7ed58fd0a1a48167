"""The modelled internet: how long a packet takes from one node to another. Pure; the time is passed in.

A path's latency is log-normal, as measured between hosts on the internet, with an access delay of each end besides, and
a jitter for each packet. A node sends no faster than its uplink and receives no faster than its downlink takes; what
comes faster waits in line. Packets of one connection arrive in order: one that is lost is sent again, as TCP does,
and what was sent after it waits for it.
"""

import hashlib
import math
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

SEGMENT_BYTES: Final = 1448
PACKET_OVERHEAD: Final = 40 + 18 + 12  # TCP and IP, Noise, Yamux
LEAST_RESEND_SECONDS: Final = 0.2  # RFC 6298 says 1 s, Linux waits for 200 ms
MEGABIT: Final = 1e6 / 8


@dataclass(frozen=True)
class Access:
    """How a node is connected: bytes per second, and the seconds that its own line adds each way."""

    up: float
    down: float
    seconds: float


HOME: Final = Access(20 * MEGABIT, 100 * MEGABIT, 0.008)
LABORATORY: Final = Access(1000 * MEGABIT, 1000 * MEGABIT, 0.001)


@dataclass(frozen=True)
class Internet:
    """What the paths are drawn from. latency: the median of a path's one-way seconds; spread: sigma of its logarithm.

    jitter: the most that a packet takes longer, as a part of its path's latency. loss: part of the packets that are
    lost. access: each node is connected in one of these ways, by chance.
    """

    latency: float = 0.04
    spread: float = 0.6
    jitter: float = 0.1
    loss: float = 0.001
    access: Sequence[Access] = (HOME, HOME, HOME, LABORATORY)


INTERNET: Final = Internet()


class Links:
    """The paths between numbered nodes, all drawn from `seed`. lost: packets that had to be sent again."""

    def __init__(self, internet: Internet, seed: int) -> None:
        self.lost = 0
        self._internet = internet
        self._seed = seed
        self._chance = random.Random(f"links {seed}")
        self._access: dict[int, Access] = {}
        self._paths: dict[tuple[int, int], float] = {}
        self._up_free: dict[int, float] = {}
        self._down_free: dict[int, float] = {}
        self._in_order: dict[tuple[int, int], float] = {}
        self._group: dict[int, int] = {}

    def access(self, node: int) -> Access:
        """How a node is connected."""
        found = self._access.get(node)
        if found is None:
            ways = self._internet.access
            found = self._access[node] = ways[int(self._draw("access", node) * len(ways))]
        return found

    def latency(self, one: int, other: int) -> float:
        """One-way seconds between two nodes, without jitter; the same in both directions."""
        ends = (one, other) if one < other else (other, one)
        found = self._paths.get(ends)
        if found is None:
            chance = random.Random(f"path {self._seed} {ends}")
            inner = chance.lognormvariate(math.log(self._internet.latency), self._internet.spread)
            found = self._paths[ends] = inner + self.access(one).seconds + self.access(other).seconds
        return found

    def carry(self, sender: int, receiver: int, size: int, now: float) -> float:
        """When `size` bytes that are written now have arrived whole, if both nodes are up and in reach."""
        up, down = self.access(sender).up, self.access(receiver).down
        out = max(now, self._up_free.get(sender, 0.0)) + size / up
        self._up_free[sender] = out
        path = self.latency(sender, receiver)
        arrival = out + path * (1 + self._internet.jitter * self._chance.random())
        for _ in range(1 + size // SEGMENT_BYTES):
            again = max(LEAST_RESEND_SECONDS, 2.5 * path)
            while self._chance.random() < self._internet.loss:
                self.lost += 1
                arrival += again
                again *= 2
        ends = (sender, receiver)
        arrival = max(arrival, self._in_order.get(ends, 0.0))
        arrival = max(arrival, self._down_free.get(receiver, 0.0)) + size / down
        self._in_order[ends] = arrival
        if size > SEGMENT_BYTES:  # a queue at the downlink is made by bulk; small packets pass between
            self._down_free[receiver] = arrival
        return arrival

    def backlog(self, sender: int, now: float) -> float:
        """How many seconds what was written lasts until it has left the sender."""
        return max(0.0, self._up_free.get(sender, 0.0) - now)

    def partition(self, groups: Sequence[Collection[int]]) -> None:
        """Cut the network between these groups; who is in none of them is in one more."""
        self._group = {node: group for group, nodes in enumerate(groups, 1) for node in nodes}

    def reachable(self, one: int, other: int) -> bool:
        """Whether no cut lies between two nodes."""
        return self._group.get(one, 0) == self._group.get(other, 0)

    def _draw(self, what: str, node: int) -> float:
        digest = hashlib.sha256(f"{what} {self._seed} {node}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64
