"""Running a scenario: the swarm that it describes, and what came of it."""

import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from agent.entries import check
from agent.notebook import Notebook
from agent.retention import rule
from agent.shelves import shelf_of, shelves_of
from gossip.layout import WHOLE, Layout
from gossip.log import Log
from gossip.record import Record
from node.simulation.carried import GRACE_SECONDS, carried
from node.simulation.cast import Flooder, Reporter, is_crooked, made_up_records
from node.simulation.figures import research_figures
from node.simulation.held import Held, Store
from node.simulation.keeping import Keeping
from node.simulation.liars import KINDS, make_liars
from node.simulation.model import play_model
from node.simulation.modelled import modelled_world
from node.simulation.network import open_ideal
from node.simulation.node import Node, identity
from node.simulation.scenario import Group, Property, Scenario, ScenarioError
from node.simulation.series import research_series
from node.simulation.shared import read_once
from node.simulation.spread import spread_of
from node.simulation.swarm import Cut, OpenNetwork, Spans, Swarm
from node.simulation.world import World, surface_world
from trainer.errors import TrainerError
from trainer.task import load_task

NUMBERS_APART: Final = 100_000
LINE_SECONDS: Final = 0.008  # that a node's own line adds each way
DAY_MS: Final = 24 * 3600 * 1000
NOBODY: Final = bytes(32)
IN_MEMORY: Final = Path(":memory:")


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


def play(
    scenario: Scenario, seed: int | None = None, on_minutes: Callable[[float], object] = lambda minutes: None
) -> Outcome:
    """Run a scenario, by default with its own seed. Raises ScenarioError for a world that there is not.

    on_minutes: hears now and then how many virtual minutes have passed.
    """
    seed = scenario.seed if seed is None else seed
    if scenario.network.kind == "model":
        digest, figures, delays = play_model(scenario, seed)
        return Outcome(scenario, seed, digest, figures, {"delays": delays})
    if scenario.network.kind == "entrance":
        from node.simulation.siege import Entrance  # libp2p takes seconds to import

        digest, figures = Entrance(scenario, seed).run()
        return Outcome(scenario, seed, digest, figures, {})
    rng = random.Random(seed)
    world = _world(scenario)
    nodes = _nodes(scenario, world, seed)
    keepings = _keepings(scenario, nodes)
    up = _spans(scenario, rng)
    swarm = Swarm(
        world,
        nodes,
        up=up,
        cuts=[Cut(60 * cut.start, 60 * cut.end, _groups(cut.share, len(nodes), rng)) for cut in scenario.cuts],
        network=_network(scenario, seed, keepings),
        publish_until=60 * (scenario.minutes - scenario.quiet),
        seed=seed,
        logs=[_log(scenario) for _ in nodes],
    )
    apart_ms = 1000
    if scenario.history_days is not None:
        apart_ms = round(scenario.history_days * DAY_MS / max(1, scenario.history))
    early = made_up_records(world.task, scenario.history, before_ms=swarm.start_ms, apart_ms=apart_ms)
    for log, group in zip(swarm.logs, _groups_of(scenario), strict=True):
        log.append(early if group.joins == 0 else [])

    def tell() -> bool:
        on_minutes(trio.current_time() / 60)
        return False

    with read_once():
        swarm.run(scenario.minutes, until=tell)
    return _outcome(scenario, seed, swarm, up, early, keepings)


