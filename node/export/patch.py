"""Patches: a recipe as one, or what was kept as a series with one commit for each change.

Each is a mail in mbox form (RFC 4155), as `git format-patch` writes them: `git am` makes commits of a file of them, and
`git apply` and `patch` skip what stands before the diff. The message says what was measured, by whom, and in which
records, so that a stranger can repeat it. Texts of peers never begin a line, where git could take them for a header or
for a diff.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime, formataddr
from typing import Final

from agent.discoveries import Discovery
from agent.entries import Result, read
from agent.evidence import Outcome
from agent.packed import edit_sizes
from gossip.record import Record
from node.events import change_text, count, mean_values, printable, value_text
from node.export.choice import ExportError, one_recipe, own_keeps
from node.state import State
from trainer.merge import lines_changed
from trainer.recipe import BASELINE, Change, Recipe, change_between, unified_diff

MAX_SUBJECT: Final = 100
SEPARATOR_DATE: Final = "Mon Sep 17 00:00:00 2001"  # by which mail programs know git's patches


def write_patch(state: State, what: str) -> str:
    """The patch from the task's program to one recipe, or with `kept` a series of this node's keeps.

    Raises ExportError, and the trainer's errors for a peer's recipe that does not fit the task.
    """
    if what == "kept":
        return _series(state)
    record, result, recipe = one_recipe(state, what)
    if record is None or result is None:
        raise ExportError("the baseline differs in nothing from the program, so there is no patch of it")
    mail = _mail(state, record, result, BASELINE, recipe, "[PATCH]")
    if not mail:
        raise ExportError(f"record {record.id.hex()[:8]} tests the task's own program, so there is no patch of it")
    return mail


def _series(state: State) -> str:
    """Every keep as a commit on the one before: together they make the best recipe of the task's program."""
    before, steps = BASELINE, []
    for keep in own_keeps(state):
        record = state.log.get(keep.record_id)
        result = read(record) if record else None
        if record is not None and isinstance(result, Result) and keep.candidate != before:
            steps.append((record, result, before, keep.candidate))
            before = keep.candidate
    if not steps:
        raise ExportError("this node has kept nothing yet, so there is no series of patches: let it run longer")
    return "".join(_mail(state, *step, f"[PATCH {number}/{len(steps)}]") for number, step in enumerate(steps, start=1))


def _mail(state: State, record: Record, result: Result, before: Recipe, after: Recipe, prefix: str) -> str:
    """One patch as a mail; empty if the two recipes make the same program."""
    diff = unified_diff(state.task, before, after)
    if not diff:
        return ""
    discovery = state.notebook.discovery(record.id)
    finder = discovery.author if discovery else record.author
    sent = datetime.fromtimestamp(record.time_ms // 1000, UTC)
    header = [
        f"From {record.id.hex()[:40]} {SEPARATOR_DATE}",
        f"From: {_address(state, finder)}",
        f"Date: {format_datetime(sent)}",
        f"Subject: {_header(f'{prefix} {_subject(state, result, change_between(state.task, before, after))}')}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
    ]
    message = [_line(line) for line in _message(state, record, result, discovery)]
    return "\n".join([*header, "", *message, "---", "", diff]) + "\n"


def _subject(state: State, result: Result, change: Change) -> str:
    """`DEPTH 2 -> 4 (score 2.0000 -> 1.8000)`, in ASCII where names are, so that it reads well in any mail program."""
    text = _line(change_text(change.knobs, {file: lines_changed(*texts) for file, texts in change.edits.items()}))
    text = text.replace("→", "->").replace("−", "-")
    value, parent = mean_values(result.pairs)
    if value is not None and parent is not None:
        measured = f" ({state.task.metric.name} {value_text(parent)} -> {value_text(value)})"
    else:
        measured = f" ({result.verdict})"
    room = MAX_SUBJECT - len(measured)
    return (text if len(text) <= room else f"{text[: room - 3]}...") + measured


def _message(state: State, record: Record, result: Result, discovery: Discovery | None) -> Iterator[str]:
    task, metric = state.task, state.task.metric
    value, parent = mean_values(result.pairs)
    yield f"change: {change_text(result.change, edit_sizes(task, result))}"
    yield f"hypothesis: {result.hypothesis}"
    yield f"verdict: {_verdict(state, result)}"
    if value is not None and parent is not None:
        yield f"{metric.name}: {value:.6f}, of its parent {parent:.6f} (means over {count(len(result.pairs), 'seed')})"
    for pair in result.pairs:
        yield f"seed {pair.seed}: {metric.name} {pair.candidate!r}, of its parent {pair.parent!r}"
    yield f"task: {task.name} {task.fingerprint_hex}"
    yield f"budget: {result.budget.amount:g} {result.budget.kind} a trial"
    yield f"record: {record.id.hex()}"
    yield f"author: {record.author.hex()} ({state.alias(record.author)}), on {result.device}"
    yield f"proposer: {result.proposer}"
    if result.replicates:
        yield f"replicates: {result.replicates.hex()}"
    if discovery is not None:
        yield from _replications(state, record, discovery)
    edited = task.editable[0]
    yield f"program: arnode export --task {task.name} --format program --what baseline -o {edited}"
    yield "apply: git am THIS.patch, or git apply THIS.patch, in the folder of that program"
    yield f"repeat: arnode run --task {task.name} --program {edited} --seed {result.pairs[0].seed}"


def _verdict(state: State, result: Result | Outcome) -> str:
    if result.effect is None or result.interval is None:
        return result.verdict
    low, high = result.interval
    return f"{result.verdict}, effect {result.effect:.6g} ({low:.6g} to {high:.6g}) {state.task.metric.unit}"


def _replications(state: State, shown: Record, discovery: Discovery) -> Iterator[str]:
    """Who else tested the same change, with their records."""
    yield f"status: {discovery.status}, kept by {count(len(discovery.adopters), 'node')}"
    for test in state.notebook.tests(discovery):
        if test.record_id != shown.id:
            who = f"{test.author.hex()[:12]} ({state.alias(test.author)})"
            yield f"tested by {who}: {_verdict(state, test.result)}, record {test.record_id.hex()}"


def _address(state: State, author: bytes) -> str:
    """The author as git wants one. The name is their own word, the address their key's (RFC 2606 keeps .invalid)."""
    return formataddr((_line(state.alias(author)), f"{author.hex()[:16]}@arnode.invalid"))


def _header(text: str) -> str:
    return Header(text, header_name="Subject").encode()


def _line(text: str) -> str:
    return printable(" ".join(text.split())).rstrip()
