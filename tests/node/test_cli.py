"""The command line as scripts see it: exit statuses, one-line errors, JSON, and no heavy import before it is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT, arnode
from tests.node.lab import make_task, open_lab

HEAVY = ("torch", "libp2p", "litellm", "optuna", "numpy", "msgpack", "pydantic")


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom node.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr.strip() == "[]"
    assert "join" in done.stdout


def test_the_node_itself_never_imports_torch() -> None:
    program = (
        "import sys\nimport node.join, node.swarm, node.look, node.run\n"
        "print(sorted(set(sys.modules) & {'torch', 'litellm', 'optuna'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["frobnicate"], 2, "No such command"),
        (["export", "--format", "papyrus"], 2, "papyrus"),
        (["run", "--seed", "-1"], 2, "seed"),
        (["board"], 1, "there is no log"),
        (["show", "abcd"], 1, "there is no log"),
        (["run", "--task", "no-such-task"], 1, "no task 'no-such-task'"),
        (["run", "--set", "DEPTH"], 1, "KNOB=VALUE"),
        (["run", "--set", "NO_SUCH=1"], 1, "no knob 'NO_SUCH'"),
        (["run", "--recipe", "abcd", "--program", "x.py"], 1, "give one of them"),
        (["run", "--program", "/no/such/file.py"], 1, "cannot read /no/such/file.py"),
        (["join", "--bootstrap", "example.org:4001"], 1, "example.org:4001"),
        (["join", "--listen", "/ip4/127.0.0.1/tcp/1/nonsense"], 1, "nonsense"),
        (["join", "--swarm", "No Spaces"], 1, "swarm name"),
        (["join", "--alias", "\x1b[2J"], 1, "alias"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], status: int, words: str, tmp_path: Path) -> None:
    done = arnode(*arguments, home=tmp_path / "home", check=False)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_run_prints_one_object_a_trial_and_fails_when_a_trial_does(tmp_path: Path) -> None:
    task = make_task(tmp_path / "toy")
    home = tmp_path / "home"
    done = arnode(
        "run", "--task", task, "--set", "INIT=normal", "--set", "DEPTH=4", "--seed", 3, "--seed", 4, "--json", home=home
    )
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert [trial["seed"] for trial in trials] == [3, 4]
    assert all(trial["status"] == "ok" and trial["metric"] == "score" and trial["tokens"] == 1000 for trial in trials)
    assert trials[0]["value"] == pytest.approx(2.2, abs=0.05)
    failed = arnode("run", "--task", task, "--set", "INIT=zeros", home=home, check=False)
    assert failed.returncode == 1
    assert "crash: " in failed.stdout
    assert "zeros never learn" in failed.stdout


def test_run_takes_a_recipe_file_and_a_changed_program(tmp_path: Path) -> None:
    task = make_task(tmp_path / "toy")
    (tmp_path / "recipe.json").write_text('{"knobs": {"DEPTH": 4}}')
    (tmp_path / "train.py").write_text((task / "train.py").read_text().replace("DEPTH = 2", "DEPTH = 4"))
    by_file, by_program, by_set = (
        json.loads(arnode("run", "--task", task, *how, "--json", home=tmp_path / "home").stdout)
        for how in (["--recipe", tmp_path / "recipe.json"], ["--program", tmp_path / "train.py"], ["--set", "DEPTH=4"])
    )
    assert by_file["recipe_id"] == by_program["recipe_id"] == by_set["recipe_id"]
    assert by_file["value"] == by_program["value"] == by_set["value"]


def test_a_record_that_does_not_repeat_is_a_failure(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        record = lab.write(lab.result({"INIT": "normal"}, values=(1.5, 2.7)))
    done = arnode("run", "--recipe", record.id.hex()[:10], home=tmp_path / "home", check=False)
    assert done.returncode == 1
    assert "recorded was 1.5" in done.stdout


def test_board_feed_and_show_read_the_log_without_a_node(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_lab(tmp_path) as lab:
        record = lab.write(lab.result({"INIT": "normal"}))
        lab.write(lab.result({"INIT": "zeros"}, verdict="crash", values=(None, 2.7)))
    board = json.loads(arnode("board", "--json", home=home).stdout)
    assert (board["baseline"], board["floor"], board["direction"]) == (2.7, 2.0, "minimize")
    assert [(row["value"], row["experiments"], row["keeps"]) for row in board["nodes"]] == [(2.0, 2, 1)]
    assert board["discoveries"][0]["change"] == {"INIT": ["default", "normal"]}
    assert (board["known_best"]["value"], board["best_trial"]) == (1.999, 2.0)
    text = arnode("board", home=home).stdout
    for words in (
        "lower is better",
        "floor 2.0000",
        "known best 1.999",
        "best trial 2.0, 0.001 worse",
        "INIT default → normal",
        "-25.9%",
    ):
        assert words in text

    feed = arnode("feed", home=home).stdout.splitlines()
    assert ["discovery" in feed[0], "zeros never learn" in feed[1]] == [True, True]
    assert len(arnode("feed", "--last", 1, home=home).stdout.splitlines()) == 1
    assert json.loads(arnode("feed", "--json", home=home).stdout.splitlines()[0])["id"] == record.id.hex()

    shown = json.loads(arnode("show", record.id.hex()[:6], "--json", home=home).stdout)
    assert shown["signature"] == "valid"
    assert '+INIT = "normal"' in shown["diff"]
    assert "INIT default → normal" in arnode("show", record.id.hex(), home=home).stdout


def test_verify_finds_the_bad_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"INIT": "normal"}))
        lab.write(lab.result({"DEPTH": 4}))
    file = tmp_path / "log.jsonl"
    arnode("export", "--format", "jsonl", "-o", file, home=home)
    assert arnode("verify", file, home=home).stdout == "2 records sound, 0 not\n"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1].replace("because", "BECAUSE")]))
    done = arnode("verify", file, home=home, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{file}:2: the field `body`")
    (tmp_path / "empty.jsonl").touch()
    assert arnode("verify", tmp_path / "empty.jsonl", home=home, check=False).returncode == 1


def test_the_reader_of_a_pipe_may_leave(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        for depth in range(3, 9):
            for _ in range(40):
                lab.write(lab.result({"DEPTH": depth}, hypothesis="x" * 900))
    command = f"{sys.executable} -m node.cli --home {tmp_path / 'home'} export --format jsonl | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""


def test_the_state_folder_is_private(tmp_path: Path) -> None:
    arnode("run", "--task", make_task(tmp_path / "toy"), home=tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
