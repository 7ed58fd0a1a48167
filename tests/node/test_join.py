"""A running node, in this process: what fails is told and started again, and a damaged log is repaired under way."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

import node.node
from gossip.log import Log
from gossip.logfile import LogDamaged
from gossip.record import Record
from gossip.supervise import supervise
from node.config import Config
from node.events import Event
from node.feed import Feed, feed_console
from node.home import open_home
from node.join import join
from node.membership import Wish
from tests.node.lab import make_task

TASKS = {"network events", "forgetting", "own records", "presence", "proposals", "research"}


def settings(task: Path, experiments: int) -> Config:
    return Config(listen=("/ip4/127.0.0.1/tcp/0",), task=str(task), experiments=experiments, http="off", lan=False)


async def events_of(tmp_path: Path, experiments: int, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Run a node until it has done so many experiments."""
    home = open_home(tmp_path / "home")
    feed = Feed(feed_console(json=True), json=True)
    shown: list[Event] = []
    monkeypatch.setattr(feed, "show", shown.append)
    with trio.fail_after(60):
        await join(home, Wish("test"), settings(make_task(tmp_path / "toy"), experiments), feed)
    return shown


def troubles(shown: Sequence[Event], what: str) -> list[str]:
    return [event.data["why"] for event in shown if event.kind == "trouble" and event.data["what"] == what]


async def test_every_task_of_a_node_that_fails_is_told_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: set[str] = set()

    async def failing_once(
        name: str, run: Callable[[], Awaitable[object]], report: Callable[[str, str], object]
    ) -> None:
        names.add(name)
        failed = False

        async def broken() -> None:
            nonlocal failed
            if failed:
                await run()
                return
            failed = True
            with trio.move_on_after(0.3):
                await run()
            raise RuntimeError("injected")

        await supervise(name, broken, report, first_pause=0.05)

    monkeypatch.setattr(node.node, "supervise", failing_once)
    shown = await events_of(tmp_path, 3, monkeypatch)
    assert names == TASKS, "a task was added or renamed: it belongs in this test"
    for name in TASKS:
        assert troubles(shown, name) == ["RuntimeError: injected"]
    assert shown[-1].data["experiments"] >= 3
    assert sum(event.kind == "result" for event in shown) >= 3


async def test_a_log_that_turns_out_damaged_under_way_is_repaired_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Log.append
    written: list[Record] = []
    damaged: list[bool] = []

    def damaged_once(log: Log, records: Sequence[Record]) -> list[Record]:
        if len(written) >= 2 and not damaged:
            damaged.append(True)
            raise LogDamaged(f"cannot write to {log.path}: the file is damaged")
        new = append(log, records)
        written.extend(new)
        return new

    monkeypatch.setattr(Log, "append", damaged_once)
    shown = await events_of(tmp_path, 2, monkeypatch)
    (told,) = troubles(shown, "log")
    assert "log.sqlite.damaged-" in told
    ids = {event.data["id"] for event in shown if event.kind in ("result", "calibration", "profile")}
    assert len(ids) > 3
    with Log(tmp_path / "home" / "log.sqlite", read_only=True) as log:
        assert log.missing([bytes.fromhex(one) for one in ids]) == []


async def test_a_log_that_is_damaged_again_at_once_ends_the_node_with_a_named_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(log: Log, arrival: int = 0, limit: int = 0) -> Any:
        raise LogDamaged(f"cannot read {log.path}: the file is damaged")

    monkeypatch.setattr(Log, "since", damaged)
    with pytest.raises(LogDamaged, match="cannot read"):
        await events_of(tmp_path, 1, monkeypatch)
