"""Every experiment as a row of a Parquet file, for pandas, Polars, DuckDB and the like (columns: docs/export.md).

A row is a result record, with its trials in a list, so that nothing is lost and nothing stands twice. Knob values have
several types and a column has one: they are written as JSON.
"""

import io
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent.entries import Result
from agent.packed import edit_sizes
from gossip.record import Record
from node.events import change_text, mean_values
from node.export.choice import lacking, records_of, result_of
from node.state import State

if TYPE_CHECKING:
    import pyarrow as pa


def write_parquet(state: State, what: str) -> bytes:
    """The results that `what` names. Raises ExportError, also where pyarrow is not installed."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise lacking("pyarrow", "--format parquet") from error
    rows = list(_rows(state, what))
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=_schema(pa, state)), file, compression="zstd")
    return file.getvalue()


def _rows(state: State, what: str) -> Iterator[dict[str, Any]]:
    counted = {test.record_id for test in state.notebook.experiments()}
    for record in records_of(state, what):
        result = result_of(state, record)
        if result is not None:
            about = {
                "alias": state.alias(record.author),
                "own": record.author == state.me,
                "counted": record.id in counted,
                "change": change_text(result.change, edit_sizes(state.task, result)),
            }
            yield row_of(record, result) | about


def row_of(record: Record, result: Result) -> dict[str, Any]:
    """What the record itself says, column by column."""
    value, parent = mean_values(result.pairs)
    low, high = result.interval or (None, None)
    return {
        "record": record.id.hex(),
        "time": record.time_ms,
        "author": record.author.hex(),
        "verdict": result.verdict,
        "reason": result.reason,
        "value": value,
        "parent_value": parent,
        "effect": result.effect,
        "effect_low": low,
        "effect_high": high,
        "trials": [pair.model_dump() for pair in result.pairs],
        "recipe": _jsons(result.candidate.knobs),
        "recipe_files": list(result.candidate.files),
        "knobs": [{"name": name, "old": json.dumps(a), "new": json.dumps(b)} for name, (a, b) in result.change.items()],
        "edited_files": list(result.edits),
        "parent": result.parent.hex(),
        "program": result.program.hex(),
        "replicates": result.replicates.hex() if result.replicates else None,
        "inspired_by": [one.hex() for one in result.inspired_by],
        "hypothesis": result.hypothesis,
        "proposer": result.proposer,
        "integrity": result.integrity,
        "budget": result.budget.amount,
        "budget_kind": result.budget.kind,
        "device_class": result.device_class,
        "device": result.device,
        "seconds": result.seconds,
        "tokens": result.tokens,
        "steps": result.steps,
        "parameters": result.parameters,
        "peak_memory_mb": result.peak_memory_mb,
        "versions": list(result.versions.items()),
    }


def _jsons(knobs: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, json.dumps(value)) for name, value in knobs.items()]


def _schema(arrow: Any, state: State) -> "pa.Schema":
    text, number, whole, yes = arrow.string(), arrow.float64(), arrow.uint64(), arrow.bool_()
    texts, by_name = arrow.list_(text), arrow.map_(text, text)
    trials = arrow.list_(arrow.struct([("seed", whole), ("candidate", number), ("parent", number)]))
    knobs = arrow.list_(arrow.struct([("name", text), ("old", text), ("new", text)]))
    columns = {
        "record": text,
        "time": arrow.timestamp("ms", tz="UTC"),
        "author": text,
        "alias": text,
        "own": yes,
        "counted": yes,
        "verdict": text,
        "reason": text,
        "value": number,
        "parent_value": number,
        "effect": number,
        "effect_low": number,
        "effect_high": number,
        "trials": trials,
        "change": text,
        "knobs": knobs,
        "edited_files": texts,
        "recipe": by_name,
        "recipe_files": texts,
        "parent": text,
        "program": text,
        "replicates": text,
        "inspired_by": texts,
        "hypothesis": text,
        "proposer": text,
        "integrity": text,
        "budget": number,
        "budget_kind": text,
        "device_class": text,
        "device": text,
        "seconds": number,
        "tokens": whole,
        "steps": whole,
        "parameters": whole,
        "peak_memory_mb": number,
        "versions": by_name,
    }
    metric = state.task.metric
    about = {
        "task": state.task.name,
        "fingerprint": state.task.fingerprint_hex,
        "metric": metric.name,
        "direction": metric.direction,
        "unit": metric.unit,
    }
    return arrow.schema(list(columns.items()), metadata=about)
