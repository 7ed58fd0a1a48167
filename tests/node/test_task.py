"""`arnode task`: what it lists, what it writes, and what it finds in tasks that are right and in such as are not."""

import json
from pathlib import Path

import pytest

from node.taskcheck import examine_runs, examine_task
from tests.e2e.processes import arnode
from tests.node.lab import json_lines, make_task
from tests.trainer.toys import KNOB_TASK, toy_task
from trainer.errors import TaskError
from trainer.task import Budget, Task
from trainer.template import new_task

SEEDED = "import os, random\nrandom.seed(int(os.environ['ARNODE_SEED']))\n"


def found(task: Task, check: str) -> tuple[str, str, str]:
    """Status, text and advice of that check, of runs without a sandbox."""
    (finding,) = [one for one in examine_runs(task, None, None) if one.check == check]
    return finding.status, finding.text, finding.advice


def test_a_new_task_passes_its_check_as_it_was_written(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "my-shop"
    arnode("task", "new", folder, home=home)
    findings = json_lines(arnode("task", "check", folder, "--json", home=home).stdout)
    assert {finding["status"] for finding in findings} == {"ok"}
    said = {finding["check"]: finding["data"] for finding in findings}
    assert list(said) == ["task", "knobs", "integrity", "sandbox", "baseline", "repeats", "noise"]
    assert said["task"]["name"] == "my-shop"  # type: ignore[index]
    assert said["noise"]["low"] < said["noise"]["sd"] < said["noise"]["high"]  # type: ignore[index]


def test_a_new_task_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = arnode("task", "new", tmp_path / "mine", home=tmp_path / "home", check=False)
    assert done.returncode == 1
    assert "nothing is overwritten" in done.stderr
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("name", ["a b", "..", "-x y", "é"])
def test_a_name_that_no_task_may_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaskError, match="is no name for a task"):
        new_task(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_built_in_tasks_are_listed(tmp_path: Path) -> None:
    done = arnode("task", home=tmp_path / "home")
    assert "story-cpu" in done.stdout
    rows = json_lines(arnode("task", "list", "--json", home=tmp_path / "home").stdout)
    assert "story-cpu" in [row["name"] for row in rows]


def test_a_node_works_on_another_programs_folder_as_on_a_task_of_its_own(tmp_path: Path) -> None:
    folder, home = tmp_path / "disks", tmp_path / "home"
    folder.mkdir()
    (folder / "solve.py").write_text("RADIUS = 0.2\n")
    (folder / "evaluator.py").write_text(
        "import runpy\n\n\ndef evaluate(path):\n    radius = runpy.run_path(path)['RADIUS']\n"
        "    return {'area': radius**2, 'valid': radius < 5}\n"
    )
    (folder / "task.json").write_text('{"name": "disk", "objective": "maximize", "primary_metric": "area"}')
    where = ["--listen", "/ip4/127.0.0.1/tcp/0", "--no-http", "--swarm", "disks"]
    done = arnode("join", "--task", folder, *where, "--experiments", "2", "--json", home=home)
    events = json_lines(done.stdout)
    assert str(events[0]["join"]).endswith("--task FOLDER")  # on another machine it lies elsewhere
    results = [event for event in events if event["event"] == "result"]
    assert len(results) == 2
    assert all("RADIUS" in str(result["change"]) and result["verdict"] != "crash" for result in results)
    board = json.loads(arnode("board", "--json", home=home).stdout)
    assert (board["metric"], board["direction"]) == ("area", "maximize")


def test_a_wrong_task_file_fails_the_check_with_file_and_key(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "toy")
    text = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text(text.replace('direction = "minimize"', 'direction = "down"'))
    done = arnode("task", "check", folder, "--json", home=tmp_path / "home", check=False)
    assert done.returncode == 1
    (finding,) = map(json.loads, done.stdout.splitlines())
    assert finding["status"] == "failed"
    assert "task.toml" in finding["text"]
    assert "metric.direction" in finding["text"]


def test_a_knob_that_nothing_reads_is_named(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "toy")
    program = (folder / "train.py").read_text()
    (folder / "train.py").write_text(program.replace("abs(RATE - 0.3)", "0.0").replace("{RATE}", ""))
    findings = examine_task(str(folder))
    texts = [next(findings) for _ in range(3)]
    assert [(one.check, one.status) for one in texts] == [("task", "ok"), ("knobs", "ok"), ("knobs", "warning")]
    assert "RATE" in texts[2].text
    assert "DEPTH" not in texts[2].text


def test_a_task_without_knobs_is_told_what_that_means(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "toy")
    text = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text(text.partition("[[knobs]]")[0])
    assert next(one.status for one in examine_task(str(folder)) if one.check == "knobs") == "warning"


def test_a_value_that_does_not_follow_the_seed_is_told() -> None:
    status, text, advice = found(toy_task("import time\nprint('---')\nprint('score:', time.time())\n"), "repeats")
    assert status == "warning"
    assert "has to repeat" in text
    assert "ARNODE_SEED" in advice


def test_a_budget_of_seconds_need_not_repeat() -> None:
    task = toy_task("import time\nprint('---')\nprint('score:', time.time())\n")
    timed = task.model_copy(update={"budget": Budget(kind="seconds", amount=1)})
    assert "repeats" not in [one.check for one in examine_runs(timed, None, None)]


def test_a_program_that_the_seed_does_not_change_is_told_to_be_exact() -> None:
    status, text, _ = found(KNOB_TASK, "noise")
    assert status == "ok"
    assert "the seed changes nothing" in text


def test_a_guess_of_the_noise_that_is_far_off_is_told_with_the_measured_one() -> None:
    task = toy_task(SEEDED + "print('---')\nprint('score:', 5 + random.gauss(0, 1e-6))\n")
    status, _, advice = found(task, "noise")
    assert status == "warning"
    assert "metric.noise = " in advice


@pytest.mark.parametrize(
    ("program", "said", "advised"),
    [
        ("print('score:', 1)", "printed no line", "not after a line that is exactly ---"),
        ("print('---')\nprint('points:', 1)", "printed no line", "printed points"),
        ("print('hello')", "printed no line", 'print("---")'),
        ("open('data.csv')", "No such file", "program.files"),
        ("print('---')\nprint('score:', float('nan'))", "nan", "finite"),
    ],
)
def test_a_baseline_that_gives_no_value_is_told_with_what_to_do(program: str, said: str, advised: str) -> None:
    status, text, advice = found(toy_task(program), "baseline")
    assert status == "failed"
    assert said in text
    assert advised in advice


def test_a_baseline_close_to_a_limit_is_told() -> None:
    task = toy_task("print('---')\nprint('score:', 1)\nprint('peak_memory_mb:', 300)\n", memory_mb=400)
    finding = next(one for one in examine_runs(task, None, None) if one.check == "limits")
    assert finding.status == "warning"
    assert "300 of the 400 that limits.memory_mb allows" in finding.text
