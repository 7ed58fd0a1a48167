"""What ends a run: so many experiments, or a value that the kept best has to reach."""

from pathlib import Path

import pytest

from agent.entries import Presence
from node.research import Research
from tests.node.lab import open_lab
from tests.node.test_propose import Bench, open_bench


async def run(bench: Bench, until: float, experiments: int) -> None:
    async def announce(presence: Presence) -> None:
        pass

    await Research(
        state=bench.state,
        publish=bench.publish,
        announce=announce,
        show=bench.events.append,
        progress=lambda label, progress: None,
        alias="me",
        experiments_wanted=experiments,
        until=until,
    ).run(bench.trials)


async def test_a_goal_that_the_kept_best_reaches_ends_the_run_and_is_told(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"INIT": "normal"}, values=(2.0, 2.7)))
        async with open_bench(lab, None) as bench:
            await run(bench, 2.1, experiments=3)
            assert bench.results == []
            assert bench.told("note") == ["goal reached: score 2.0000, and 2.1000 was asked for"]


@pytest.mark.parametrize("verdict", ["discard", "inconclusive"])
async def test_a_lucky_trial_that_was_not_kept_reaches_no_goal(tmp_path: Path, verdict: str) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"INIT": "normal"}, values=(1.0, 2.7), verdict=verdict))  # type: ignore[arg-type]
        async with open_bench(lab, None) as bench:
            await run(bench, 1.5, experiments=1)
            assert len(bench.results) == 1
            assert not any("goal" in text for text in bench.told("note"))
