"""A night's worth of short trials under virtual time, in short: no repeat and no stall."""

import pytest

from agent.notebook import NEAR_TRIES
from agent.strategy import TURNS
from node.simulation.node import Node, identity
from node.simulation.persistence import longest_gap, most_near, repeats, shifts
from node.simulation.swarm import Swarm
from node.simulation.world import surface_world

SECONDS = 15.0


@pytest.fixture(scope="module")
def night() -> Swarm:
    world = surface_world(seconds=SECONDS)
    swarm = Swarm(world, [Node(world, identity(number), number) for number in (1,)])
    swarm.run(minutes=75)
    swarm.settle()
    return swarm


def test_nothing_is_tested_twice(night: Swarm) -> None:
    assert [repeats(node) for node in night.nodes] == [0]


def test_near_duplicates_are_tried_three_times_at_most(night: Swarm) -> None:
    assert max(most_near(node) for node in night.nodes) <= NEAR_TRIES


def test_there_is_always_a_trial_running(night: Swarm) -> None:
    assert max(longest_gap(night, node) for node in night.nodes) < 2 * SECONDS


def test_a_plateau_is_noticed_and_other_strategies_have_their_turn(night: Swarm) -> None:
    assert len(set(TURNS) & {did.strategy for did in night.done}) > 1


def test_each_change_of_strategy_has_its_reason(night: Swarm) -> None:
    (reasons,) = [shifts(night, node) for node in night.nodes]
    assert len(reasons) > 1
    assert all(reasons)
