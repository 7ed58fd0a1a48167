"""Simulated nodes do what real ones do: judge by the same rules, start again from their logs, hear who is reachable."""

import math
from dataclasses import replace

from agent import entries
from agent.entries import Result
from node.experiment import Plan
from node.simulation.node import Node, identity
from node.simulation.swarm import Cut, Swarm
from node.simulation.world import surface_world
from trainer.recipe import BASELINE, Recipe, make_recipe

WORLD = surface_world()
IDLE = make_recipe(WORLD.task, {"Z_LOSS": 0.001})


def outcome(node: Node, parent: Recipe, candidate: Recipe) -> Result:
    result, _ = node.experiment(Plan(parent, candidate, "", "search"))
    return result


def test_taking_back_a_knob_that_did_nothing_is_kept_as_simpler() -> None:
    nothing_matters = replace(WORLD, truth=lambda recipe: 1.0, sd=0.0)
    assert outcome(Node(nothing_matters, identity(1), 1), IDLE, BASELINE).verdict == "simpler"


def test_a_recipe_that_ignores_the_seed_is_no_discovery() -> None:
    lucky = make_recipe(WORLD.task, {"POSITIONS": "rope"})

    class Seedless(Node):
        def trial(self, recipe: Recipe, seed: int) -> float:
            return 0.9 if recipe == lucky else super().trial(recipe, seed)

    result = outcome(Seedless(WORLD, identity(1), 1), BASELINE, lucky)
    assert result.verdict == "discard"
    assert "lucky seed" in result.reason


def test_a_larger_model_has_to_bring_more() -> None:
    deeper = make_recipe(WORLD.task, {"DEPTH": 5})
    slightly_better = replace(WORLD, truth=lambda recipe: 0.994 if recipe == deeper else 1.0, sd=0.0006)
    free = replace(slightly_better, parameters=lambda recipe: 0)
    assert outcome(Node(free, identity(1), 1), BASELINE, deeper).verdict == "keep"
    assert outcome(Node(slightly_better, identity(1), 1), BASELINE, deeper).verdict != "keep"


def test_a_node_that_comes_back_goes_on_from_its_log_and_gets_what_it_missed() -> None:
    nodes = [Node(WORLD, identity(n), n) for n in (1, 2)]
    swarm = Swarm(WORLD, nodes, up=[[(0, 200), (400, math.inf)], [(0, math.inf)]])
    swarm.run(minutes=8)
    own = [test.moment[0] for test in nodes[0].notebook.experiments(nodes[0].author)]
    away = [time_ms for time_ms in own if 200 < (time_ms - swarm.start_ms) / 1000 < 400]
    assert not away
    assert min(own) < swarm.start_ms + 200_000 < swarm.start_ms + 400_000 < max(own)
    while_away = [r for r in swarm.records if 200_000 < r.time_ms - swarm.start_ms < 400_000]
    assert while_away
    assert not swarm.logs[0].missing([record.id for record in while_away])


def test_a_cut_keeps_records_apart_and_healing_brings_them_together() -> None:
    nodes = [Node(WORLD, identity(n), n) for n in (1, 2, 3, 4)]
    swarm = Swarm(WORLD, nodes, cuts=[Cut(60, 300, [{0, 1}, {2, 3}])], publish_until=330)
    swarm.run(minutes=6)
    number = {node.author: index for index, node in enumerate(nodes)}
    crossed = [
        one
        for one in swarm.traffic.deliveries()
        if 60 <= swarm.traffic.published[one.record] <= 298 and (one.publisher < 2) != (one.receiver < 2)
    ]
    assert crossed
    assert all(swarm.traffic.published[one.record] + one.seconds >= 300 for one in crossed)
    assert {number[record.author] for record in swarm.records} == {0, 1, 2, 3}
    assert [log.missing([record.id for record in swarm.records]) for log in swarm.logs] == [[]] * 4


def test_device_classes_differ_in_speed_and_noise() -> None:
    quiet = Node(WORLD, identity(1), 1, trial_seconds=5.0)
    noisy = Node(WORLD, identity(2), 2, trial_seconds=50.0, own_noise=0.1)
    (_, fast), (_, slow) = quiet.calibrate(BASELINE), noisy.calibrate(BASELINE)
    assert slow == 10 * fast
    assert quiet.trial(BASELINE, 3) == WORLD.trial(BASELINE, 3)
    assert noisy.trial(BASELINE, 3) != WORLD.trial(BASELINE, 3)
    assert noisy.trial(BASELINE, 3) == noisy.trial(BASELINE, 3)


def test_results_of_simulated_nodes_pass_the_check_of_real_ones() -> None:
    swarm = Swarm(WORLD, [Node(WORLD, identity(1), 1)])
    swarm.run(minutes=3)
    for record in swarm.records:
        entries.check(record)
    assert len(swarm.records) > 2
