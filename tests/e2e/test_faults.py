"""What befalls a running node: a full disk, a log turned to garbage, and a node that is there for others only."""

import json
import signal
from pathlib import Path

import psutil
import pytest

from gossip.log import Log
from tests.disks import damage, fill, needs_mount, small_disk
from tests.e2e.processes import Event, arnode, running_node
from tests.node.lab import make_task


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "toy")


def experiment(event: Event) -> bool:
    return event["event"] == "result" and event["own"]


@needs_mount
def test_on_a_full_disk_a_node_keeps_researching_and_publishes_once_there_is_room(tmp_path: Path, task: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 6) as disk,
        running_node(tmp_path / "a", "--task", task, "--no-research") as a,
        running_node(disk / "b", "--task", task, "--bootstrap", a.listening()) as b,
    ):
        b.wait_for(experiment)
        ballast = fill(disk)
        b.wait_for(lambda event: event["event"] == "trouble" and event["what"] == "storing")
        kept = [b.wait_for(experiment)["id"] for _ in range(3)]
        told = [event for event in b.seen if event["event"] == "trouble" and event["what"] == "storing"]
        assert len(told) == 1
        assert "full" in told[0]["why"]
        ballast.unlink()
        b.wait_for(lambda event: event["event"] == "note" and "stored again" in event["text"])
        a.wait_for_all(kept)
        b.stop()
        with Log(disk / "b" / "log.sqlite", read_only=True) as log:
            assert log.missing([bytes.fromhex(one) for one in kept]) == []


def test_a_log_turned_to_garbage_is_rebuilt_from_the_nodes_own_records_and_its_peers(
    tmp_path: Path, task: Path
) -> None:
    home = tmp_path / "b"
    with running_node(tmp_path / "a", "--task", task) as a:
        address = a.listening()
        with running_node(home, "--task", task, "--bootstrap", address) as b:
            others = [b.wait_for(lambda event: event["event"] == "result" and not event["own"])["id"]]
            own = [b.wait_for(experiment)["id"]]
            b.stop(signal.SIGKILL)
        for part in home.glob("log.sqlite*"):  # the write-ahead log by itself would make the file whole again
            damage(part, "all")
        for command in ("board", "feed"):
            looked = arnode(command, home=home, check=False)
            assert looked.returncode == 1
            assert "damaged" in looked.stderr
            assert "Traceback" not in looked.stderr
        with running_node(home, "--bootstrap", address) as b:
            said = b.wait_for(lambda event: event["event"] == "trouble" and event["what"] == "log")["why"]
            assert "log.sqlite.damaged-" in said
            b.wait_for(lambda event: event["event"] == "sync" and event["received"] > 0)
            b.wait_for(experiment)
            b.stop()
    with Log(home / "log.sqlite", read_only=True) as log:
        assert log.missing([bytes.fromhex(one) for one in own + others]) == []


def test_a_node_without_research_keeps_the_log_and_passes_records_on(tmp_path: Path, task: Path) -> None:
    with running_node(tmp_path / "relay", "--no-research") as relay:
        listening = relay.wait_for(lambda event: event["event"] == "listening")
        address = listening["addresses"][0]
        with (
            running_node(tmp_path / "a", "--task", task, "--bootstrap", address) as a,
            running_node(tmp_path / "b", "--task", task, "--bootstrap", address) as b,
        ):
            found = a.wait_for(experiment)["id"]
            b.wait_for(lambda event: event.get("id") == found)
        loaded = Path(f"/proc/{relay.process.pid}/maps")
        if loaded.exists():
            assert "torch" not in loaded.read_text()
        assert not psutil.Process(relay.process.pid).children()
        relay.stop()
        relay.wait_for(lambda event: event["event"] == "stopped" and "in the log" in event["text"])
        assert not [event for event in relay.seen if event["event"] == "trial" or (event.get("own") and "id" in event)]
    log = arnode("export", "--format", "jsonl", home=tmp_path / "relay").stdout
    assert found in {json.loads(line)["id"] for line in log.splitlines()}
    assert not (tmp_path / "relay" / "trials.sqlite").exists()
