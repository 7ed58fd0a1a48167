"""`arnode import`: what was found elsewhere comes to this node.

Records that their authors signed are taken into the log as they are, as from a peer. Everything else is somebody's
word: what they kept becomes an idea of this node's (node/ideas.py), which names where it comes from, so that any node
may test it. A file is imported whole or not at all.
"""

import json as jsonlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.entries import Hypothesis
from gossip.log import Log
from gossip.record import STORED_KINDS, Record, RecordError, check_clock
from node.archive import ArchiveError, from_line
from node.events import count
from node.home import Home, only_node
from node.ideas import leave_idea, waiting_ideas
from node.membership import Membership, load_membership
from node.outside import BadLine, Outside, from_json, from_tsv, json_objects, numbered, tsv_columns
from node.running import running_node
from node.state import State, open_state, remembered_task
from trainer.task import Task, load_task

MAX_TEXT: Final = 1000
SHOWN: Final = 5  # bad lines that are named one by one
PRIORITY: Final = 0.5
PROPOSER: Final = "import"


class ImportRefused(Exception):
    """The file cannot be imported, and nothing of it was; the message says why, by line."""


@dataclass
class Found:
    """What a file holds. bad: (line, what is wrong with it)."""

    records: list[Record] = field(default_factory=list)
    outside: list[Outside] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)


def import_file(home: Home, task_reference: str | None, file: Path, *, as_json: bool) -> None:
    """Take in a file of results.tsv's form or of JSON lines, and say what came of it.

    Raises ImportRefused, MembershipError, HomeError, and the log's and the task's errors.
    """
    task = load_task(task_reference or remembered_task(home))
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ImportRefused(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ImportRefused(f"cannot read {file}: it is not text: {error}") from error
    found = _read(task, load_membership(home), text)
    if found.bad:
        raise ImportRefused(_refusal(file, found))
    if not found.records and not found.outside:
        raise ImportRefused(f"{file} holds no result")
    taken = _take_in(home, found.records) if found.records else 0
    with open_state(home, task_reference, writing=not home.log.exists()) as state:
        left = _leave_ideas(state, file.name, found.outside)
    _tell(found, taken, left, as_json=as_json)


def _take_in(home: Home, records: Sequence[Record]) -> int:
    """Add signed records to the log; how many were new. A node that runs would not notice, so none may."""
    if running_node(home) is not None:
        raise ImportRefused(f"a node runs with {home.folder}: stop it, import the records, and start it again")
    with only_node(home), Log(home.log) as log:
        return len(log.append(records))


def _read(task: Task, membership: Membership, text: str) -> Found:
    lines, found = numbered(text.split("\n")), Found()
    names: list[str] = []
    for number, line in lines:
        try:
            if line.lstrip().startswith("{"):
                _read_json(task, membership, line, found)
            elif not names:
                names = tsv_columns(line)
            else:
                found.outside.append(from_tsv(task, names, line))
        except (BadLine, ArchiveError) as error:
            found.bad.append((number, str(error)))
            if not names and not line.lstrip().startswith("{"):
                break  # without a header no row can be read
    return found


def _read_json(task: Task, membership: Membership, line: str, found: Found) -> None:
    data = json_objects(line)
    if "record" not in data:
        found.outside.append(from_json(task, data))
        return
    record = from_line(line)
    if record.kind not in STORED_KINDS:
        raise BadLine(f"a {record.kind} record is not stored")
    try:
        check_clock(record, time.time_ns() // 1_000_000)
    except RecordError as error:
        raise BadLine(str(error)) from error
    private = data.get("swarm_key")
    if private is not None and (membership.key is None or membership.key.fingerprint != private):
        raise BadLine(
            f"a record of the private swarm with key {private!s:.16}, and this folder belongs to the "
            f"{membership.words}: private records stay in their swarm"
        )
    found.records.append(record)


def _refusal(file: Path, found: Found) -> str:
    good = len(found.records) + len(found.outside)
    what = f"nothing was imported: {count(len(found.bad), 'line')} of {good + len(found.bad)} cannot be used"
    lines = [f"{file}:{number}: {why}" for number, why in found.bad[:SHOWN]]
    rest = [f"and {len(found.bad) - SHOWN} more"] if len(found.bad) > SHOWN else []
    return "\n  ".join([what, *lines, *rest])


def _leave_ideas(state: State, source: str, rows: Sequence[Outside]) -> int:
    """Leave an idea for each kept row that this node does not have from there already; how many."""
    home, task = state.home, state.task
    known = [told.hypothesis for told in state.notebook.hypotheses() if told.author == state.me]
    known += [idea for _, idea in waiting_ideas(home, task)]
    left = 0
    for row in rows:
        change = dict(row.change or {})
        idea = Hypothesis(text=_words(source, row), change=change, priority=PRIORITY, proposer=PROPOSER)
        if row.kept and idea not in known:
            known.append(idea)
            try:
                leave_idea(home, task, idea)
            except OSError as error:
                raise ImportRefused(f"cannot write in {home.proposals}: {error.strerror}") from error
            left += 1
    return left


def _words(source: str, row: Outside) -> str:
    told = ", ".join(part for part in (row.name, row.value) if part)
    return f"{row.text} (kept elsewhere: {source}{f', {told}' if told else ''})"[:MAX_TEXT]


def _tell(found: Found, taken: int, made: int, *, as_json: bool) -> None:
    kept = sum(row.kept for row in found.outside)
    data = {
        "records": taken,
        "known_records": len(found.records) - taken,
        "hypotheses": made,
        "known_hypotheses": kept - made,
        "left_out": len(found.outside) - kept,
    }
    if as_json:
        print(jsonlib.dumps(data))
        return
    parts = []
    if found.records:
        parts.append(f"{count(taken, 'signed record')} taken in, {data['known_records']} known already")
    if found.outside:
        parts.append(
            f"{count(made, 'hypothesis')} to test, {data['known_hypotheses']} known already; "
            f"{data['left_out']} not kept there or their baseline, left out"
        )
    print("; ".join(parts) + ". The node that runs here, or is next started, shares what is new.")
