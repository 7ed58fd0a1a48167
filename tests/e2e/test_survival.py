"""What a node survives, and how it stops: kill -9, Ctrl-C, a lost bootstrap, a second node in its folder."""

import contextlib
import json
import signal
import time
from pathlib import Path

import psutil
import pytest

from gossip.log import Log
from node.home import open_home
from tests.e2e.processes import Event, Node, arnode, is_result, running_node
from tests.node.lab import PROGRAM, TASK, make_task

# every trial but the baseline's goes on until it is killed
ENDLESS = PROGRAM.replace(
    'if INIT == "zeros":\n    sys.exit("zeros never learn")',
    'if (INIT, DEPTH, RATE) != ("default", 2, 0.1):\n    import time\n\n    time.sleep(1000)',
)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "toy")


def experiment(event: Event) -> bool:
    return event["event"] == "result" and event["own"]


def test_ctrl_c_stops_within_three_seconds_and_loses_nothing(tmp_path: Path, task: Path) -> None:
    with running_node(tmp_path / "a", "--task", task) as node:
        ids = [node.wait_for(experiment)["id"] for _ in range(3)]
        assert node.stop() < 3
        assert node.process.returncode == 0
    with Log(tmp_path / "a" / "log.sqlite", read_only=True) as log:
        assert log.missing([bytes.fromhex(one) for one in ids]) == []


def running_program(node: Node, workspaces: Path, not_this: str = "") -> str:
    """The text of the program whose trial runs, once it does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and node.process.poll() is None:
        if not psutil.Process(node.process.pid).children(recursive=True):
            continue
        for program in workspaces.glob("*/train.py"):
            with contextlib.suppress(FileNotFoundError):  # the trial ended meanwhile
                if (text := program.read_text()) not in ("", not_this):
                    return text
    raise AssertionError(f"no trial runs; the node's status is {node.process.poll()}")


def test_kill_9_loses_at_most_the_running_trial_and_leaves_no_process(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "toy")
    (folder / "train.py").write_text(ENDLESS)
    home = open_home(tmp_path / "a")
    with running_node(home.folder, "--task", folder) as node:
        node.wait_for(lambda event: event["event"] == "trial" and event["status"] == "ok")
        candidate = running_program(node, home.workspaces, not_this=ENDLESS)
        plan = home.experiment.read_text()
        children = psutil.Process(node.process.pid).children(recursive=True)
        node.stop(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive

    with running_node(home.folder, "--task", folder) as node:
        node.listening()
        # straight on with the candidate: its parent's trial was finished and is not run again
        assert running_program(node, home.workspaces) == candidate
        assert home.experiment.read_text() == plan
        assert len(list(home.workspaces.iterdir())) == 1, "the killed node's workspace is still there"


def test_a_node_comes_back_with_its_identity_and_its_best(tmp_path: Path, task: Path) -> None:
    with running_node(tmp_path / "a", "--task", task) as node:
        kept = node.wait_for(lambda event: is_result(event, own=True, verdict="keep", replication=False))
        node.stop(signal.SIGKILL)
    before = json.loads(arnode("board", "--json", home=tmp_path / "a").stdout)
    with running_node(tmp_path / "a", "--experiments", "1") as node:  # the task is remembered
        listening = node.wait_for(lambda event: event["event"] == "listening")
        assert node.wait_for(lambda event: event["event"] == "stopped")["experiments"] == 1
        assert node.process.wait(timeout=20) == 0
    assert listening["task"] == "toy"
    after = json.loads(arnode("board", "--json", home=tmp_path / "a").stdout)
    assert (
        [row["author"] for row in after["nodes"]] == [row["author"] for row in before["nodes"]] == [listening["author"]]
    )
    assert after["nodes"][0]["keeps"] >= before["nodes"][0]["keeps"] >= 1
    assert kept["id"] in {row["id"] for row in after["discoveries"]}


def test_a_second_node_in_one_state_folder_is_refused(tmp_path: Path, task: Path) -> None:
    with running_node(tmp_path / "a", "--task", task) as node:
        node.listening()
        second = arnode("join", "--task", task, "--listen", "/ip4/127.0.0.1/tcp/0", home=tmp_path / "a", check=False)
    assert second.returncode == 1
    assert "already running" in second.stderr


def test_a_busy_port_is_said(tmp_path: Path, task: Path) -> None:
    with running_node(tmp_path / "a", "--task", task) as node:
        port = node.listening().split("/")[4]
        where = f"/ip4/127.0.0.1/tcp/{port}"
        second = arnode("join", "--task", task, "--listen", where, home=tmp_path / "b", check=False)
    assert second.returncode == 1
    assert port in second.stderr
    assert "Traceback" not in second.stderr


def test_a_node_whose_bootstrap_is_down_does_research_and_joins_when_it_is_up(tmp_path: Path, task: Path) -> None:
    with running_node(tmp_path / "a", "--task", task) as first:
        address = first.listening()
        first.wait_for(experiment)
        first.stop()
    with running_node(tmp_path / "b", "--task", task, "--bootstrap", address) as second:
        second.wait_for(experiment)
        port = address.split("/")[4]
        with running_node(tmp_path / "a", "--task", task, "--listen", f"/ip4/127.0.0.1/tcp/{port}") as first:
            second.wait_for(lambda event: event["event"] == "result" and not event["own"])
            first.wait_for(lambda event: event["event"] == "result" and not event["own"])


def test_a_peer_of_another_task_or_swarm_is_no_harm(tmp_path: Path, task: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "train.py").write_text(PROGRAM.replace("DEPTH = 2", "DEPTH = 5"))
    (other / "task.toml").write_text(TASK)
    with running_node(tmp_path / "a", "--task", task) as a:
        address = a.listening()
        with (
            running_node(tmp_path / "b", "--task", other, "--bootstrap", address) as b,
            running_node(tmp_path / "c", "--task", task, "--bootstrap", address, "--swarm", "elsewhere") as c,
        ):
            known = {c.wait_for(experiment)["id"], b.wait_for(experiment)["id"]}
            own = [a.wait_for(experiment)["id"] for _ in range(3)]
            assert not known & {event.get("id") for event in a.seen}
            assert not set(own) & {event.get("id") for event in [*b.seen, *c.seen]}
    log = arnode("export", "--format", "jsonl", home=tmp_path / "a").stdout
    authors = {json.loads(line)["author"] for line in log.splitlines()}
    assert len(authors) == 2  # the other task's records travel along; the other swarm's do not


def test_a_swarm_shows_one_feed_ends_in_time_and_sums_up(tmp_path: Path, task: Path) -> None:
    with running_node(tmp_path / "s", 3, "--minutes", "0.6", "--task", task, command="swarm") as swarm:
        summary = swarm.wait_for(lambda event: event["event"] == "stopped", 120)
        assert swarm.process.wait(timeout=20) == 0
    results = [event for event in swarm.seen if event["event"] == "result"]
    assert len({event["who"] for event in results}) == 3
    assert summary["experiments"] >= len(results) > 3
    assert summary["adoptions"] == sum(event["verdict"] == "keep" and bool(event["replicates"]) for event in results)
    assert summary["improvement"] > 0.1
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]


def test_ctrl_c_stops_a_swarm_and_all_its_nodes(tmp_path: Path, task: Path) -> None:
    with running_node(tmp_path / "s", 2, "--task", task, command="swarm") as swarm:
        swarm.wait_for(lambda event: event["event"] == "result")
        children = psutil.Process(swarm.process.pid).children(recursive=True)
        swarm.stop()
        assert swarm.process.returncode == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
