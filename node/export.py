"""Export: what a node discovered, in forms that other tools read.

A patch goes from the task's program to a recipe's, so it applies to the program as it came, and its header names the
record, the seeds and the values, so that a stranger can repeat them.
"""

from collections.abc import Iterator
from typing import Final, Literal

from agent.entries import Result, kept, read, read_if_known
from agent.packed import edit_sizes, files_of
from gossip.record import Record
from node.archive import to_line
from node.events import change_text, mean_values
from node.home import Home
from node.state import State, open_state
from trainer.recipe import BASELINE, Recipe, make_recipe, materialise, unified_diff

Format = Literal["patch", "program", "tsv", "jsonl"]
TSV_HEADER: Final = "commit\t{metric}\tmemory_gb\tstatus\tdescription"


BASELINE_COMMIT: Final = "0000000"


class ExportError(Exception):
    """What was asked for cannot be exported; the message says why and what to do."""


def export(home: Home, task: str | None, form: Format, what: str | None) -> str:
    """The text of an export. what: best, baseline, kept, all, or a record's id or its first digits."""
    with open_state(home, task, writing=False) as state:
        match form:
            case "patch":
                return _patch(state, what or "best")
            case "program":
                return _program(state, what or "best")
            case "tsv":
                return _tsv(state, what or "all")
            case "jsonl":
                return "".join(to_line(record) + "\n" for record in _records(state, what or "all"))


def find_result(state: State, what: str) -> tuple[Record, Result]:
    """The result record of that id or first digits. Raises ExportError."""
    found = state.log.find(what) if len(what) >= 4 else []
    if len(found) > 1:
        raise ExportError(f"several records begin with {what}: give more digits")
    if not found:
        raise ExportError(f"no record begins with {what!r} (at least four digits of an id, as the feed shows them)")
    entry = read(found[0])
    if not isinstance(entry, Result):
        raise ExportError(f"record {what} is a {found[0].kind}, not a result")
    if found[0].task != state.task.fingerprint:
        raise ExportError(f"record {what} is of another task than {state.task.name}: name that one with --task")
    return found[0], entry


def recipe_of(state: State, result: Result) -> Recipe:
    """The candidate's recipe, checked against the task. Raises the trainer's errors."""
    return make_recipe(state.task, result.candidate.knobs, files_of(result.candidate))


def _chosen(state: State, what: str) -> tuple[Record | None, Result | None, Recipe]:
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
    if what in ("kept", "all"):
        raise ExportError(
            f"--what {what} is for tsv and jsonl; a patch or program is of best, baseline or one record's ID"
        )
    record, result = find_result(state, what)
    return record, result, recipe_of(state, result)


def _patch(state: State, what: str) -> str:
    record, result, recipe = _chosen(state, what)
    if record is None or result is None:
        raise ExportError("the baseline differs in nothing from the program, so there is no patch of it")
    text = unified_diff(state.task, BASELINE, recipe, list(_provenance(state, record, result)))
    if not text:
        raise ExportError(f"record {record.id.hex()[:8]} tests the task's own program, so there is no patch of it")
    return text


def _provenance(state: State, record: Record, result: Result) -> Iterator[str]:
    metric = state.task.metric
    value, parent = mean_values(result.pairs)
    yield f"arnode: {change_text(result.change, edit_sizes(state.task, result))}"
    yield f"hypothesis: {result.hypothesis}"
    yield f"task: {state.task.name} {state.task.fingerprint_hex}"
    yield f"budget: {result.budget.amount:g} {result.budget.kind} a trial"
    yield f"record: {record.id.hex()}"
    yield f"author: {record.author.hex()} ({state.alias(record.author)}), on {result.device}"
    if result.replicates:
        yield f"replicates: {result.replicates.hex()}"
    yield f"verdict: {result.verdict}" + (
        f", effect {result.effect:.6g} ({result.interval[0]:.6g} to {result.interval[1]:.6g}) {metric.unit}"
        if result.effect is not None and result.interval is not None
        else ""
    )
    if value is not None and parent is not None:
        yield f"{metric.name}: {value:.6f}, of its parent {parent:.6f} (means of {len(result.pairs)} seeds)"
    for pair in result.pairs:
        yield f"seed {pair.seed}: {metric.name} {pair.candidate!r}"
    discovery = state.notebook.discovery(record.id)
    if discovery is not None:
        for author, verdict in discovery.replications:
            yield f"replicated by {author.hex()[:12]} ({state.alias(author)}): {verdict}"
    edited, name = state.task.editable[0], state.task.name
    yield f"program: arnode export --task {name} --format program --what baseline -o {edited}"
    yield "apply: git apply THIS.patch, in the folder of that program"
    yield f"repeat: arnode run --task {name} --program {edited} --seed {result.pairs[0].seed}"


def _program(state: State, what: str) -> str:
    _, _, recipe = _chosen(state, what)
    if len(state.task.editable) != 1:
        raise ExportError("the task has several editable files: export a patch instead")
    return materialise(state.task, recipe)[state.task.editable[0]]


def _records(state: State, what: str) -> Iterator[Record]:
    if what == "all":
        yield from _by_time(state)
    elif what == "kept":
        yield from (record for record, result in _results(state) if kept(result.verdict))
    elif what == "best":
        record = state.best_record()
        if record is not None:
            yield record
    else:
        yield find_result(state, what)[0]


def _by_time(state: State) -> Iterator[Record]:
    for _, record_id in state.log.ids():
        record = state.log.get(record_id)
        if record is not None:
            yield record


def _results(state: State) -> Iterator[tuple[Record, Result]]:
    for record in _by_time(state):
        if record.kind == "result" and record.task == state.task.fingerprint:
            entry = read_if_known(record)
            if isinstance(entry, Result):
                yield record, entry


def _tsv(state: State, what: str) -> str:
    """This node's experiments as autoresearch's results.tsv: the baseline first, keeps cumulative, in time order."""
    if what not in ("all", "kept"):
        raise ExportError(f"--what {what}: results.tsv is of all or of kept experiments")
    rows: list[str] = []
    for record, result in _results(state):
        if record.author != state.me:
            continue
        value, parent = mean_values(result.pairs)
        if not rows:
            if parent is None:
                continue  # nothing to compare with until a parent's trial gave a value
            rows.append(_row(BASELINE_COMMIT, parent, result.peak_memory_mb, "keep", "baseline"))
        if kept(result.verdict) or what == "all":
            commit, text = record.id.hex()[:7], change_text(result.change, edit_sizes(state.task, result))
            if value is None:
                rows.append(_row(commit, 0.0, 0.0, "crash", text))
            else:
                status = "keep" if kept(result.verdict) else "discard"
                rows.append(_row(commit, value, result.peak_memory_mb, status, text))
    if not rows:
        raise ExportError("this node has finished no experiment yet, so there is no results.tsv")
    return "\n".join([TSV_HEADER.format(metric=state.task.metric.name), *rows]) + "\n"


def _row(commit: str, value: float, memory_mb: float, status: str, description: str) -> str:
    return f"{commit}\t{value:.6f}\t{memory_mb / 1024:.1f}\t{status}\t{' '.join(description.split())}"
