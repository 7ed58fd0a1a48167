"""`arnode swarm N`: N nodes as processes of this machine, their feeds merged into one, and a summary at the end.

Each is an ordinary node with a state folder of its own below this one's; only the listening address is local. The
summary is computed from the union of their logs.
"""

import os
import secrets
import shlex
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import trio

from agent.discoveries import Discovery
from agent.entries import kept
from agent.evidence import Experiment, new_values
from agent.notebook import Notebook
from gossip.clock import now_ms
from gossip.log import Log
from gossip.reasons import alone
from node.config import SETTINGS, Loaded, variable
from node.configtext import as_environment
from node.events import Event, count, from_json
from node.feed import Feed
from node.home import Home, open_home
from node.join import task_reference
from node.lines import place
from node.state import DEFAULT_TASK
from trainer.device import detect, own_cores
from trainer.slots import shares
from trainer.task import Task, load_task

# what nursery.start passes: trio.TaskStatus[str], which the stubs that libp2p brings along do not know
Started: TypeAlias = Any

STOP_SECONDS: Final = 8.0
OF_ONE_NODE: Final = frozenset(
    # settings that the nodes of such a swarm cannot share, or that are the whole swarm's
    {"task", "alias", "swarm", "swarm_key", "bootstrap", "listen", "lan", "http", "experiments", "minutes", "verbose"}
)
HIDDEN: Final = frozenset({"peer", "sync", "profile", "listening", "stopped"})


class SwarmError(Exception):
    """A node of the swarm did not start or ended by itself; the message holds what it said."""


@dataclass(frozen=True)
class Summary:
    """What a swarm did. Times in seconds; None where there is nothing to measure.

    adopted_by_all: discoveries that every node came to hold by its own trials; spread: median time from a discovery's
    record to the last of those trials' records.
    """

    experiments: int
    discoveries: int
    confirmed: int
    adoptions: int
    adopted_by_all: int
    spread: float | None
    baseline: float | None
    best: float | None
    improvement: float | None


def summarise(task: Task, logs: Sequence[Path], since_ms: int) -> Summary:
    """Compute the summary from the nodes' logs, of what happened from `since_ms` on."""
    notebook = Notebook(task, bytes(32), detect().device_class)
    for path in logs:
        with Log(path, read_only=True) as log:
            for _, record in log.since():
                notebook.add(record)
    recent = [test for test in notebook.experiments() if test.moment[0] >= since_ms]
    found = [discovery for discovery in notebook.discoveries() if discovery.time_ms >= since_ms]
    authors = {row.author for row in notebook.board()}
    spreads = [
        (max(_first_keeps(discovery, recent).values()) - discovery.time_ms) / 1000
        for discovery in found
        if len(authors) > 1 and set(discovery.adopters) == authors
    ]
    baseline = notebook.baseline()
    values = [row.value for row in notebook.board() if row.value is not None]
    best = (min if task.metric.direction == "minimize" else max)(values, default=None)
    return Summary(
        experiments=len(recent),
        discoveries=len(found),
        confirmed=sum(discovery.status == "confirmed" for discovery in found),
        adoptions=sum(kept(test.verdict) and test.result.replicates is not None for test in recent),
        adopted_by_all=len(spreads),
        spread=statistics.median(spreads) if spreads else None,
        baseline=baseline,
        best=best,
        improvement=None if best is None or not baseline else task.metric.improvement(baseline, best) / abs(baseline),
    )


def _first_keeps(discovery: Discovery, tests: Sequence[Experiment]) -> dict[bytes, int]:
    """When each author first kept the change (milliseconds since 1970)."""
    change = new_values(discovery.change)
    keeps = {discovery.author: discovery.time_ms}
    for test in tests:
        if kept(test.verdict) and (test.result.replicates == discovery.record_id or test.new_values == change):
            keeps.setdefault(test.author, test.moment[0])
    return keeps


