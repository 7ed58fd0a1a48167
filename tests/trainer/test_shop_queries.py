"""The example outside machine learning: its cost repeats, has something to find, and wrong answers do not count."""

from pathlib import Path

import pytest

from trainer.recipe import make_recipe, materialise
from trainer.task import load_task
from trainer.trial import Trial, run_trial

TASK = load_task("shop-queries")
GOOD = {"ORDERS_BY_CUSTOMER": "customer", "ORDERS_BY_DAY": "day_total", "ORDERS_BY_STATUS": "open", "PAGING": "keyset"}
OTHER = {"MISSING": "left_join", "DAILY_SUMMARY": True, "ITEMS_CLUSTERED": True, "ITEMS_BY": "order", "ANALYZE": True}


async def cost(tmp_path: Path, **knobs: object) -> Trial:
    files = materialise(TASK, make_recipe(TASK, knobs))
    return await run_trial(TASK, files, 7, workspace=tmp_path, data=None)


async def test_its_cost_is_counted_to_the_last_bit_and_better_layouts_cost_less(tmp_path: Path) -> None:
    baseline, again, good, both = [await cost(tmp_path, **knobs) for knobs in ({}, {}, GOOD, GOOD | OTHER)]
    assert [trial.reason for trial in (baseline, again, good, both)] == [""] * 4
    assert baseline.value is not None
    assert good.value is not None
    assert baseline.value == again.value
    assert good.value < baseline.value / 2


async def test_a_question_answered_wrongly_is_a_crash(tmp_path: Path) -> None:
    wrong = TASK.files["tune.py"].replace("WHERE status = 'open' ORDER BY id", "WHERE status = 'open' LIMIT 1")
    trial = await run_trial(TASK, TASK.files | {"tune.py": wrong}, 7, workspace=tmp_path, data=None)
    assert (trial.status, trial.reason) == ("crash", "open_orders(): the answer is wrong")


@pytest.mark.parametrize("name", ["workload.py", "tune.py"])
def test_only_the_layout_may_be_edited(name: str) -> None:
    assert (name in TASK.editable) == (name == "tune.py")
