"""Many simulated nodes: a queue of what happens when, in place of clock and network."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from agent import entries
from agent.claims import Claim
from agent.entries import Calibration, Result
from agent.policy import Calibrate, Explore, Replicate, Synthesise
from gossip.record import Record
from node.simulation.node import Node, Step, identity
from node.simulation.world import World, surface_world

START_MS: Final = 1_700_000_000_000
CLAIM_MS: Final = 60_000
STARTS_APART: Final = 3.0  # seconds
ACTIVITIES: Final = {
    Explore: "explore",
    Replicate: "replicate",
    Calibrate: "calibrate",
    Synthesise: "synthesise",
}


@dataclass(frozen=True)
class Done:
    """One thing that a node did. start, seconds: virtual; trials: whether it ran any; strategy: of an exploration."""

    node: Node
    activity: str
    start: float
    seconds: float
    trials: bool
    strategy: str


@dataclass
class Swarm:
    """Nodes that hear each other's records and claims `latency` seconds later.

    records: all that was published; done: what the nodes did, by its start.
    """

    world: World
    nodes: Sequence[Node]
    latency: float = 1.0
    start_ms: int = START_MS
    records: list[Record] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    now: float = 0.0
    _claims: dict[bytes, Claim] = field(default_factory=dict)
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        for index, node in enumerate(self.nodes):
            self._at(index * STARTS_APART, lambda node=node: self._act(node))  # type: ignore[misc]

    def run(self, minutes: float) -> None:
        """Go on until that many virtual minutes after the start."""
        while self._queue and self._queue[0][0] < minutes * 60:
            self.now, _, happen = heapq.heappop(self._queue)
            happen()
        self.now = minutes * 60

    def settle(self) -> None:
        """Let everybody hear everything that was published."""
        for node in self.nodes:
            for record in self.records:
                node.notebook.add(record)

    def spent(self, nodes: Sequence[Node] | None = None) -> dict[str, float]:
        """Activity -> seconds, of these nodes or of all."""
        spent = dict.fromkeys(ACTIVITIES.values(), 0.0)
        chosen = {node.author for node in nodes or self.nodes}
        for did in self.done:
            if did.node.author in chosen:
                spent[did.activity] += did.seconds
        return spent

    def results(self) -> Iterator[tuple[Record, Result]]:
        """The published results with their records."""
        for record in self.records:
            entry = entries.read(record)
            if isinstance(entry, Result):
                yield record, entry

    def _at(self, time: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (time, next(self._order), do))

    def _act(self, node: Node) -> None:
        now_ms = self.start_ms + int(self.now * 1000)
        others = [claim for claim in self._claims.values() if claim.author != node.author]
        step = node.act(others, now_ms)
        strategy = step.decision.strategy.kind if isinstance(step.decision, Explore) else ""
        trials = any(isinstance(entry, Result | Calibration) for entry in step.entries)
        activity = ACTIVITIES[type(step.decision)]
        self.done.append(Done(node, activity, self.now, step.seconds, trials, strategy))
        claim = Claim(node.author, step.change, now_ms + CLAIM_MS, step.hypothesis)
        self._at(self.now + self.latency, lambda: self._claims.__setitem__(claim.author, claim))
        self._at(self.now + step.seconds, lambda: self._finish(node, step))

    def _finish(self, node: Node, step: Step) -> None:
        for number, entry in enumerate(step.entries):
            time_ms = self.start_ms + int(self.now * 1000) + number
            record = entries.write(node.signer, self.world.task.fingerprint, time_ms, entry)
            self.records.append(record)
            node.notebook.add(record)
            for other in self.nodes:
                if other is not node:
                    self._at(self.now + self.latency, lambda o=other, r=record: o.notebook.add(r))  # type: ignore[misc]
        self._act(node)


def make_swarm(size: int, first: int = 1) -> Swarm:
    """Honest nodes of the made-up task; `first`: the number of the first, from which all randomness follows."""
    world = surface_world()
    return Swarm(world, [Node(world, identity(first + number), first + number) for number in range(size)])
