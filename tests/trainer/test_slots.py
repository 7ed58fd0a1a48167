"""Which trials run side by side, and that each stays where it was put."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.toys import toy_task
from trainer.device import own_cores, visible_cards
from trainer.sandbox import find_sandbox
from trainer.slots import USEFUL, WHOLE_MACHINE, Slot, plan_slots, shares
from trainer.task import Limits
from trainer.trial import run_trial
from trainer.worker import open_worker

LIMITS = Limits(wall_seconds=1, memory_mb=3000, output_bytes=1)


@pytest.mark.parametrize(
    ("cores", "free_mb", "cards", "count"),
    [
        (1, 100_000, None, 1),
        (2, 100_000, None, 1),
        (3, 100_000, None, 1),
        (4, 100_000, None, 2),
        (64, 100_000, None, USEFUL),
        (8, 7_999, None, 1),
        (8, 8_000, None, 2),
        (8, 0, None, 1),
        (16, 100_000, ("0",), 1),
        (16, 100_000, ("2", "5", "7"), USEFUL),
        (2, 100_000, ("0", "1"), 1),
    ],
)
def test_as_many_trials_at_once_as_cores_memory_and_cards_allow(
    cores: int, free_mb: float, cards: tuple[str, ...] | None, count: int
) -> None:
    slots = plan_slots(range(cores), free_mb, LIMITS, cards)
    assert len(slots) == count
    if count == 1:
        assert slots == (WHOLE_MACHINE,)
    elif cards is not None:
        assert [slot.variables for slot in slots] == [{"CUDA_VISIBLE_DEVICES": card} for card in cards[:count]]


@given(st.sets(st.integers(0, 300), min_size=1), st.floats(0, 1e6), st.none() | st.sets(st.integers(0, 15), min_size=1))
def test_slots_have_no_core_and_no_card_in_common(cores: set[int], free_mb: float, cards: set[int] | None) -> None:
    named = None if cards is None else tuple(map(str, cards))
    slots = plan_slots(list(cores), free_mb, LIMITS, named)
    used = [core for slot in slots for core in slot.cores]
    assert len(used) == len(set(used))
    assert set(used) <= cores
    if len(slots) > 1:
        assert len({len(slot.cores) for slot in slots}) == 1
        assert len({slot.card for slot in slots}) == (1 if cards is None else len(slots))


@given(st.sets(st.integers(0, 300), min_size=1), st.integers(1, 40))
def test_nodes_of_a_swarm_share_the_cores_equally_or_all_have_all(cores: set[int], nodes: int) -> None:
    parts = shares(list(cores), nodes)
    assert len(parts) == nodes
    if len(cores) < nodes:
        assert all(set(part) == cores for part in parts)
    else:
        used = [core for part in parts for core in part]
        assert len(used) == len(set(used)) == len(cores) // nodes * nodes


def test_the_cards_are_those_that_are_allowed_else_those_that_are_listed() -> None:
    assert visible_cards(None, "0\n1\n2\n") == ("0", "1", "2")
    assert visible_cards("3,GPU-ab", "0\n1\n") == ("3", "GPU-ab")
    assert visible_cards(None, "") == ("0",)


PROGRAM = """
    import os
    print(sorted(os.sched_getaffinity(0)), os.environ.get("CUDA_VISIBLE_DEVICES"))
    try:
        os.sched_setaffinity(0, range(os.cpu_count()))
        print("left its cores")
    except PermissionError:
        pass
    print("---\\nscore: 1")
"""


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
async def test_a_trial_stays_on_its_cores_and_sees_its_card(tmp_path: Path) -> None:
    task, sandbox = toy_task(PROGRAM), find_sandbox()
    slot = Slot((own_cores()[-1],), "1")
    async with open_worker(task, sandbox, None) as worker:
        for by in (worker, None):
            trial = await run_trial(
                task, task.files, 1, workspace=tmp_path, data=None, sandbox=sandbox, worker=by, slot=slot
            )
            assert trial.log_tail.splitlines()[0] == f"{list(slot.cores)} 1", trial
            assert "left" not in trial.log_tail
