"""What is exported: the records and recipes that `--what` names."""

import string
from collections.abc import Iterator

from agent.entries import Result, kept, read, read_if_known
from agent.evidence import Experiment
from agent.packed import files_of
from gossip.record import Record
from node.state import State
from trainer.recipe import BASELINE, Recipe, make_recipe


class ExportError(Exception):
    """What was asked for cannot be exported; the message says why and what to do."""


def find_record(state: State, digits: str) -> Record:
    """The record of that id or first digits. Raises ExportError."""
    found = state.log.find(digits) if len(digits) >= 4 else []
    if len(found) > 1:
        raise ExportError(f"several records begin with {digits}: give more digits")
    if not found and len(digits) >= 4 and set(digits.lower()) <= set(string.hexdigits) and state.log.forgot(digits):
        raise ExportError(
            f"record {digits} is kept here in short only: it is another's, old, and was not kept by its author. An "
            "archive has it in full; `arnode config show` tells for how long this node keeps all (keep_days)"
        )
    if not found:
        raise ExportError(f"no record begins with {digits!r} (at least four digits of an id, as the feed shows them)")
    return found[0]


def find_result(state: State, digits: str) -> tuple[Record, Result]:
    """The result record of that id or first digits. Raises ExportError."""
    record = find_record(state, digits)
    entry = read(record)
    if not isinstance(entry, Result):
        raise ExportError(f"record {digits} is a {record.kind}, not a result")
    if record.task != state.task.fingerprint:
        raise ExportError(f"record {digits} is of another task than {state.task.name}: name that one with --task")
    return record, entry


def recipe_of(state: State, result: Result) -> Recipe:
    """The candidate's recipe, checked against the task. Raises the trainer's errors."""
    return make_recipe(state.task, result.candidate.knobs, files_of(result.candidate))


def one_recipe(state: State, what: str) -> tuple[Record | None, Result | None, Recipe]:
    """The recipe of best, baseline or one record, with the record that it comes from. Raises ExportError."""
    if what == "baseline":
        return None, None, BASELINE
    if what == "best":
        record = state.best_record()
        if record is None:
            raise ExportError(
                "this node has kept nothing yet: let it run longer, or name a peer's record with --what ID "
                "(`arnode board` lists them)"
            )
        return record, read(record), state.notebook.best()  # type: ignore[return-value]
    if what == "all":
        raise ExportError("--what all is not for a patch or program: say best, baseline, or one record's ID")
    record, result = find_result(state, what)
    return record, result, recipe_of(state, result)


def own_keeps(state: State) -> list[Experiment]:
    """This node's keeps, by time and id: the steps to its best recipe."""
    return [test for test in state.notebook.experiments(state.me) if kept(test.verdict)]


def records_of(state: State, what: str) -> Iterator[Record]:
    """All records, the kept results of every author, this node's best, or one, by time. Raises ExportError."""
    if what == "all":
        yield from by_time(state)
    elif what == "kept":
        yield from (record for record, result in results(state) if kept(result.verdict))
    elif what == "best":
        record = state.best_record()
        if record is not None:
            yield record
    else:
        yield find_result(state, what)[0]


def by_time(state: State) -> Iterator[Record]:
    """Every record of the log."""
    for _, record_id in state.log.ids():
        record = state.log.get(record_id)
        if record is not None:
            yield record


def results(state: State) -> Iterator[tuple[Record, Result]]:
    """Every result of the task that can be read, by time."""
    for record in by_time(state):
        result = result_of(state, record)
        if result is not None:
            yield record, result


def result_of(state: State, record: Record) -> Result | None:
    """The result that the record is, if it is one of the task and can be read."""
    entry = read_if_known(record) if record.task == state.task.fingerprint else None
    return entry if isinstance(entry, Result) else None


def lacking(package: str, option: str) -> ExportError:
    """The error for a package that is only installed with the extra `export`. option: what needs it."""
    return ExportError(
        f"{option} needs {package}, which is not installed: pip install 'arnode[export]', "
        "or in a checkout pip install --editable '.[export]'"
    )
