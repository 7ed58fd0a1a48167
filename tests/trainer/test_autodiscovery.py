"""An auto-discovery task folder as it is: a real evaluator in its own process, and what it says about a program."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from trainer.errors import TaskError
from trainer.integrity import level
from trainer.recipe import BASELINE, make_recipe, materialise
from trainer.task import Task, load_task
from trainer.trial import Trial, run_trial

TASK = {
    "name": "Two disks in a square",
    "domain": "geometry",
    "objective": "maximize",
    "entry_file": "solve.py",
    "evaluator_file": "evaluator.py",
    "primary_metric": "sum_radii",
    "allowed_edit_paths": ["solve.py"],
    "display_metrics": ["sum_radii"],
    "timeout_sec": 20,
    "description": "Pack two disks into the unit square.",
    "source": "a test",
}

SOLVE = """\
import json
import sys

RADIUS = 0.2
SPREAD = 0.5

if __name__ == "__main__":
    print("---")
    print("sum_radii: 99")
    print(json.dumps([[0.2, 0.2, RADIUS], [0.2 + SPREAD, 0.7, RADIUS]]))
"""

EVALUATOR = """\
import json
import math
import subprocess
import sys


def evaluate(program_path):
    done = subprocess.run([sys.executable, program_path], capture_output=True, text=True, check=True)
    (x, y, r), (u, v, s) = json.loads(done.stdout.splitlines()[-1])
    print("checking", program_path.rpartition("/")[2])
    if math.hypot(x - u, y - v) < r + s or min(x, y, 1 - u, 1 - v) < r:
        return {"sum_radii": r + s, "valid": False, "error": "the disks overlap,\\n or leave the square"}
    return {"sum_radii": r + s, "valid": True, "spread": math.hypot(x - u, y - v), "note": "fine"}
"""


def written(folder: Path, evaluator: str = EVALUATOR, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "task.json").write_text(json.dumps({key: v for key, v in (TASK | changes).items() if v is not None}))
    (folder / "solve.py").write_text(SOLVE)
    (folder / "evaluator.py").write_text(evaluator)
    (folder / "program.md").write_text("Make the disks larger.\n")
    return folder


async def run(task: Task, tmp_path: Path, **knobs: object) -> Trial:
    files = materialise(task, make_recipe(task, knobs))
    return await run_trial(task, files, 1, workspace=tmp_path / "work", data=None)


def test_the_folder_is_read_as_it_is(tmp_path: Path) -> None:
    task = load_task(written(tmp_path / "disks"))
    assert (task.name, task.title) == ("Two-disks-in-a-square", "Pack two disks into the unit square.")
    assert (task.metric.name, task.metric.direction) == ("sum_radii", "maximize")
    assert task.editable == ("solve.py",)
    assert {"evaluator.py", "task.json"} <= task.fixed.keys()
    assert list(task.knobs) == ["RADIUS", "SPREAD"]
    assert task.budget.amount == 20 < task.limits.wall_seconds
    assert task.instructions == "Make the disks larger.\n"
    assert level(task, BASELINE) == "reported"


async def test_the_evaluators_score_counts_and_not_what_the_program_prints(tmp_path: Path) -> None:
    task = load_task(written(tmp_path / "disks"))
    trial = await run(task, tmp_path)
    assert (trial.status, trial.reason, trial.value) == ("ok", "", 0.4)
    assert trial.metrics["spread"] == pytest.approx(math.hypot(0.5, 0.5))
    assert "checking solve.py" in trial.log_tail
    assert (await run(task, tmp_path, RADIUS=0.18)).value == 0.36


async def test_what_is_not_valid_is_a_crash_with_the_evaluators_reason(tmp_path: Path) -> None:
    trial = await run(load_task(written(tmp_path / "disks")), tmp_path, RADIUS=0.5)
    assert (trial.status, trial.reason) == ("crash", "not valid: the disks overlap, or leave the square")
    assert trial.value is None


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("raise ValueError('no disks')", "crash", "ValueError: no disks"),
        ("return {'score': 1.0}", "crash", "gave no number sum_radii; it gave score"),
        ("return 3.0", "crash", "has to return a dict"),
        ("return {'sum_radii': float('nan')}", "nan", "sum_radii is nan"),
        ("return {'sum_radii': 1.0, 'is_valid': False}", "crash", "not valid, by the evaluator"),
        ("import time; time.sleep(60)", "timeout", "ran longer than"),
        ("import os; os._exit(7)", "crash", "exit code 7"),
    ],
)
async def test_an_evaluator_that_fails_is_told_how(tmp_path: Path, body: str, status: str, reason: str) -> None:
    task = load_task(written(tmp_path / "disks", f"def evaluate(program_path):\n    {body}\n"))
    if status == "timeout":
        task = task.model_copy(update={"limits": task.limits.model_copy(update={"wall_seconds": 0.5})})
    trial = await run(task, tmp_path)
    assert trial.status == status
    assert reason in trial.reason


async def test_an_evaluator_that_imports_the_program_and_gives_numpy_numbers_is_understood(tmp_path: Path) -> None:
    evaluator = (
        "import importlib.util\nimport numpy\n\n\ndef evaluate(program_path):\n"
        "    spec = importlib.util.spec_from_file_location('program', program_path)\n"
        "    module = importlib.util.module_from_spec(spec)\n    spec.loader.exec_module(module)\n"
        "    return {'sum_radii': numpy.float64(2 * module.RADIUS), 'valid': numpy.bool_(True),\n"
        "            'drawn': numpy.random.random()}\n"
    )
    task = load_task(written(tmp_path / "disks", evaluator))
    first, again = await run(task, tmp_path), await run(task, tmp_path)
    assert first.value == 0.4
    assert first.metrics["drawn"] == again.metrics["drawn"]


def test_without_paths_to_edit_the_entry_file_is_edited(tmp_path: Path) -> None:
    task = load_task(written(tmp_path / "disks", allowed_edit_paths=None, timeout_sec=None))
    assert task.editable == ("solve.py",)
    assert task.budget.amount == 600


def test_a_folder_of_files_may_be_edited(tmp_path: Path) -> None:
    (tmp_path / "disks/parts").mkdir(parents=True)
    (tmp_path / "disks/parts/a.py").write_text("SIZE = 4\n")
    task = load_task(written(tmp_path / "disks", allowed_edit_paths=["./solve.py", "parts/"]))
    assert task.editable == ("solve.py", "parts/a.py")
    assert "SIZE" in task.knobs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "more"}, "objective: Input should be 'maximize' or 'minimize'"),
        ({"name": None}, "name: Field required"),
        ({"primary_metric": None}, "primary_metric: Field required"),
        ({"entry_file": "main.py"}, "entry_file: there is no .*main.py"),
        ({"entry_file": "../main.py"}, "entry_file: .*plain path below"),
        ({"allowed_edit_paths": ["gone.py"]}, "allowed_edit_paths: there is no .*gone.py"),
        ({"allowed_edit_paths": ["solve.py", "evaluator.py"]}, "evaluator.py is the evaluator.*take it out"),
        ({"timeout_sec": -1}, "timeout_sec: Input should be greater than 0"),
    ],
)
def test_a_wrong_task_json_is_refused_with_file_and_key(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message) as caught:
        load_task(written(tmp_path / "disks", **changes))
    assert "task.json" in str(caught.value)


def test_a_task_json_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (written(tmp_path / "disks") / "task.json").write_text("{")
    with pytest.raises(TaskError, match=r"task\.json: not valid JSON"):
        load_task(tmp_path / "disks")
