"""Running a scenario: the swarm that it describes, and what came of it."""

import hashlib
import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from agent.notebook import Notebook
from gossip.log import Log
from node.simulation.carried import GRACE_SECONDS, carried
from node.simulation.cast import Flooder, Reporter, is_crooked, made_up_records
from node.simulation.figures import research_figures
from node.simulation.liars import KINDS, make_liars
from node.simulation.modelled import modelled_world
from node.simulation.network import open_ideal
from node.simulation.node import Node, identity
from node.simulation.scenario import Group, Property, Scenario, ScenarioError
from node.simulation.spread import spread_of
from node.simulation.swarm import ACTIVITIES, IN_MEMORY, Cut, OpenNetwork, Spans, Swarm
from node.simulation.world import World, surface_world
from trainer.errors import TrainerError
from trainer.recipe import BASELINE
from trainer.task import load_task

NUMBERS_APART: Final = 100_000
POINTS: Final = 120  # of a line over time
NOBODY: Final = bytes(32)


@dataclass(frozen=True)
class Checked:
    """A property with the figure of this run; None where there was nothing to measure, which never holds."""

    asserted: Property
    value: float | None

    @property
    def holds(self) -> bool:
        return self.value is not None and self.asserted.holds(self.value)


@dataclass(frozen=True)
class Outcome:
    """What a run gave. digest: of all that happened; the same scenario, seed and version give the same.

    series: what plots show, as plain data: `node.simulation.plots` has the names.
    """

    scenario: Scenario
    seed: int
    digest: str
    figures: Mapping[str, float]
    series: Mapping[str, Any] = field(repr=False)

    @property
    def checked(self) -> list[Checked]:
        """Every property that was asserted."""
        return [Checked(one, self.figures.get(one.figure)) for one in self.scenario.asserted]

    @property
    def holds(self) -> bool:
        """Whether all of them hold."""
        return all(one.holds for one in self.checked)


def play(scenario: Scenario, seed: int | None = None) -> Outcome:
    """Run a scenario, by default with its own seed. Raises ScenarioError for a world that there is not."""
    seed = scenario.seed if seed is None else seed
    rng = random.Random(seed)
    world = _world(scenario)
    nodes = _nodes(scenario, world, seed)
    up = _spans(scenario, rng)
    swarm = Swarm(
        world,
        nodes,
        up=up,
        cuts=[Cut(60 * cut.start, 60 * cut.end, _groups(cut.share, len(nodes), rng)) for cut in scenario.cuts],
        network=_network(scenario, seed),
        publish_until=60 * (scenario.minutes - scenario.quiet),
        seed=seed,
        logs=[Log(IN_MEMORY) for _ in nodes],
    )
    early = made_up_records(world.task, scenario.history, before_ms=swarm.start_ms)
    for log, group in zip(swarm.logs, _groups_of(scenario), strict=True):
        log.append(early if group.joins == 0 else [])
    swarm.run(scenario.minutes)
    return _outcome(scenario, seed, swarm, up)


def _outcome(scenario: Scenario, seed: int, swarm: Swarm, up: Sequence[Spans]) -> Outcome:
    honest = [number for number, node in enumerate(swarm.nodes) if not is_crooked(node)]
    by_network = carried(swarm, up, frozenset(honest), 60 * scenario.quiet or GRACE_SECONDS)
    researchers = [node for node in swarm.nodes if not is_crooked(node) and not isinstance(node, Reporter)]
    book = Notebook(swarm.world.task, NOBODY, researchers[0].device_class if researchers else "cpu")
    for record in swarm.records if researchers else ():
        book.add(record)
    end_ms = swarm.start_ms + int(1000 * swarm.now)
    spread = spread_of(swarm.world, book, [node.author for node in researchers], swarm.start_ms, end_ms)
    series: dict[str, Any] = {"delays": by_network.delays}
    if researchers:
        series |= {
            "adoption": [vars(curve) for curve in spread.curves],
            "roles": _roles(swarm, scenario.minutes),
            "best": _best(swarm, book, [node.author for node in researchers], scenario.minutes),
            "finders": _finders(swarm, book, researchers),
        }
    figures = by_network.figures | research_figures(swarm, book, spread)
    return Outcome(scenario, seed, _digest(swarm), figures, series)


def _digest(swarm: Swarm) -> str:
    found = hashlib.sha256(swarm.traffic.digest().encode())
    for record in swarm.records:
        found.update(record.id)
    for did in swarm.done:
        found.update(f"{did.node.number} {did.activity} {did.start!r} {did.seconds!r}".encode())
    return found.hexdigest()[:16]


def _world(scenario: Scenario) -> World:
    if scenario.world == "surface":
        world = surface_world()
    else:
        try:
            world = modelled_world(load_task(scenario.world))
        except TrainerError as error:
            raise ScenarioError(f"world: {error}; `surface` is made up, and needs no recorded trials") from error
    return world if scenario.trial_seconds is None else replace(world, seconds=scenario.trial_seconds)


