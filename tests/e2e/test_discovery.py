"""A discovery's life between real nodes that run the real built-in program on a small budget."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.processes import arnode, is_result, running_node
from trainer.task import load_task

CONFIG = Path(__file__).parents[2] / "configs" / "tasks" / "story-cpu.toml"


@pytest.fixture
def small_story(tmp_path: Path) -> Path:
    """The built-in task with a thirtieth of its budget: a trial of a few seconds, most of it starting Python."""
    amount = load_task("story-cpu").budget.amount
    text = CONFIG.read_text().replace("../../trainer/gpt", str(CONFIG.parents[2] / "trainer" / "gpt"))
    lines = [f"amount = {amount / 30}" if line.startswith("amount =") else line for line in text.splitlines()]
    folder = tmp_path / "small-story"
    folder.mkdir()
    (folder / "task.toml").write_text("\n".join(lines))
    return folder


def test_a_discovery_is_replicated_adopted_and_exported_by_another_node(tmp_path: Path, small_story: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    with running_node(a, "--task", small_story, "--alias", "ada") as ada:
        address = ada.listening()
        found = ada.wait_for(lambda event: is_result(event, own=True, verdict="keep", replication=False), 240)
        with running_node(b, "--task", small_story, "--alias", "bob", "--bootstrap", address) as bob:
            bob.wait_for(lambda event: event.get("id") == found["id"] and not event["own"])
            adopted = bob.wait_for(lambda event: is_result(event, own=True, verdict="keep", replication=True), 240)
            assert adopted["replicates_of"] == "ada"
            ada.wait_for(lambda event: event.get("id") == adopted["id"])
            assert bob.stop() < 3
        assert ada.stop() < 3

    board = json.loads(arnode("board", "--json", home=b).stdout)
    assert {row["alias"] for row in board["nodes"]} == {"ada", "bob"}
    held = next(row for row in board["discoveries"] if len(row["adopters"]) == 2)
    assert held["status"] == "open"  # kept by its author and one other: confirmed takes two

    program = tmp_path / "program"
    program.mkdir()
    arnode("export", "--format", "program", "--what", "baseline", "-o", program / "train.py", home=b)
    arnode("export", "--format", "patch", "--what", adopted["id"], "-o", tmp_path / "found.patch", home=b)
    subprocess.run(["git", "apply", str(tmp_path / "found.patch")], cwd=program, check=True)
    record = json.loads(arnode("show", "--json", adopted["id"], home=b).stdout)
    pair = record["body"]["pairs"][0]
    assert record["signature"] == "valid"
    ran = arnode(
        "run", "--task", small_story, "--program", program / "train.py", "--seed", str(pair["seed"]), "--json",
        home=tmp_path / "c",
    )  # fmt: skip
    trial = json.loads(ran.stdout)
    assert (trial["seed"], trial["value"]) == (pair["seed"], pair["candidate"])

    repeated = json.loads(arnode("run", "--recipe", adopted["id"], "--json", home=b).stdout.splitlines()[0])
    assert repeated["repeats"] is True
    assert repeated["value"] == trial["value"]

    (tmp_path / "log.jsonl").write_text(arnode("export", "--format", "jsonl", home=b).stdout)
    checked = [
        json.loads(line) for line in arnode("verify", tmp_path / "log.jsonl", "--json", home=b).stdout.splitlines()
    ]
    assert len(checked) >= 4
    assert not [line for line in checked if line["error"]]
    rows = arnode("export", "--format", "tsv", home=b).stdout.splitlines()
    assert rows[0].split("\t") == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert rows[1].split("\t")[3:] == ["keep", "baseline"]
