"""The built-in task through the trainer, at a small budget: the same recipe and seed give the same bits."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import trio

from trainer.audit import run_audited
from trainer.bubblewrap import find_bubblewrap
from trainer.data import prepare_data
from trainer.sandbox import Sandbox
from trainer.task import Budget, Task, load_task
from trainer.trial import Trial, run_trial
from trainer.worker import open_worker

SMALL = {"flops": 2e10, "tokens": 8192.0}
SPENT = {"flops": "flops", "tokens": "total_tokens"}
REPORTED = {
    "training_seconds",
    "warm_up_seconds",
    "eval_seconds",
    "total_tokens",
    "flops",
    "num_steps",
    "num_params",
} | {"peak_memory_mb", "tokens_per_second", "tflops_per_second"}


@pytest.fixture(scope="module")
def story() -> Task:
    return load_task("story-cpu")


@pytest.fixture(scope="module")
def data(story: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = trio.run(prepare_data, story, tmp_path_factory.mktemp("data"))
    assert made is not None
    return made


@pytest.mark.parametrize("kind", ["flops", "tokens"])
async def test_one_seed_gives_bit_identical_values_and_another_seed_another(
    story: Task, data: Path, tmp_path: Path, kind: str
) -> None:
    budget = Budget.model_validate({"kind": kind, "amount": SMALL[kind]})

    async def trial(seed: int) -> Trial:
        done = await run_trial(story, story.files, seed, workspace=tmp_path, data=data, budget=budget)
        assert done.status == "ok", done.reason
        return done

    first, again, other = await trial(1), await trial(1), await trial(2)
    assert repr(first.value) == repr(again.value)
    assert other.value != first.value
    assert first.metrics.keys() >= REPORTED | {story.metric.name}
    spent = first.metrics[SPENT[kind]]
    assert spent == again.metrics[SPENT[kind]]
    step = spent / first.metrics["num_steps"]
    assert SMALL[kind] <= spent < SMALL[kind] + 1.001 * step, "the budget is spent, and not a step more"


def few_stories(data: Path, folder: Path) -> Path:
    """The same data with ten held-out stories."""
    shutil.copytree(data, folder)
    starts = np.load(data / "val_starts.npy")[:11]
    for name, array in (("val_starts", starts), ("val", np.load(data / "val.npy")[: starts[-1]])):
        (folder / f"{name}.npy").unlink()
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
async def test_the_built_in_program_scored_from_outside_has_the_value_that_it_gives_itself(
    story: Task, data: Path, tmp_path: Path
) -> None:
    few = few_stories(data, tmp_path / "few")
    budget = Budget(kind="tokens", amount=4096.0)
    sandbox = Sandbox(find_bubblewrap())
    own = await run_trial(story, story.files, 1, workspace=tmp_path, data=few, budget=budget)
    audited = await run_audited(story, story.files, 1, workspace=tmp_path, data=few, budget=budget, sandbox=sandbox)
    assert (own.status, audited.status) == ("ok", "ok"), audited
    assert audited.value == pytest.approx(own.value, rel=1e-6)
    assert audited.metrics["audited"] == 512
    assert audited.metrics["num_steps"] == own.metrics["num_steps"]


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
async def test_a_warm_worker_gives_the_same_bits_as_a_trial_from_nothing(
    story: Task, data: Path, tmp_path: Path
) -> None:
    few = few_stories(data, tmp_path / "few")
    budget = Budget(kind="tokens", amount=4096.0)
    sandbox = Sandbox(find_bubblewrap())
    async with open_worker(story, sandbox, few) as worker:
        assert worker is not None
        trials = [
            await run_trial(
                story, story.files, 3, workspace=tmp_path, data=few, budget=budget, sandbox=sandbox, worker=by
            )
            for by in (worker, worker, None)
        ]
        assert worker.cold_because == ""
    assert [trial.status for trial in trials] == ["ok"] * 3, trials
    assert len({repr(trial.value) for trial in trials}) == 1


def test_every_knob_is_a_constant_of_the_program_with_an_allowed_default(story: Task) -> None:
    assert len(story.knobs) >= 20
    assert all(knob.check(knob.default) == knob.default for knob in story.knobs.values())
