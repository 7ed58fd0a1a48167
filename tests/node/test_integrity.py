"""Edited code in experiments: what the record says of its value, and of why it has none."""

import shutil
from pathlib import Path

import pytest

from agent.entries import Result, read, write
from agent.notebook import Notebook
from gossip.identity import load_or_create
from node.experiment import Plan, run_experiment
from node.taskcheck import examine_runs
from node.trials import Trials, run_recipe
from tests.trainer.guessers import PEEKING, files_of, guessing_task, honest_value, write_data
from tests.trainer.toys import toy_task
from trainer.bubblewrap import find_bubblewrap
from trainer.device import detect
from trainer.errors import SandboxError
from trainer.recipe import BASELINE, Recipe, make_recipe
from trainer.sandbox import Sandbox
from trainer.task import Task

needs_bubblewrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

TASK = guessing_task()


def edited(more: str) -> Recipe:
    return make_recipe(TASK, {}, {"train.py": files_of(TASK, more)["train.py"]})


def with_program(task: Task, more: str) -> Task:
    """The task with other lines before its own main."""
    program = task.files["train.py"].replace('if __name__ == "__main__":', more + '\n\nif __name__ == "__main__":')
    return task.model_copy(update={"files": {**task.files, "train.py": program}})


async def result_of(tmp_path: Path, candidate: Recipe, task: Task = TASK, data: Path | None = None) -> Result:
    """The result of an experiment, as a peer reads it in its record."""
    me, device = load_or_create(tmp_path / "identity"), detect()
    trials = Trials(
        task,
        device,
        store=tmp_path / "trials.sqlite",
        workspaces=tmp_path / "w",
        data=data,
        trouble=lambda what, why: pytest.fail(f"{what}: {why}"),
        sandbox=Sandbox(find_bubblewrap()),
    )
    with trials:
        result = await run_experiment(
            Plan(BASELINE, candidate, "why not", "a model"),
            notebook=Notebook(task, me.author, "cpu"),
            trials=trials,
            device=device,
            on_trial=lambda trial: None,
            on_progress=lambda side, number, progress: None,
        )
    entry = read(write(me, task.fingerprint, 1_700_000_000_000, result))
    assert isinstance(entry, Result)
    return entry


@needs_bubblewrap
async def test_a_refused_value_is_a_crash_with_its_reason_in_the_record(tmp_path: Path) -> None:
    data = write_data(tmp_path / "cache" / "data")
    result = await result_of(tmp_path, edited(PEEKING.format(where="tokens[:, 1:] >= 0")), data=data)
    assert (result.verdict, result.integrity) == ("crash", "audited")
    assert result.pairs[0].candidate is None
    assert result.pairs[0].parent == pytest.approx(honest_value(data))
    assert result.reason.startswith("refused: 4")
    assert " of 512 audited positions changed when the future was hidden, by up to " in result.reason


@needs_bubblewrap
async def test_an_audited_value_compares_with_the_tasks_own(tmp_path: Path) -> None:
    data = write_data(tmp_path / "cache" / "data")
    result = await result_of(tmp_path, edited("# as it was"), data=data)
    assert result.integrity == "audited"
    for pair in result.pairs:
        assert (pair.parent, pair.candidate) == pytest.approx((honest_value(data),) * 2, rel=1e-6)
    assert result.verdict != "keep"


@needs_bubblewrap
async def test_figures_that_no_record_can_hold_are_cut(tmp_path: Path) -> None:
    task = toy_task("print('---\\nscore: 1\\ntotal_tokens: 5')")
    program = "print('---\\nscore: 2\\ntotal_tokens: 1e300\\nnum_steps: -7\\nnum_params: 3.9')"
    result = await result_of(tmp_path, make_recipe(task, {}, {"train.py": program}), task)
    assert result.integrity == "reported"
    assert (result.tokens, result.steps, result.parameters) == (2**53, 0, 3)


async def test_edited_code_does_not_run_without_a_sandbox(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="edited code runs in a sandbox only, and there is none here"):
        await run_recipe(TASK, edited("# as it was"), 1, workspace=tmp_path / "w", data=None, sandbox=None)
    assert not (tmp_path / "w").exists()


def audit_line(tmp_path: Path, task: Task) -> tuple[str, str]:
    data = write_data(tmp_path / "cache" / "data", documents=100)
    findings = list(examine_runs(task, data, Sandbox(find_bubblewrap())))
    assert findings[-1].check == "audit", findings
    return findings[-1].status, findings[-1].text


@needs_bubblewrap
def test_a_check_of_the_task_tells_whether_edits_compare_with_the_baseline(tmp_path: Path) -> None:
    another_score = "def main():\n    print('---\\nscore: 1.0')"
    status, text = audit_line(tmp_path, with_program(TASK, another_score))
    assert status == "warning"
    assert text.endswith("edited code does not compare with the baseline")
