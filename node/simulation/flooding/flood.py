"""GossipSub's delivery of records as a model: what gossip/router.py, outgoing.py and flood.py do, without the bytes.

Each node forwards a record to its mesh neighbours, an author its own to all peers; what waits goes out after a random
moment, but not to whom it came from meanwhile; every third heartbeat ids are announced to the peers outside the mesh,
who ask for what they lack.

It is a simulator's queue of events, but a window of them is handled at once: a window is no longer than the fastest
link, so that no packet arrives in the window in which it was sent, and times stay exact. A **cell** is the number
record x nodes + node, a **way** the number record x links + link.

Not modelled: bandwidth, full queues, rate limits, history exchange. What gossip loses stays lost here.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gossip.outgoing import BUSY_LINGER_SECONDS, BUSY_SECONDS, LINGER_SECONDS
from gossip.router import ANNOUNCE_EVERY, DEGREE_LAZY
from node.simulation.flooding.calendar import Calendar
from node.simulation.flooding.chance import Kind, lost
from node.simulation.flooding.grafting import Grafting
from node.simulation.flooding.overlay import Flags, Floats, Ints, Overlay
from node.simulation.flooding.spread import Counts, Spread, stored

HEARTBEAT_SECONDS: Final = 1.0
ANNOUNCE_SECONDS: Final = ANNOUNCE_EVERY * HEARTBEAT_SECONDS
ANNOUNCE_MOMENTS: Final = 60
"""How many moments of a period nodes have their heartbeats at: a grid, so that many fall into one window."""
SETTLE_SECONDS: Final = 15.0
"""Whoever was there this long after a publication should have it: an id is announced within 3 s, and kept for 12."""


@dataclass(frozen=True)
class Conditions:
    """judging_seconds: of a node for each record that is new to it, one after the other; loss: chance that a message is
    lost for good on a link; leave: how often a node goes, a minute; away_seconds: mean of how long it is gone.
    """

    judging_seconds: float = 0.0
    loss: float = 0.0
    leave: float = 0.0
    away_seconds: float = 60.0


def flood(
    graph: Overlay, authors: Sequence[int] | Ints, said: Sequence[float] | Floats, conditions: Conditions, seed: int = 0
) -> Spread:
    """Spread records of these authors, said at these times in seconds from 0 on, ascending. Same seed, same result."""
    return _Flood(graph, np.asarray(authors, np.int64), np.asarray(said, np.float64), conditions, seed).run()


class _Flood:
    def __init__(self, graph: Overlay, authors: Ints, said: Floats, conditions: Conditions, seed: int) -> None:
        self.graph, self.authors, self.said, self.conditions, self.seed = graph, authors, said, conditions, seed
        self.nodes, self.links = graph.nodes, len(graph.source)
        self.rng = np.random.default_rng(seed)
        self.mesh = Grafting(graph, random.Random(seed))
        self.beats = self.rng.integers(ANNOUNCE_MOMENTS, size=self.nodes) * ANNOUNCE_SECONDS / ANNOUNCE_MOMENTS

        cells = len(authors) * self.nodes
        self.after = np.full(cells, np.inf)  # from publication to delivery
        self.hops = np.zeros(cells, np.uint16)
        self.posted: Flags = np.zeros(cells, np.bool_)
        self.meant: Flags = np.zeros((len(authors), self.nodes), np.bool_)

        self.free = np.zeros(self.nodes)  # until when a node judges
        self.due = np.full(self.nodes, np.inf)  # when a node sends what waits
        self.last = np.full(self.nodes, -np.inf)  # when it last did
        self.waiting: Ints = np.empty(0, np.int64)  # cells
        self.seen_on: Ints = np.empty(0, np.int64)  # ways on which nothing need go out, as it came in the other way
        self.seen_at: Floats = np.empty(0)

        self.width = float(graph.seconds.min())
        self.arrivals, self.judged, self.posts = (Calendar(self.width) for _ in range(3))
        self.announcements, self.offers, self.moves, self.publications = (Calendar(self.width) for _ in range(4))
        self.copies = np.zeros(self.nodes, np.int64)
        self.sent = Counts(*(np.zeros(self.nodes, np.int64) for _ in range(6)))

    def run(self) -> Spread:
        self._plan_moves(float(self.said[-1]) + SETTLE_SECONDS)
        self.publications.add(self.said, np.arange(len(self.said)))
        beat = 0.0
        for window in itertools.count():
            if not (
                self.publications or self.arrivals or self.judged or self.posts or self.announcements or self.offers
            ):
                break
            if self.conditions.leave and window * self.width >= beat:
                self.mesh.beat(beat)
                beat += HEARTBEAT_SECONDS
            if (moves := self.moves.take(window)) is not None:
                self._move(*moves)
            if (arrivals := self.arrivals.take(window)) is not None:
                self._arrive(*arrivals)
            if (published := self.publications.take(window)) is not None:
                self._publish(*published)
            self._post(window)
            if (announced := self.announcements.take(window)) is not None:
                self._announce(*announced)
            if (offers := self.offers.take(window)) is not None:
                self._answer(*offers)
        shape = self.meant.shape
        after, hops = stored(self.said, self.after.reshape(shape)), self.hops.reshape(shape)
        return Spread(self.authors, self.said, after, hops, self.meant, self.copies, self.sent)

    # ---- coming and going ----

    def _plan_moves(self, end: float) -> None:
        """A move is twice the node's number, and one more when it comes back."""
        if not self.conditions.leave:
            return
        for node in range(self.nodes):
            time = self.rng.exponential(60 / self.conditions.leave)
            while time < end:
                back = time + self.rng.exponential(self.conditions.away_seconds)
                self.moves.add(np.array([time, back]), np.array([2 * node, 2 * node + 1]))
                time = back + self.rng.exponential(60 / self.conditions.leave)

    def _move(self, times: Floats, moves: Ints) -> None:
        self.mesh.up[moves // 2] = moves % 2 == 1
        gone = moves[moves % 2 == 0] // 2
        self.meant[np.ix_(self.said > times[0] - SETTLE_SECONDS, gone)] = False
        self.due[gone] = np.inf
        forgotten = np.isin(self.waiting % self.nodes, gone)
        self.posted[self.waiting[forgotten]] = True
        self.waiting = self.waiting[~forgotten]

    # ---- records ----

    def _publish(self, times: Floats, records: Ints) -> None:
        there = self.mesh.up[self.authors[records]]
        times, records = times[there], records[there]
        self.meant[records] = self.mesh.up
        cells = records * self.nodes + self.authors[records]
        self.after[cells] = 0
        self._ready(times, cells)

    def _arrive(self, times: Floats, ways: Ints) -> None:
        """Packets come in: the first copy of a record is judged; of each it matters over which link it came."""
        links = ways % self.links
        nodes = self.graph.target[links]
        up = self.mesh.up[nodes]
        times, ways, links, nodes = times[up], ways[up], links[up], nodes[up]
        np.add.at(self.copies, nodes, 1)
        self.seen_on = np.concatenate([self.seen_on, ways - links + self.graph.back[links]])
        self.seen_at = np.concatenate([self.seen_at, times])
        records = ways // self.links
        cells = records * self.nodes + nodes
        new = np.flatnonzero(np.isinf(self.after[cells]))
        _, first = np.unique(cells[new], return_index=True)
        new = new[np.sort(first)]
        times, cells, records = self._judge(times[new], nodes[new]), cells[new], records[new]
        self.after[cells] = times - self.said[records]
        self.hops[cells] = self.hops[records * self.nodes + self.graph.source[links[new]]] + np.uint16(1)
        self._ready(times, cells)

    def _judge(self, times: Floats, nodes: Ints) -> Floats:
        """When those records are judged that came to these nodes at these ascending times."""
        if not self.conditions.judging_seconds:
            return times
        done = times.copy()
        for places in _turns(nodes):
            done[places] = np.maximum(times[places], self.free[nodes[places]]) + self.conditions.judging_seconds
            self.free[nodes[places]] = done[places]
        return done

    def _ready(self, times: Floats, cells: Ints) -> None:
        self.judged.add(times, cells)
        self.announcements.add(self._announced_at(cells), cells)

    def _announced_at(self, cells: Ints) -> Floats:
        """At which heartbeat these nodes announce these records; infinite where they have none."""
        beats = self.beats[cells % self.nodes]
        ready = self.said[cells // self.nodes] + self.after[cells]
        return np.asarray(beats + ANNOUNCE_SECONDS * np.ceil((ready - beats) / ANNOUNCE_SECONDS))

    def _post(self, window: int) -> None:
        """What was judged waits; the first that waits sets the moment at which a node sends everything."""
        times, cells = self.judged.take(window) or (np.empty(0), np.empty(0, np.int64))
        while len(times):
            nodes = cells % self.nodes
            starting = np.flatnonzero(np.isinf(self.due[nodes]))
            _, first = np.unique(nodes[starting], return_index=True)
            starters = starting[first]
            who, when = nodes[starters], times[starters]
            busy = when - self.last[who] < BUSY_SECONDS
            linger = np.where(busy, BUSY_LINGER_SECONDS, LINGER_SECONDS)
            self.due[who] = when + self.rng.uniform(0, 1, len(who)) * linger
            self.posts.add(self.due[who], who)
            joining = times <= self.due[nodes]
            self.waiting = np.concatenate([self.waiting, cells[joining]])
            times, cells = times[~joining], cells[~joining]
            if len(times):
                self._send(window)
        self._send(window)

    def _send(self, window: int) -> None:
        posts = self.posts.take(window)
        if posts is None:
            return
        times, nodes = posts
        still = self.due[nodes] == times  # who went away meanwhile is not due any more
        times, nodes = times[still], nodes[still]
        self.due[nodes], self.last[nodes] = np.inf, times
        moment = np.full(self.nodes, np.nan)
        moment[nodes] = times
        going = ~np.isnan(moment[self.waiting % self.nodes])
        cells, self.waiting = self.waiting[going], self.waiting[~going]

        nodes, records = cells % self.nodes, cells // self.nodes
        links, place = self.graph.links_of(nodes)
        target, author = self.graph.target[links], self.authors[records][place]
        wanted = (self.mesh.member[links] | (author == nodes[place])) & self.mesh.up[target] & (target != author)
        links = links[wanted]
        ways = records[place[wanted]] * self.links + links
        before = self.seen_at <= moment[self.graph.source[self.seen_on % self.links]]  # false where nobody sends now
        unknown = ~np.isin(ways, self.seen_on[before])
        links, ways = links[unknown], ways[unknown]
        self.posted[cells] = True
        self._forget()

        source = self.graph.source[links]
        np.add.at(self.sent.messages, source, 1)
        np.add.at(self.sent.packets, self.graph.source[np.unique(links)], 1)
        self._travel(self.arrivals, Kind.RECORD, moment[source] + self.graph.seconds[links], ways)

    def _forget(self) -> None:
        """Over which links a record came matters until it was sent on."""
        links = self.seen_on % self.links
        keep = ~self.posted[self.seen_on // self.links * self.nodes + self.graph.source[links]]
        self.seen_on, self.seen_at = self.seen_on[keep], self.seen_at[keep]

    def _travel(self, calendar: Calendar, kind: Kind, times: Floats, ways: Ints) -> None:
        through = ~lost(self.seed, kind, ways, self.conditions.loss)
        calendar.add(times[through], ways[through])

    # ---- ids ----

    def _announce(self, times: Floats, cells: Ints) -> None:
        """A heartbeat: ids go to DEGREE_LAZY peers outside the mesh that have not announced them themselves."""
        nodes = cells % self.nodes
        up = self.mesh.up[nodes]
        times, cells, nodes = times[up], cells[up], nodes[up]
        links, place = self.graph.links_of(nodes)
        outside = ~self.mesh.member[links] & self.mesh.up[self.graph.target[links]]
        links, place = links[outside], place[outside]
        times, records = times[place], cells[place] // self.nodes
        theirs = self._announced_at(records * self.nodes + self.graph.target[links]) + self.graph.seconds[links]
        ways = records * self.links + links
        told = (theirs < times) & ~lost(
            self.seed, Kind.IHAVE, ways - links + self.graph.back[links], self.conditions.loss
        )
        links, ways, times = links[~told], ways[~told], times[~told]
        chosen = np.isin(links, self._some_of(np.unique(links)))
        links, ways, times = links[chosen], ways[chosen], times[chosen]
        np.add.at(self.sent.announced, self.graph.source[links], 1)
        np.add.at(self.sent.announcements, self.graph.source[np.unique(links)], 1)
        self._travel(self.offers, Kind.IHAVE, times + self.graph.seconds[links], ways)

    def _some_of(self, links: Ints) -> Ints:
        """Of these links, at most DEGREE_LAZY of each source, by chance."""
        mixed = self.rng.permutation(links)
        mixed = mixed[np.argsort(self.graph.source[mixed], kind="stable")]
        source = self.graph.source[mixed]
        return np.asarray(mixed[np.arange(len(mixed)) - np.searchsorted(source, source) < DEGREE_LAZY])

    def _answer(self, times: Floats, ways: Ints) -> None:
        """Ids arrive: who lacks the record asks for it, and is answered at once."""
        links = ways % self.links
        nodes, senders = self.graph.target[links], self.graph.source[links]
        lacking = np.isinf(self.after[ways // self.links * self.nodes + nodes])
        asking = lacking & self.mesh.up[nodes] & self.mesh.up[senders]
        np.add.at(self.sent.requested, nodes[asking], 1)
        heard = asking & ~lost(self.seed, Kind.IWANT, ways, self.conditions.loss)
        np.add.at(self.sent.answers, senders[heard], 1)
        self._travel(self.arrivals, Kind.ANSWER, times[heard] + 2 * self.graph.seconds[links[heard]], ways[heard])


def _turns(nodes: Ints) -> list[Ints]:
    """Places in `nodes`: first all first ones of each node, then the second ones, and so on."""
    order = np.argsort(nodes, kind="stable")
    ranked = nodes[order]
    rank = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    return [order[rank == turn] for turn in range(int(rank.max(initial=-1)) + 1)]
