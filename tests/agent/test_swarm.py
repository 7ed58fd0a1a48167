"""Four researchers in a simulated world: real notebook, judge, policy and search; trials and time are simulated."""

import statistics
from collections import Counter

import pytest

from agent.discoveries import Discovery
from agent.evidence import Experiment
from node.simulation.liars import Liar
from node.simulation.node import Node, identity
from node.simulation.swarm import Swarm, make_swarm
from node.simulation.world import SD, surface_world
from trainer.recipe import BASELINE

MINUTES = 15
STARTS = (1, 11, 21)


@pytest.fixture(scope="module", params=STARTS)
def swarm(request: pytest.FixtureRequest) -> Swarm:
    swarm = make_swarm(4, first=request.param)
    swarm.run(MINUTES)
    swarm.settle()  # what was still under way at the end
    return swarm


def experiments(swarm: Swarm) -> list[Experiment]:
    book = swarm.nodes[0].notebook
    assert len(book.experiments()) == len(list(swarm.results()))  # all of them are usable
    return book.experiments()


def true_effect(swarm: Swarm, experiment: Experiment) -> float:
    return swarm.world.gain(experiment.parent, experiment.candidate)


def test_every_node_improves_by_a_fifth_and_more(swarm: Swarm) -> None:
    baseline = swarm.world.truth(BASELINE)
    assert all(swarm.world.truth(node.notebook.best()) < 0.7 * baseline for node in swarm.nodes)


def test_false_keeps_are_rare(swarm: Swarm) -> None:
    done = experiments(swarm)
    false = [e for e in done if e.verdict == "keep" and true_effect(swarm, e) <= 0]
    assert len(false) <= 0.02 * len(done)


def test_nothing_false_is_confirmed(swarm: Swarm) -> None:
    by_id = {e.record_id: e for e in experiments(swarm)}
    confirmed = [d for d in swarm.nodes[0].notebook.discoveries() if d.status == "confirmed"]
    assert len(confirmed) >= 2
    assert all(true_effect(swarm, by_id[d.record_id]) > 0 for d in confirmed)


def test_no_discovery_of_some_age_is_left_that_would_improve_a_node(swarm: Swarm) -> None:
    end = max(record.time_ms for record in swarm.records)
    left = [
        (node.number, dict(d.new_values), gain / SD)
        for node in swarm.nodes
        for d in node.notebook.discoveries()
        if d.time_ms < end - 5 * 60_000 and (gain := _gain_left(swarm, node, d)) > 8 * SD
    ]
    assert left == []


def _gain_left(swarm: Swarm, node: Node, discovery: Discovery) -> float:
    """What a node would truly gain from a discovery, on its own best recipe."""
    book = node.notebook
    return swarm.world.truth(book.best()) - swarm.world.truth(book.on_best(discovery.new_values))


def test_a_clear_discovery_is_adopted_by_all_within_minutes(swarm: Swarm) -> None:
    keeps: dict[tuple[object, ...], list[int]] = {}
    for e in experiments(swarm):
        if e.verdict == "keep":
            keeps.setdefault(e.new_values, []).append(e.moment[0])
    spread = [(times[-1] - times[0]) / 1000 for times in keeps.values() if len(times) == len(swarm.nodes)]
    assert len(spread) >= 2
    assert statistics.median(spread) < 300


def test_most_of_the_time_goes_to_exploring(swarm: Swarm) -> None:
    spent = swarm.spent()
    total = sum(spent.values())
    assert spent["explore"] > 0.4 * total
    assert spent["replicate"] > 0.05 * total


def test_every_node_takes_every_role_without_assignment(swarm: Swarm) -> None:
    for node in swarm.nodes:
        assert {"explore", "replicate"} <= {did.activity for did in swarm.done if did.node is node}


def test_no_node_repeats_itself(swarm: Swarm) -> None:
    for node in swarm.nodes:
        mine = node.notebook.experiments(node.signer.author)
        clear = Counter(e.candidate_id for e in mine if e.verdict in ("keep", "discard"))
        assert max(clear.values()) == 1
        replicated = Counter(e.result.replicates for e in mine if e.result.replicates)
        assert max(replicated.values()) <= 2


def test_hardly_anything_is_explored_twice(swarm: Swarm) -> None:
    explored = [e.candidate_id for e in experiments(swarm) if e.result.replicates is None]
    assert len(set(explored)) > 0.95 * len(explored)


def test_liars_convince_nobody_and_lose_credit() -> None:
    world = surface_world()
    honest = [Node(world, identity(i), i) for i in range(1, 5)]
    liars = [Liar(world, identity(i), i) for i in range(5, 7)]
    swarm = Swarm(world, [*honest, *liars])
    swarm.run(MINUTES)
    done = [e for node in honest for e in node.notebook.experiments(node.signer.author)]
    assert len([e for e in done if e.verdict == "keep" and true_effect(swarm, e) <= 0]) <= 0.02 * len(done)
    for node in honest:
        book = node.notebook
        assert swarm.world.truth(book.best()) < 0.78 * swarm.world.truth(BASELINE)
        assert book.noise().sd < 2 * SD
    # some of what they claim to have found is good by luck, so one node may think well of one of them for a while
    credit = [node.notebook.credibility(liar.signer.author) for node in honest for liar in liars]
    assert statistics.fmean(credit) < 0.45
    assert swarm.spent()["explore"] > 0.4 * sum(swarm.spent().values())
