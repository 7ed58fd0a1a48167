"""Real nodes as processes, their feeds read as JSON, every wait with a deadline."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Event = dict[str, Any]


def arnode(
    *arguments: str | Path, home: Path, check: bool = True, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of arnode to its end."""
    done = subprocess.run(
        command_line(home, *arguments),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=cwd,
        timeout=300,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def command_line(home: Path, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "node.cli", "--home", str(home), *map(str, arguments)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "ARNODE_LAN": "0"}


class Node:
    """A process that prints events. Use `running_node`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[Event] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, wanted: Callable[[Event], bool], seconds: float = 60) -> Event:
        """The next event that is wanted. Fails at the deadline, or when the process ends before."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not seen within {seconds} s; {self._story()}") from None
            assert line is not None, f"the process ended with {self.process.wait()}; {self._story()}"
            event = json.loads(line)
            self.seen.append(event)
            if wanted(event):
                return event

    def _story(self) -> str:
        """What was seen, in short, and the last events in full."""
        keys = ("event", "verdict", "replicates", "reason", "what", "why")
        own = [[event[key] for key in keys if event.get(key)] for event in self.seen if event.get("own")]
        return f"its own events, in short: {own[-60:]}; the last of all: {self.seen[-3:]}"

    def wait_for_all(self, ids: Sequence[str], seconds: float = 60) -> None:
        """Wait until records of all these ids were seen, in whatever order they came."""
        missing = set(ids) - {event.get("id") for event in self.seen}

        def last(event: Event) -> bool:
            missing.discard(event.get("id"))
            return not missing

        if missing:
            self.wait_for(last, seconds)

    def listening(self) -> str:
        """Wait until it listens; its address."""
        address: str = self.wait_for(lambda event: event["event"] == "listening")["addresses"][0]
        return address

    def stop(self, sent: signal.Signals = signal.SIGINT) -> float:
        """Send a signal and wait for the end; how many seconds that took."""
        started = time.monotonic()
        self.process.send_signal(sent)
        self.process.wait(timeout=30)
        return time.monotonic() - started


@contextmanager
def running_node(home: Path, *arguments: str | Path, command: str = "join") -> Iterator[Node]:
    """A running `arnode join --json` (or `swarm`), killed at the end of the block if it still runs."""
    where = ["--listen", "/ip4/127.0.0.1/tcp/0"] if command == "join" else []
    full = command_line(home, command, *arguments, "--json", *where)
    process = subprocess.Popen(full, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True)
    try:
        yield Node(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def is_result(event: Event, *, own: bool, verdict: str, replication: bool) -> bool:
    """Whether the event is a result of that kind."""
    return (
        event["event"] == "result"
        and event["own"] is own
        and event["verdict"] == verdict
        and (event["replicates"] is not None) is replication
    )
