"""GossipSub's mesh of one topic: who forwards to whom, kept between the least and the most at each heartbeat.

As gossip/router.py has it: a node with fewer than DEGREE_LOW neighbours grafts up to DEGREE, one with more than
DEGREE_HIGH prunes down to DEGREE, at random, and who was pruned stays out for BACKOFF_SECONDS. Peers agree at once; in
the real router they do after a link's latency.
"""

import random
from typing import Final

import numpy as np

from gossip.router import DEGREE, DEGREE_HIGH, DEGREE_LOW
from node.simulation.flooding.overlay import Flags, Overlay

BACKOFF_SECONDS: Final = 60.0  # of libp2p 0.8.1
SETTLING_BEATS: Final = 20


class Grafting:
    """member: which links belong to the mesh, both directions of each. up: which nodes are there."""

    def __init__(self, overlay: Overlay, rng: random.Random) -> None:
        self._overlay = overlay
        self._rng = rng
        self._barred = np.full(len(overlay.source), -np.inf)
        self.member: Flags = np.zeros(len(overlay.source), dtype=np.bool_)
        self.up: Flags = np.ones(overlay.nodes, dtype=np.bool_)
        for beat in range(SETTLING_BEATS):
            if not self.beat(beat - SETTLING_BEATS):
                break

    def beat(self, now: float) -> bool:
        """One heartbeat of every node, in random order, at `now` seconds; whether anything changed."""
        graph = self._overlay
        alive = self.up[graph.source] & self.up[graph.target]
        self.member &= alive
        sizes = np.bincount(graph.source[self.member], minlength=graph.nodes)
        due = np.flatnonzero(self.up & ((sizes < DEGREE_LOW) | (sizes > DEGREE_HIGH))).tolist()
        self._rng.shuffle(due)
        changed = False
        for node in due:
            links = range(int(graph.first[node]), int(graph.first[node + 1]))
            mine = [link for link in links if self.member[link]]
            if len(mine) < DEGREE_LOW:
                free = [k for k in links if not self.member[k] and alive[k] and self._barred[k] <= now]
                chosen = self._rng.sample(free, min(len(free), DEGREE - len(mine)))
                self._set(chosen, True)
            elif len(mine) > DEGREE_HIGH:
                chosen = self._rng.sample(mine, len(mine) - DEGREE)
                self._set(chosen, False)
                for link in chosen:
                    self._barred[link] = self._barred[graph.back[link]] = now + BACKOFF_SECONDS
            else:
                chosen = []  # another's graft or prune in this round was enough
            changed = changed or bool(chosen)
        return changed

    def _set(self, links: list[int], member: bool) -> None:
        self.member[links] = member
        self.member[self._overlay.back[links]] = member
