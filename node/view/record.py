"""One record in full: what it says, who signed it, whether the signature holds, and the program's diff."""

from typing import Any

from agent.entries import Hypothesis, Result, read_if_known
from gossip.record import Record, RecordError, verify
from node.archive import fields_of
from node.export import recipe_of
from node.state import State
from node.view.said import answers_of
from trainer.errors import TrainerError
from trainer.recipe import BASELINE, unified_diff


def record_view(state: State, record: Record) -> dict[str, Any]:
    """The record's fields as an archive has them, and `alias`, `own`, `signature`, `event` and `diff`.

    signature: `valid`, or `INVALID: why`. event: the feed's, None for a body that is not understood. diff: from the
    task's program to a result's candidate, empty where there is none; `parent_diff`: from its parent, its own change. A
    hypothesis has `open` and `answers` too.
    """
    entry = read_if_known(record)
    known = entry is not None and (record.kind == "profile" or record.task == state.task.fingerprint)
    is_result = isinstance(entry, Result) and known
    return (
        fields_of(record)
        | {
            "alias": state.alias(record.author),
            "own": record.author == state.me,
            "bytes": len(record.raw),
            "signature": signature_of(record),
            "event": state.event_of(record).to_dict() if known else None,
            "diff": diff_of(state, entry) if is_result and isinstance(entry, Result) else "",
            "parent_diff": _own_diff(state, record) if is_result else "",
        }
        | (answers_of(state, record.id) if isinstance(entry, Hypothesis) else {})
    )


def signature_of(record: Record) -> str:
    """`valid`, or `INVALID: why`."""
    try:
        verify(record)
    except RecordError as error:
        return f"INVALID: {error}"
    return "valid"


def diff_of(state: State, result: Result) -> str:
    """From the task's program to the candidate's; a sentence in parentheses where the recipe is not of this task."""
    try:
        return unified_diff(state.task, BASELINE, recipe_of(state, result))
    except TrainerError as error:
        return f"(the recipe is not one of this task: {error})"


def _own_diff(state: State, record: Record) -> str:
    test = state.notebook.experiment(record.id)
    try:
        return unified_diff(state.task, test.parent, test.candidate) if test else ""
    except TrainerError as error:
        return f"(the program cannot be made from this recipe: {error})"
