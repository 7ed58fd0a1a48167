"""A swarm of real nodes under chaos loses nothing, agrees again, and leaves nobody alone."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.chaos import run_chaos, schedule


def test_a_schedule_is_repeated_by_its_seed_and_leaves_most_nodes_up() -> None:
    steps = schedule(12, 300, seed=1)
    assert steps == schedule(12, 300, seed=1) != schedule(12, 300, seed=2)
    assert {step.action for step in steps} == {"kill", "stop", "freeze"}
    assert any(step.node == 0 for step in steps)
    for step in steps:
        assert sum(other.at <= step.at < other.at + other.down for other in steps) <= 4
    for node in range(12):
        own = [step for step in steps if step.node == node]
        assert all(later.at > earlier.at + earlier.down for earlier, later in pairwise(own))


def test_six_nodes_under_chaos_lose_nothing(tmp_path: Path) -> None:
    print(run_chaos(tmp_path, nodes=6, seconds=40, seed=1, trial_seconds=2, patience=60).line())


@pytest.mark.soak
@pytest.mark.parametrize("nodes", [12, 20])
def test_a_swarm_under_long_chaos_loses_nothing(nodes: int, tmp_path: Path) -> None:
    minutes = float(os.environ.get("ARNODE_SOAK_MINUTES", "15"))
    seed = int(os.environ.get("ARNODE_SOAK_SEED", "1"))
    print(run_chaos(tmp_path, nodes=nodes, seconds=60 * minutes, seed=seed, trial_seconds=nodes, patience=240).line())