async def swarm(home: Home, nodes: int, settings: Loaded, feed: Feed) -> None:
    """Run a swarm until the time is up or a signal comes. Raises SwarmError, TaskError."""
    task, minutes = settings.config.task, settings.config.minutes
    loaded = load_task(task or DEFAULT_TASK)
    homes = [open_home(home.folder / "swarm" / f"node-{number}") for number in range(1, nodes + 1)]
    since_ms = now_ms()
    told = {
        "listen": "/ip4/127.0.0.1/tcp/0",
        "lan": "false",
        "swarm": f"local-{secrets.token_hex(4)}",
        "task": "" if task is None else task_reference(home, task),
    }
    not_for_them = {"ARNODE_INVITE", *map(variable, SETTINGS)}
    environment = {name: value for name, value in os.environ.items() if name not in not_for_them}
    environment |= as_environment(settings, SETTINGS.keys() - OF_ONE_NODE)
    environment |= {variable(key): value for key, value in told.items()}
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
            nursery.start_soon(_keep_time, feed)
            until = settings.config.until
            with trio.CancelScope() as time_up:
                async with trio.open_nursery() as running:
                    parts = shares(own_cores(), nodes)
                    # a node that ends by itself has reached the goal
                    run_node = partial(_run_node, ended=_nothing if until is None else time_up.cancel)
                    address = await running.start(run_node, homes[0], parts[0], environment, feed)
                    if minutes is not None:
                        time_up.deadline = trio.current_time() + 60 * minutes
                        feed.ends_in(minutes)
                    environment[variable("bootstrap")] = address
                    for other, cores in zip(homes[1:], parts[1:], strict=True):
                        running.start_soon(run_node, other, cores, environment, feed)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise alone(group) from None
    summary = summarise(loaded, [one.log for one in homes if one.log.exists()], since_ms)
    # a line of its own, to be copied
    more = {"text": f"arnode --home {shlex.quote(str(homes[0].folder))} board"}
    feed.show(Event("note", now_ms(), "swarm", True, more))
    text = f"{_in_words(summary, loaded, nodes)}. The line above shows more"
    feed.show(
        Event(
            "stopped",
            now_ms(),
            "swarm",
            True,
            {"text": text, "homes": [str(one.folder) for one in homes]} | vars(summary),
        )
    )


async def _keep_time(feed: Feed) -> None:
    """Show how much time is left, as nothing else may happen for a while."""
    while True:
        feed.refresh()
        await trio.sleep(1)


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _run_node(
    home: Home,
    cores: Sequence[int],
    environment: Mapping[str, str],
    feed: Feed,
    task_status: Started = trio.TASK_STATUS_IGNORED,
    *,
    ended: Callable[[], None],
) -> None:
    """Run one node as a process on those cores and show its own events; started once it listens, with its address.

    ended: called when it ended by itself and in order.
    """
    command = [sys.executable, "-m", "node.cli", "--home", str(home.folder), "join", "--json"]
    errors = home.folder / "stderr.log"
    with errors.open("wb") as stderr:
        # a session of its own: Ctrl-C is for this process, which then stops its nodes in order
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            start_new_session=True,
        )
    if sys.platform == "linux":
        os.sched_setaffinity(process.pid, cores)  # before it has started anything of its own
    assert process.stdout is not None
    output = _NodeOutput(process.stdout, home.folder.name, feed, task_status)
    try:
        await output.show()
        await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_SECONDS):
                await output.show()
                await process.wait()
            if process.returncode is None:
                process.kill()
    if process.returncode:
        tail = errors.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        raise SwarmError(f"{home.folder.name} ended with status {process.returncode}; it said: {tail or 'nothing'}")
    ended()


def _nothing() -> None:
    """What comes of it where the others go on."""


class _NodeOutput:
    """A node's events, read from its standard output; reading may be cancelled and taken up again."""

    def __init__(self, stdout: trio.abc.ReceiveStream, name: str, feed: Feed, task_status: Started) -> None:
        self._stdout = stdout
        self._name = name
        self._feed = feed
        self._task_status = task_status
        self._rest = b""

    async def show(self) -> None:
        """Show events until the output ends."""
        async for chunk in self._stdout:
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._show(from_json(line.decode()))

    def _show(self, event: Event) -> None:
        if event.kind == "listening":
            self._task_status.started(event.data["addresses"][0])
            url = event.data.get("url")
            at = f"has its page at {url}" if url else f"listens at {place(event.data['addresses'][0])}"
            text = f"{self._name} {at}"
            event = Event("note", event.time_ms, event.who, True, {"text": text})
        if event.own and event.kind not in HIDDEN:
            # nobody's own here, and none of a stranger's: what came to nothing is shown as well
            data = {**event.data, "of_swarm": True} if event.kind == "result" else event.data
            self._feed.show(replace(event, own=False, data=data))


def _in_words(summary: Summary, task: Task, nodes: int) -> str:
    found = f"{count(summary.discoveries, 'discovery')} ({summary.confirmed} confirmed)"
    did = f"{count(summary.experiments, 'experiment')}, {found}, {count(summary.adoptions, 'adoption')}"
    text = f"{count(nodes, 'node')}: {did}"
    if summary.spread is not None:
        text += f"; {summary.adopted_by_all} adopted by all, median {summary.spread:.0f} s after publication"
    if summary.best is not None and summary.improvement is not None:
        text += f"; {task.metric.name} {summary.baseline:.4f} → {summary.best:.4f}, {summary.improvement:.1%} better"
    return text