def _groups_of(scenario: Scenario) -> list[Group]:
    """Each node's group."""
    return [group for group in scenario.nodes for _ in range(group.count)]


def _nodes(scenario: Scenario, world: World, seed: int) -> list[Node]:
    nodes: list[Node] = []
    for group in scenario.nodes:
        first = 1 + seed * NUMBERS_APART + len(nodes)
        if group.kind in KINDS:
            nodes += make_liars(world, [KINDS[group.kind]] * group.count, first)
            continue
        for index in range(group.count):
            kind = {"honest": Node, "reporter": Reporter, "flooder": Flooder}[group.kind]
            node = kind(
                world, identity(first + index), first + index, group.device, _seconds(group, index), group.noise
            )
            if isinstance(node, Reporter) and group.every is not None:
                node.every = group.every
            nodes.append(node)
    return nodes


def _seconds(group: Group, index: int) -> float | None:
    """What a trial takes on the index-th node of a group: spread evenly by ratio."""
    if group.trial_seconds is None:
        return None
    fast, slow = group.trial_seconds
    return float(fast * (slow / fast) ** (index / max(1, group.count - 1)))


def _spans(scenario: Scenario, rng: random.Random) -> list[Spans]:
    """When each node is up: it comes up once, and goes down for a while as often as churn says."""
    net = scenario.network
    spans: list[Spans] = []
    for group in _groups_of(scenario):
        start = 60 * (group.joins + rng.uniform(0, scenario.start if group.joins == 0 else 0))
        of_node: list[tuple[float, float]] = []
        while net.churn and (end := start + 60 * rng.expovariate(net.churn)) < 60 * scenario.minutes:
            of_node.append((start, end))
            start = end + 60 * net.away
        spans.append([*of_node, (start, math.inf)])
    return spans


def _groups(share: float, size: int, rng: random.Random) -> list[frozenset[int]]:
    cut_off = frozenset(rng.sample(range(size), max(1, round(share * size))))
    return [cut_off, frozenset(range(size)) - cut_off]


def _network(scenario: Scenario, seed: int) -> OpenNetwork:
    low, high = scenario.network.latency
    return partial(open_ideal, (low + high) / 2)


def _roles(swarm: Swarm, minutes: float) -> dict[str, list[float]]:
    """Activity -> share of the nodes that were at it, at POINTS moments."""
    moments = [60 * minutes * (n + 1) / POINTS for n in range(POINTS)]
    counts: list[Counter[str]] = [Counter() for _ in moments]
    for did in swarm.done:
        first = math.ceil(did.start / (60 * minutes) * POINTS) - 1
        last = math.floor((did.start + did.seconds) / (60 * minutes) * POINTS) - 1
        for point in range(max(0, first), min(POINTS - 1, last) + 1):
            counts[point][did.activity] += 1
    lines: dict[str, list[float]] = {"minutes": [moment / 60 for moment in moments]}
    return lines | {kind: [count[kind] / max(count.total(), 1) for count in counts] for kind in ACTIVITIES.values()}


def _best(swarm: Swarm, book: Notebook, authors: Sequence[bytes], minutes: float) -> dict[str, list[float]]:
    """The true value of the nodes' best recipes over time: least, median and greatest."""
    truth = swarm.world.truth
    changes = sorted(
        (test.moment[0], author, truth(test.candidate)) for author in authors for test in book.keeps(author)
    )
    now = dict.fromkeys(authors, truth(BASELINE))
    lines: dict[str, list[float]] = {"minutes": [], "least": [], "median": [], "greatest": []}
    upcoming = 0
    for point in range(POINTS + 1):
        moment_ms = swarm.start_ms + 60_000 * minutes * point / POINTS
        while upcoming < len(changes) and changes[upcoming][0] <= moment_ms:
            now[changes[upcoming][1]] = changes[upcoming][2]
            upcoming += 1
        values = sorted(now.values())
        for name, value in zip(
            lines, (minutes * point / POINTS, values[0], values[len(values) // 2], values[-1]), strict=True
        ):
            lines[name].append(value)
    return lines


def _finders(swarm: Swarm, book: Notebook, researchers: Sequence[Node]) -> dict[str, dict[str, int]]:
    """Device class -> what became of what its nodes found: kind -> how many."""
    device = {node.author: node.device_class for node in researchers}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for test in book.experiments():
        if test.author in device:
            found[device[test.author]]["experiments"] += 1
    for one in book.discoveries():
        if one.author in device:
            found[device[one.author]]["discoveries"] += 1
            found[device[one.author]]["confirmed"] += one.status == "confirmed"
    for kind in device.values():
        found[kind]["nodes"] = Counter(device.values())[kind]
    return {kind: dict(counts) for kind, counts in sorted(found.items())}
