"""What a node does when its search finds nothing that was not tried."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from agent.policy import Calibrate
from gossip.identity import Identity, load_or_create
from node.claims import Claims
from node.events import Event
from node.experiment import Plan
from node.planning import NOTHING_LEFT_SECONDS, Planner, Step
from node.state import open_state
from node.told import Told
from tests.node.lab import TASK, Lab, open_lab, open_trials
from trainer.recipe import make_recipe
from trainer.task import load_task

OTHERS = ("normal", "zeros", "ones", "small", "large")
ONE_KNOB = f"""{TASK.partition("[[knobs]]")[0]}
[[knobs]]
name = "INIT"
type = "choice"
choices = {["default", *OTHERS]}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Of a task with one knob, of which this node refuted what peers had found: all values but the last."""
    with open_lab(tmp_path) as made:
        (made.folder / "task.toml").write_text(ONE_KNOB)
        made.task = load_task(made.folder)
        for value in OTHERS[:-1]:
            found = made.write(made.result({"INIT": value}), a_peer(tmp_path, value))
            tried = made.result({"INIT": value}, values=(2.8, 2.7), verdict="discard", replicates=found.id)
            made.write(tried)
        yield made


def a_peer(tmp_path: Path, name: str) -> Identity:
    return load_or_create(tmp_path / f"{name}.pem")


async def steps(lab: Lab, count: int) -> tuple[list[Step | None], list[Event]]:
    """What the node would do next, asked so many times, and what it tells."""

    async def silent(presence: object) -> None:
        await trio.lowlevel.checkpoint()

    shown: list[Event] = []
    lab.log.close()
    with open_state(lab.home, str(lab.folder), writing=True) as state, open_trials(lab, state.device) as trials:
        told = Told(shown.append, "ada")
        planner = Planner(state, trials, Claims(state, "ada", silent), told, random.Random(1))
        return [await planner.next() for _ in range(count)], shown


async def test_what_waits_to_be_replicated_is_though_the_share_for_that_is_used_up(
    lab: Lab, tmp_path: Path, autojump_clock: MockClock
) -> None:
    found = lab.write(lab.result({"INIT": OTHERS[-1]}), a_peer(tmp_path, "bob"))
    planned, shown = await steps(lab, 30)
    plans = [step for step in planned if isinstance(step, Plan)]
    assert plans
    assert {plan.replicates for plan in plans} == {found.id}
    assert {plan.candidate for plan in plans} == {make_recipe(lab.task, {"INIT": OTHERS[-1]})}
    assert all(isinstance(step, Plan | Calibrate) for step in planned), "and it does not wait"
    (told,) = (event.data["why"] for event in shown if event.kind == "trouble")
    assert "widen the knobs of toy" in str(told)


async def test_where_there_is_nothing_to_do_a_node_waits_for_peers(lab: Lab, autojump_clock: MockClock) -> None:
    lab.write(lab.result({"INIT": OTHERS[-1]}, values=(2.8, 2.7), verdict="discard"))
    began = trio.current_time()
    planned, shown = await steps(lab, 3)
    assert planned == [None] * 3
    assert trio.current_time() - began == pytest.approx(3 * NOTHING_LEFT_SECONDS)
    assert len([event for event in shown if event.kind == "trouble"]) == 1, "it says so once"
