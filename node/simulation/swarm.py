"""Many simulated nodes under virtual time: each a task that decides, waits as long as its trials take, and publishes.

There is one engine for research and for what only the network is asked: trio with a clock that jumps
(`node.simulation.virtual`). Records and presences travel by a `SimulatedNetwork`, of which there is a trivial one and
the real router; every node keeps what it heard, on the router in a real log, and is restarted from it.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import trio

from agent import entries
from agent.claims import CLAIM_MS, Claim
from agent.entries import Calibration, Presence, Result
from agent.policy import Calibrate, Explore, Replicate, Synthesise
from gossip.record import PRESENCE, Record
from gossip.stamp import Stamps
from node.simulation import virtual
from node.simulation.held import Held, Store
from node.simulation.network import Member, SimulatedNetwork, open_ideal
from node.simulation.node import Node, Step, identity
from node.simulation.shared import read_alike
from node.simulation.traffic import Traffic
from node.simulation.virtual import START_MS
from node.simulation.world import World, surface_world

STARTS_APART: Final = 3.0  # seconds
ACTIVITIES: Final = {
    Explore: "explore",
    Replicate: "replicate",
    Calibrate: "calibrate",
    Synthesise: "synthesise",
}

OpenNetwork: TypeAlias = Callable[[], AbstractAsyncContextManager[SimulatedNetwork]]
Spans: TypeAlias = Sequence[tuple[float, float]]
"""From when to when a node is up, in virtual seconds."""


@dataclass(frozen=True)
class Done:
    """One thing that a node did.

    start, seconds: virtual; trials: whether it ran any; strategy, reason: of an exploration, and why it is that one.
    """

    node: Node
    activity: str
    start: float
    seconds: float
    trials: bool
    strategy: str
    reason: str


@dataclass(frozen=True)
class Cut:
    """The swarm falls into groups of nodes, by their place in the list, which hear nothing of each other; seconds."""

    start: float
    end: float
    groups: Sequence[Collection[int]]


@dataclass
class Swarm:
    """Nodes that hear each other's records and presences. It runs once.

    latency: of the network in seconds, unless one is given; up: when each node is up, by default from the start on, one
    node STARTS_APART after the other; cuts: in order of time; publish_until: seconds; logs: of the nodes, in their
    order, empty and without bytes unless given. records: all that was published; done: what nodes did, by its start;
    traffic: what the network carried; caught_up: by node, when the last record came that is older than its coming up.
    """

    world: World
    nodes: Sequence[Node]
    latency: float = 1.0
    start_ms: int = START_MS
    up: Sequence[Spans] = ()
    cuts: Sequence[Cut] = ()
    network: OpenNetwork | None = None
    publish_until: float = math.inf
    seed: int = 0
    records: list[Record] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    logs: Sequence[Store] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)
    caught_up: dict[int, float] = field(default_factory=dict)
    now: float = 0.0
    _claims: dict[bytes, dict[bytes, Claim]] = field(default_factory=dict)

    def run(self, minutes: float, until: Callable[[], bool] = lambda: False) -> None:
        """Go on for that many virtual minutes, or until it is so after a node has published something."""
        virtual.run(partial(self._run, 60 * minutes, until), seed=self.seed)

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

    async def _run(self, seconds: float, until: Callable[[], bool]) -> None:
        self.logs = self.logs or [Held() for _ in self.nodes]
        spans = self.up or [[(index * STARTS_APART, math.inf)] for index in range(len(self.nodes))]
        with trio.CancelScope(deadline=seconds) as time:

            def check() -> None:
                if until():
                    time.cancel()

            async with (self.network or partial(open_ideal, self.latency))() as network:
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._cut, network)
                        for number, (node, up) in enumerate(zip(self.nodes, spans, strict=True)):
                            nursery.start_soon(self._live, number, node, up, network, check)
                finally:
                    self.traffic = network.traffic
        self.now = trio.current_time()

    async def _cut(self, network: SimulatedNetwork) -> None:
        for cut in self.cuts:
            await trio.sleep_until(cut.start)
            network.partition(cut.groups)
            await trio.sleep_until(cut.end)
            network.heal()

    async def _live(
        self, number: int, node: Node, up: Spans, network: SimulatedNetwork, check: Callable[[], None]
    ) -> None:
        log = self.logs[number]
        for start, end in up:
            await trio.sleep_until(start)
            node.wake(record for _, record in log.since())
            self._claims[node.author] = {}
            member = await network.start(number, node.signer, log, partial(self._hear, number, self._now_ms()))
            with trio.move_on_at(end):
                await self._research(node, log, member, check)
            await member.stop()

    async def _research(self, node: Node, log: Store, member: Member, check: Callable[[], None]) -> None:
        """The research loop. What a node is at when it goes down is lost, unlike with a real one, which takes it up."""
        stamps = Stamps(log.times_of(node.author))
        while True:
            step = node.act(list(self._claims[node.author].values()), self._now_ms())
            self._note(node, step)
            if node.announces:
                await member.publish(self._written(node, stamps, self._presence(step)))
            await trio.sleep(step.seconds)
            if trio.current_time() > self.publish_until:
                await trio.sleep_forever()
            for entry in step.entries:
                record = self._written(node, stamps, entry)
                log.append([record])
                self.records.append(record)
                node.hear(record)
                await member.publish(record)
            check()

    def _presence(self, step: Step) -> Presence:
        expires_ms = self._now_ms() + CLAIM_MS if step.change else 0
        return Presence(
            alias="", activity="", claim=dict(step.change), hypothesis=step.hypothesis, expires_ms=expires_ms
        )

    def _written(self, node: Node, stamps: Stamps, entry: entries.Entry) -> Record:
        return entries.write(node.signer, self.world.task.fingerprint, stamps.next(self._now_ms()), entry)

    def _hear(self, number: int, since_ms: int, record: Record) -> None:
        node = self.nodes[number]
        if record.kind != PRESENCE:
            node.hear(record)
            if record.time_ms < since_ms:
                self.caught_up[number] = trio.current_time()
            return
        said = read_alike(record)
        assert isinstance(said, Presence)
        claims = self._claims[node.author]
        claims.pop(record.author, None)
        if said.claim:
            claims[record.author] = Claim(record.author, said.claim, said.expires_ms, said.hypothesis)

    def _note(self, node: Node, step: Step) -> None:
        strategy = step.decision.strategy if isinstance(step.decision, Explore) else None
        trials = any(isinstance(entry, Result | Calibration) for entry in step.entries)
        activity = ACTIVITIES[type(step.decision)]
        kind, reason = (strategy.kind, strategy.reason) if strategy else ("", "")
        self.done.append(Done(node, activity, trio.current_time(), step.seconds, trials, kind, reason))

    def _now_ms(self) -> int:
        return self.start_ms + int(trio.current_time() * 1000)


def make_swarm(size: int, first: int = 1) -> Swarm:
    """Honest nodes of the made-up task; `first`: the number of the first, from which all randomness follows."""
    world = surface_world()
    return Swarm(world, [Node(world, identity(first + number), first + number) for number in range(size)])
