"""`arnode import`: what was found elsewhere comes into this node's log.

Records that their authors signed are taken as they are, as from a peer. Everything else is somebody's word: what they
kept becomes a hypothesis of this node's, which names where it comes from, so that any node may test it. A file is
imported whole or not at all.
"""

import json as jsonlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.entries import Hypothesis, read_if_known, write
from gossip.identity import Identity, load_or_create
from gossip.record import STORED_KINDS, Record, RecordError, check_clock
from gossip.stamp import Stamps
from node.archive import ArchiveError, from_line
from node.events import count
from node.home import Home, only_node
from node.membership import Membership, load_membership
from node.outside import BadLine, Outside, from_json, from_tsv, json_objects, numbered, tsv_columns
from node.own import OwnRecords
from node.running import running_node
from node.state import State, open_state
from trainer.task import Task

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
    if running_node(home) is not None:
        raise ImportRefused(f"a node runs with {home.folder}: stop it, import, and start it again")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"cannot read {file}: {error}") from error
    membership = load_membership(home)
    with only_node(home), open_state(home, task_reference, writing=True) as state:
        found = _read(state.task, membership, text)
        if found.bad:
            raise ImportRefused(_refusal(file, found))
        if not found.records and not found.outside:
            raise ImportRefused(f"{file} holds no result")
        taken = state.log.append(found.records)
        own = _hypotheses(state, load_or_create(home.identity), file.name, found.outside)
        state.log.append(own)
        OwnRecords(home.own).keep(own)
    _tell(found, len(taken), len(own), as_json=as_json)


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


def _hypotheses(state: State, me: Identity, source: str, rows: Sequence[Outside]) -> list[Record]:
    """A hypothesis for each kept row that this node has not imported before, signed by this node."""
    known = {_key(entry) for record in _own(state) if isinstance(entry := read_if_known(record), Hypothesis)}
    stamps, made = Stamps(state.log.times_of(state.me)), []
    for row in rows:
        if not row.kept:
            continue
        entry = Hypothesis(
            text=_words(source, row), change=dict(row.change or {}), priority=PRIORITY, proposer=PROPOSER
        )
        if _key(entry) not in known:
            known.add(_key(entry))
            time_ms = stamps.next(time.time_ns() // 1_000_000)
            made.append(write(me, state.task.fingerprint, time_ms, entry))
    return made


def _own(state: State) -> list[Record]:
    found = (state.log.get(record_id) for record_id in state.ids_of(state.me))
    return [one for one in found if one is not None and one.task == state.task.fingerprint]


def _key(entry: Hypothesis) -> str:
    return jsonlib.dumps([entry.text, entry.change], sort_keys=True)


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
    print("; ".join(parts) + ". `arnode join` shares what is new.")
