"""Chaos: real nodes killed, stopped, frozen and restarted at random while they do research, and then quiet.

A schedule is drawn from a seed, so a run can be repeated as far as an operating system allows. What every node said in
its feed is kept over all its lives, and is what nobody may have lost in the end.
"""

import json
import random
import signal
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gossip.log import Log
from gossip.record import Record
from tests.e2e.processes import command_line, environment
from tests.node.lab import PROGRAM, TASK

Action = Literal["kill", "stop", "freeze"]
ACTIONS: tuple[Action, ...] = ("kill", "stop", "freeze")
START_SECONDS = 60.0
STOP_SECONDS = 20.0
PAUSE = 4.0
LONGEST_DOWN = 12.0
EXPECTED_TROUBLE = ("bootstrap peer",)


@dataclass(frozen=True)
class Step:
    """At that second of the chaos, this is done to a node; so many seconds later it runs again."""

    at: float
    node: int
    action: Action
    down: float


def schedule(nodes: int, seconds: float, seed: int) -> list[Step]:
    """Steps in the order of time, one about every PAUSE seconds; at most a third of the nodes are down at once.

    The first victim is the bootstrap node, number 0.
    """
    rng = random.Random(seed)
    back_at = [0.0] * nodes
    steps: list[Step] = []
    now = 0.0
    while True:
        now += rng.expovariate(1 / PAUSE)
        if now >= seconds:
            return steps
        up = [node for node in range(nodes) if back_at[node] <= now]
        if len(up) <= nodes - max(1, nodes // 3):
            continue
        node, action = (rng.choice(up), rng.choice(ACTIONS)) if steps else (0, "kill")
        step = Step(now, node, action, rng.uniform(0.5, LONGEST_DOWN))
        back_at[node] = now + step.down + 5  # it needs a while to start
        steps.append(step)


@dataclass
class Chaos:
    """What a run came to. seconds_to_converge: from the end of the chaos, with all nodes running again."""

    steps: list[Step]
    records: int
    published: int
    seconds_to_converge: float
    peers: list[int]
    troubles: Counter[str]

    def line(self) -> str:
        """The run in one line."""
        done = Counter(step.action for step in self.steps)
        return (
            f"{len(self.peers)} nodes: {done['kill']} killed, {done['stop']} stopped, {done['freeze']} frozen; "
            f"{self.records} records, {self.published} of them seen in a feed, none lost; the same everywhere "
            f"{self.seconds_to_converge:.1f} s after the last was up again; "
            f"{min(self.peers)} to {max(self.peers)} peers, median {statistics.median(self.peers):g}"
        )


def run_chaos(folder: Path, *, nodes: int, seconds: float, seed: int, trial_seconds: float, patience: float) -> Chaos:
    """Start `nodes` nodes, make chaos, and wait until all have the same records. Fails with a report if they do not.

    trial_seconds: how long a trial sleeps; patience: how long the nodes may take to agree, in seconds.
    """
    quiet = folder / "quiet"
    task = _make_task(folder / "task", quiet, trial_seconds)
    with _swarm(folder, nodes, task) as swarm:
        steps = schedule(nodes, seconds, seed)
        _play(swarm, steps, seconds)
        quiet.touch()  # trials last from now on, so that the set of records comes to rest
        for node in swarm:
            node.check_running()
        converged = _until_equal(swarm, settle=1.5 * trial_seconds + 2, patience=patience)
        _until_peers(swarm, patience)
        published = set[str]().union(*(node.published for node in swarm))
        records = {record_id.hex() for record_id in _ids(swarm[0])}
        lost = {record_id: node.number for node in swarm for record_id in node.published - records}
        assert not lost, f"lost for ever: {lost}"
        troubles = Counter(trouble for node in swarm for trouble in node.troubles)
        assert not troubles, f"troubles of honest nodes: {troubles.most_common(20)}"
        spoken = {node.number: said for node in swarm if (said := node.stderr.read_text().strip())}
        assert not spoken, f"on standard error: {spoken}"
        return Chaos(steps, len(records), len(published), converged, [len(node.peers) for node in swarm], troubles)


# ---- one node, over all its lives ----


@dataclass
class ChaosNode:
    """A node. published: ids of own records that its feed showed, in all its lives; peers: those connected now."""

    number: int
    home: Path
    options: list[str]
    published: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    peers: set[str] = field(default_factory=set)
    address: str = ""
    starts: int = 0
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None
    _listening: threading.Event = field(default_factory=threading.Event)

    @property
    def stderr(self) -> Path:
        return self.home.with_suffix(".stderr")

    @property
    def listens(self) -> bool:
        return self._listening.is_set()

    @property
    def log(self) -> Path:
        return self.home / "log.sqlite"

    def start(self, bootstrap: Sequence[str] = ()) -> None:
        """Start it; `wait` says when it listens."""
        self._listening.clear()
        self.peers.clear()
        self.starts += 1
        more = [word for address in bootstrap for word in ("--bootstrap", address)]
        with self.stderr.open("a") as stderr:
            self._process = subprocess.Popen(
                command_line(self.home, "join", "--json", *self.options, *more),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment(),
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def wait(self) -> None:
        """Wait until it listens."""
        assert self._listening.wait(START_SECONDS), f"node {self.number} does not listen: {self.stderr.read_text()}"

    def check_running(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, f"node {self.number} ended by itself: {self.stderr.read_text()}"

    def send(self, sent: signal.Signals) -> None:
        self.check_running()
        assert self._process is not None
        self._process.send_signal(sent)

    def end(self, sent: signal.Signals) -> int:
        """End it and return its status; what it had said before is read."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(sent)
        try:
            status = self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
        assert self._reader is not None
        self._reader.join()
        return status

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.endswith("\n"):  # the last line of a killed process may be half a line
                    self._hear(json.loads(line))

    def _hear(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "listening":
                self.address = event["addresses"][0]
                self._listening.set()
            case "peer" if event["state"] == "connected":
                self.peers.add(event["peer"])
            case "peer":
                self.peers.discard(event["peer"])
            case "trouble" if not event["what"].startswith(EXPECTED_TROUBLE):
                self.troubles.append(f"{event['what']}: {event['why']}")
            case "result" | "calibration" | "profile" if event["own"]:
                self.published.add(event["id"])


@contextmanager
def _swarm(folder: Path, nodes: int, task: Path) -> Iterator[list[ChaosNode]]:
    """Running nodes that know the first one's address; every second one has another port at each start."""
    swarm = [
        ChaosNode(
            number,
            folder / f"node-{number}",
            ["--task", str(task), "--listen", "/ip4/127.0.0.1/tcp/0", "--alias", f"n{number}"],
        )
        for number in range(nodes)
    ]
    try:
        for node in swarm:
            node.start([swarm[0].address] if node.number else [])
            node.wait()
            if node.number % 2 == 0:
                port = node.address.split("/")[4]
                node.options[node.options.index("--listen") + 1] = f"/ip4/127.0.0.1/tcp/{port}"
        yield swarm
        statuses = {node.number: status for node in swarm if (status := node.end(signal.SIGTERM))}
        assert not statuses, f"nodes that did not stop in order: {statuses}"
    finally:
        for node in swarm:
            node.end(signal.SIGKILL)


def _play(swarm: Sequence[ChaosNode], steps: Sequence[Step], seconds: float) -> None:
    """Do the steps and undo each at its time; in the end all nodes run."""
    deeds = [(step.at, 0, step) for step in steps] + [(step.at + step.down, 1, step) for step in steps]
    deeds.sort(key=lambda deed: deed[:2])
    started = time.monotonic()
    for at, undo, step in deeds:
        time.sleep(max(0.0, started + at - time.monotonic()))
        node = swarm[step.node]
        if undo:
            if step.action == "freeze":
                node.send(signal.SIGCONT)
            else:
                node.start([swarm[0].address] if node.number else [])
        elif step.action == "freeze":
            node.send(signal.SIGSTOP)
        else:
            sent = signal.SIGKILL if step.action == "kill" else signal.SIGTERM
            in_order = 0 if sent == signal.SIGTERM and node.listens else -sent
            status = node.end(sent)
            assert status == in_order, f"node {step.node}: status {status}, not {in_order}"
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    for node in swarm:
        node.wait()


# ---- what they have in the end ----


def _ids(node: ChaosNode) -> set[bytes]:
    with Log(node.log, read_only=True) as log:
        return {record_id for _, record_id in log.ids()}


def _records(swarm: Sequence[ChaosNode]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for node in swarm:
        with Log(node.log, read_only=True) as log:
            found |= {record.id.hex(): record for _, record in log.since()}
    return found


def _until_equal(swarm: Sequence[ChaosNode], settle: float, patience: float) -> float:
    """Wait until all have the same records, and `settle` seconds for the last trials; how long the former took."""
    started = equal_since = time.monotonic()
    agreed: set[bytes] | None = None
    while True:
        sets = [_ids(node) for node in swarm]
        now = time.monotonic()
        if any(one != sets[0] for one in sets):
            agreed = None
        elif agreed != sets[0]:
            agreed, equal_since = sets[0], now
        if agreed is not None and now - started > settle:
            return equal_since - started
        if now - started > settle + patience:
            raise AssertionError(_difference(swarm, sets, patience))
        time.sleep(0.5)


def _until_peers(swarm: Sequence[ChaosNode], patience: float) -> None:
    deadline = time.monotonic() + patience
    while lonely := [node.number for node in swarm if not node.peers]:
        assert time.monotonic() < deadline, f"without peers after {patience} s: nodes {lonely}"
        time.sleep(0.5)


def _difference(swarm: Sequence[ChaosNode], sets: Sequence[set[bytes]], patience: float) -> str:
    """Who lacks what since when."""
    now = time.time()
    common = set[bytes].intersection(*sets)
    lines = [f"not the same after {patience:.0f} s; {len(common)} records are everywhere"]
    for node, ids in zip(swarm, sets, strict=True):
        lines.append(
            f"node {node.number}: {len(ids) - len(common)} beyond these, {len(node.peers)} peers, "
            f"{node.starts} starts; {node.troubles[-3:]}"
        )
    records = _records(swarm)
    partial = sorted((r for r in records.values() if r.id not in common), key=lambda r: r.time_ms)
    for record in partial[:20]:
        lacking = [node.number for node, ids in zip(swarm, sets, strict=True) if record.id not in ids]
        age = now - record.time_ms / 1000
        lines.append(f"{record.kind} {record.id.hex()[:8]}, {age:.0f} s old, is lacked by nodes {lacking}")
    return "\n".join(lines)


def _make_task(folder: Path, quiet: Path, trial_seconds: float) -> Path:
    """The toy task whose trials sleep, and do not end once there is a file `quiet`."""
    pause = (
        "import pathlib\nimport time\n\n"
        f"time.sleep({trial_seconds!r} * random.Random().uniform(0.7, 1.3))\n"
        f"while pathlib.Path({str(quiet)!r}).exists():\n    time.sleep(1)\n\n"
        'if INIT == "zeros":'
    )
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(PROGRAM.replace('if INIT == "zeros":', pause))
    (folder / "task.toml").write_text(TASK.replace("wall_seconds = 20", "wall_seconds = 3600"))
    return folder
