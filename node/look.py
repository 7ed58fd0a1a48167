"""Looking into a node's log: feed, board, one record in full, and archives; the node may run or not."""

import json as jsonlib
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from rich.console import Console, Group
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from agent.entries import Hypothesis, Result, read, read_if_known
from agent.packed import edit_sizes
from gossip.record import Record
from node.archive import check_lines, fields_of
from node.events import Event, change_text, count, percent, printable, relative_to, settings_text, value_text
from node.export import find_record
from node.feed import Feed
from node.home import Home
from node.state import State, open_state
from node.view.board import board_of
from node.view.record import diff_of, signature_of
from node.view.said import answers_of

POLL_SECONDS: Final = 0.5
TOLD_FIRST: Final = ("verdict", "reason", "change", "effect", "interval", "pairs", "hypothesis", "proposer")
SAID: Final = 3  # insights and ideas on the board
STATUS_STYLES: Final = {"confirmed": "bold yellow", "refuted": "magenta", "open": "default"}


def _out() -> Console:
    return Console(markup=False, highlight=False, emoji=False)


def show_feed(home: Home, task: str | None, feed: Feed, *, last: int, follow: bool) -> None:
    """Show the last records of the log, in order of arrival; with follow, go on until Ctrl-C."""
    with open_state(home, task, writing=False) as state:
        arrived = list(state.log.since())
        told = (event for _, record in reversed(arrived) if (event := _event(state, record)) and feed.shows(event))
        for event in reversed(list(islice(told, last))):
            feed.show(event)
        seen = arrived[-1][0] if arrived else 0
        try:
            while follow:
                for number, record in state.log.since(seen):
                    for event in state.take(record):
                        feed.show(event)
                    seen = number
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            return


def _event(state: State, record: Record) -> Event | None:
    """What the record tells of this task; None if it tells nothing."""
    about_this = record.kind == "profile" or record.task == state.task.fingerprint
    return state.event_of(record) if about_this and read_if_known(record) is not None else None


def show_board(home: Home, task: str | None, *, json: bool) -> None:
    """The best recipe of each node, and the discoveries."""
    with open_state(home, task, writing=False) as state:
        board = board_of(state)
        if json:
            print(jsonlib.dumps(board, ensure_ascii=False))
        else:
            _print_board(state, board)


def _print_board(state: State, board: Mapping[str, Any]) -> None:
    unit = f" {board['unit']}" if board["unit"] else ""
    out = _out()
    head = Text(f"{board['task']}", "bold").append(f"  {board['metric']}{unit}, ", "default")
    head.append("lower is better" if board["direction"] == "minimize" else "higher is better")
    for name in ("baseline", "floor", "noise"):
        head.append(f"  ·  {name} {value_text(board[name])}")
    out.print(head)
    if known := board["known_best"]:
        text = Text(f"known best {known['value']!r}")
        if (best := board["best_trial"]) is not None:
            behind = (best - known["value"]) * (1 if board["direction"] == "minimize" else -1)
            text.append(f"  ·  best trial {best!r}, {abs(behind):.2g} {'worse' if behind > 0 else 'better'}")
        out.print(text.append(f"  ·  {known['source']}", "dim"))
    nodes = _table("node", "best", "gain", "changes", "experiments", "kept", "confirmed", "credible")
    for row in board["nodes"]:
        nodes.add_row(
            Text(printable(row["alias"]) + (" (me)" if row["own"] else ""), "bold" if row["own"] else "blue"),
            value_text(row["value"]),
            percent(relative_to(row["value"], board["baseline"])),
            str(row["changes"]),
            str(row["experiments"]),
            str(row["keeps"]),
            str(row["confirmed"]),
            "–" if row["own"] else f"{row['credibility']:.2f}",
        )
    out.print()
    out.print(nodes if board["nodes"] else Text("no experiments yet", "dim"))
    if board["discoveries"]:
        found = _table("discovery", "worth", "held by", "status", "found by", "id")
        for row in board["discoveries"]:
            found.add_row(
                printable(change_text(row["change"], row["edits"])),
                value_text(row["expected"]),
                str(len(row["adopters"])),
                Text(row["status"], STATUS_STYLES[row["status"]]),
                printable(row["alias"]),
                row["id"][:8],
            )
        out.print()
        out.print(found)
    for row in board["insights"][:SAID]:
        line = Text("» ", "bold yellow").append(printable(row["text"]), "default")
        out.print(line.append(f"  {row['id'][:8]}", "dim"))
    for row in board["hypotheses"][:SAID]:
        line = Text("? ", "yellow").append(printable(row["text"]), "default")
        line.append(printable(f"  {settings_text(row['set'])}"), "yellow").append(f"  {row['id'][:8]}", "dim")
        out.print(line)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        text = name in ("node", "discovery")
        side: Literal["left", "right"] = "left" if text or name in ("status", "found by", "id") else "right"
        table.add_column(name, justify=side, no_wrap=not text)
    return table


def show_record(home: Home, task: str | None, record_id: str, *, json: bool) -> None:
    """One record in full: its fields, whether its signature holds, and for a result its program's diff."""
    with open_state(home, task, writing=False) as state:
        record = find_record(state, record_id)
        entry = read(record)
        fields = fields_of(record) | {"alias": state.alias(record.author), "signature": signature_of(record)}
        diff = diff_of(state, entry) if isinstance(entry, Result) and record.task == state.task.fingerprint else ""
        if isinstance(entry, Hypothesis):
            fields |= answers_of(state, record.id)
        if json:
            print(jsonlib.dumps(fields | {"diff": diff}, ensure_ascii=False))
            return
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        body = fields.pop("body")
        if isinstance(entry, Result):
            body |= _change_in_words(state, record, entry)
        shown = {name: body[name] for name in TOLD_FIRST if name in body} | fields | body
        for name, value in shown.items():
            if value not in (None, "", [], {}):
                table.add_row(name, _field(name, value))
        parts: list[Any] = [table]
        if diff:
            parts.append(
                Panel(
                    Syntax(diff, "diff", background_color="default"),
                    title="from the task's program",
                    title_align="left",
                )
            )
        _out().print(Group(*parts))


def _change_in_words(state: State, record: Record, result: Result) -> dict[str, Any]:
    """A result's change and candidate as a person reads them: of edited files their names and sizes, not the bytes."""
    sizes = edit_sizes(state.task, result) if record.task == state.task.fingerprint else dict.fromkeys(result.edits)
    return {
        "change": change_text(result.change, sizes),
        "edits": None,
        "candidate": {"knobs": result.candidate.knobs, "files": list(result.candidate.files)},
    }


def _field(name: str, value: Any) -> str:
    if name == "time_ms":
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value / 1000))
    return printable(jsonlib.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value))


def show_verified(file: Path, *, json: bool) -> bool:
    """Check an archive; print what is wrong and how many lines are sound. Returns whether all are."""
    good = bad = 0
    with file.open(encoding="utf-8", errors="replace") as lines:
        for checked in check_lines(lines):
            good += checked.error is None
            bad += checked.error is not None
            if json:
                record_id = checked.record.id.hex() if checked.record else None
                print(jsonlib.dumps({"line": checked.line, "id": record_id, "error": checked.error}))
            elif checked.error:
                print(f"{file}:{checked.line}: {checked.error}")
    if not json:
        print(f"{count(good, 'record')} sound, {bad} not")
    return bad == 0 and good > 0