def _outcome(
    scenario: Scenario,
    seed: int,
    swarm: Swarm,
    up: Sequence[Spans],
    history: Sequence[Record],
    keepings: Sequence[Keeping],
) -> Outcome:
    honest = [number for number, node in enumerate(swarm.nodes) if not is_crooked(node)]
    layouts = [keeping.layout for keeping in keepings]
    by_network = carried(swarm, up, frozenset(honest), 60 * scenario.quiet or GRACE_SECONDS, history, layouts)
    figures: dict[str, float] = {**by_network.figures, **_joining(scenario, swarm, up), **_healing(scenario, swarm)}
    if any(keeping.keep_days < math.inf for keeping in keepings):
        figures["forgotten"] = sum(sum(1 for _ in log.forgotten()) for log in swarm.logs if isinstance(log, Log))
    series: dict[str, Any] = {"delays": by_network.delays}
    researchers = [node for node in swarm.nodes if not is_crooked(node) and not isinstance(node, Reporter)]
    if researchers:
        book = Notebook(swarm.world.task, NOBODY, researchers[0].device_class)
        for record in swarm.records:
            book.add(record)
        end_ms = swarm.start_ms + int(1000 * swarm.now)
        spread = spread_of(swarm.world, book, [node.author for node in researchers], swarm.start_ms, end_ms)
        figures |= research_figures(swarm, book, spread)
        series |= research_series(swarm, book, spread, researchers, scenario.minutes)
    return Outcome(scenario, seed, _digest(swarm), figures, series)


def _joining(scenario: Scenario, swarm: Swarm, up: Sequence[Spans]) -> dict[str, float]:
    """How long those who came late took until they had what was there."""
    late = [number for number, group in enumerate(_groups_of(scenario)) if group.joins > 0]
    times = [swarm.caught_up.get(number, up[number][0][0]) - up[number][0][0] for number in late]
    return {"catch_up_seconds": max(times)} if times else {}


def _healing(scenario: Scenario, swarm: Swarm) -> dict[str, float]:
    """How long after the last cut's end the last record came that was published before it."""
    if not scenario.cuts:
        return {}
    end = max(60 * cut.end for cut in scenario.cuts)
    traffic = swarm.traffic
    arrivals = (
        traffic.published[record] + seconds
        for record, seconds in zip(traffic.record, traffic.seconds, strict=True)
        if traffic.published[record] < end
    )
    return {"healing_seconds": max((moment - end for moment in arrivals), default=0.0)}


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


def _keepings(scenario: Scenario, nodes: Sequence[Node]) -> list[Keeping]:
    """What each node keeps."""
    return [
        Keeping(
            Layout(shelves_of(node.world.task.fingerprint, node.device_class), shelf_of)
            if scenario.network.sharded
            else WHOLE,
            group.archive,
            group.keep_days or math.inf,
            lambda node=node: rule(node.notebook),  # type: ignore[misc]
        )
        for node, group in zip(nodes, _groups_of(scenario), strict=True)
    ]


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
        start = 60 * (group.joins + rng.uniform(0, scenario.start))
        of_node: list[tuple[float, float]] = []
        while net.churn and (end := start + 60 * rng.expovariate(net.churn)) < 60 * scenario.minutes:
            of_node.append((start, end))
            start = end + 60 * net.away
        spans.append([*of_node, (start, math.inf)])
    return spans


def _log(scenario: Scenario) -> Store:
    return Held() if scenario.network.kind == "ideal" else Log(IN_MEMORY)


def _groups(share: float, size: int, rng: random.Random) -> list[frozenset[int]]:
    cut_off = frozenset(rng.sample(range(size), max(1, round(share * size))))
    return [cut_off, frozenset(range(size)) - cut_off]


def _network(scenario: Scenario, seed: int, keepings: Sequence[Keeping]) -> OpenNetwork:
    net = scenario.network
    if net.kind == "ideal":
        return partial(open_ideal, net.latency)
    from gossip import upstream  # the real router takes seconds to import
    from node.simulation.fabric import open_fabric
    from node.simulation.links import MEGABIT, Access, Internet

    upstream.install()
    internet = Internet(latency=net.latency, loss=net.loss)
    if net.mbit is not None:
        internet = replace(internet, access=(Access(net.mbit[0] * MEGABIT, net.mbit[1] * MEGABIT, LINE_SECONDS),))
    return partial(open_fabric, internet, seed=seed, check=check, keeping_of=keepings.__getitem__)
