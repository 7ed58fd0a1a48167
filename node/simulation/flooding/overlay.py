"""Who is connected with whom, as arrays: each connection is two directed links, which lie together by their source."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DEGREE: Final = 10
"""Connections of a node: it looks for 8 (`gossip.peers.WANTED_PEERS`), and others that look find it."""
LEAST_SECONDS: Final = 0.01
MOST_SECONDS: Final = 0.08


@dataclass(frozen=True)
class Overlay:
    """The links of node n are `first[n]` to `first[n + 1]`. source, target: nodes of a link; back: the link the other
    way; seconds: how long a packet travels on it.
    """

    first: Ints
    source: Ints
    target: Ints
    back: Ints
    seconds: Floats

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return len(self.first) - 1

    def links_of(self, nodes: Ints) -> tuple[Ints, Ints]:
        """All links of these nodes, and for each the place in `nodes` that it belongs to."""
        counts = self.first[nodes + 1] - self.first[nodes]
        place = np.repeat(np.arange(len(nodes)), counts)
        within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.first[nodes][place] + within, place


def overlay(nodes: int, pairs: Sequence[tuple[int, int]] | Ints, seconds: Sequence[float] | Floats) -> Overlay:
    """Of undirected connections, each named once, with the latency of each in seconds."""
    ends = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    source, target = np.concatenate([ends[:, 0], ends[:, 1]]), np.concatenate([ends[:, 1], ends[:, 0]])
    order = np.argsort(source, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    other = np.concatenate([np.arange(len(ends)) + len(ends), np.arange(len(ends))])
    first = np.searchsorted(source[order], np.arange(nodes + 1))
    latency = np.tile(np.asarray(seconds, dtype=np.float64), 2)
    return Overlay(first, source[order], target[order], place[other][order], latency[order])


def random_overlay(nodes: int, rng: np.random.Generator, degree: int = DEGREE) -> Overlay:
    """A connected random graph; latencies are uniform from LEAST_SECONDS to MOST_SECONDS."""
    pairs = random_pairs(nodes, rng, degree)
    return overlay(nodes, pairs, rng.uniform(LEAST_SECONDS, MOST_SECONDS, len(pairs)))


def random_pairs(nodes: int, rng: np.random.Generator, degree: int = DEGREE) -> Ints:
    """The connections of `degree` / 2 random rings: a connected graph of that degree, but for pairs in two rings."""
    rings = [rng.permutation(nodes) for _ in range(degree // 2)]
    ends = np.concatenate([np.stack([ring, np.roll(ring, -1)], axis=1) for ring in rings])
    pairs = np.unique(np.sort(ends, axis=1), axis=0)
    return np.asarray(pairs[pairs[:, 0] != pairs[:, 1]])
