"""What others found elsewhere, as their files say it: autoresearch's `results.tsv`, and JSON lines of any program.

Nobody signed it and nobody here repeated it, so of every row only what was kept counts, as an idea to test: its words,
and the change that they name if they name knobs of the task. Values of another task mean nothing here and stay words.
"""

import ast
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.events import count, printable
from trainer.errors import KnobError
from trainer.knobs import Scalar
from trainer.schema import Knob
from trainer.task import Task

KEPT: Final = frozenset({"keep", "kept", "simpler"})
STATUSES: Final = KEPT | {"discard", "inconclusive", "crash"}
COLUMNS: Final = ("commit", "status", "description")
TEXT_FIELDS: Final = ("description", "hypothesis", "text")
VALUE: Final = r"(?:'[^']*'|\"[^\"]*\"|[^\s,;()]+)"
ARROW: Final = r"\s*(?:→|->|=>|\bto\b)\s*"
BASELINE: Final = "baseline"


class BadLine(Exception):
    """A line that says nothing that can be used; the message says why."""


@dataclass(frozen=True)
class Outside:
    """One result of elsewhere. name: by which it is found there, a commit for example; change: knob -> new value."""

    text: str
    status: str
    name: str = ""
    value: str = ""
    change: Mapping[str, Scalar] | None = None

    @property
    def kept(self) -> bool:
        return self.status in KEPT and self.text.casefold() != BASELINE


def tsv_columns(header: str) -> list[str]:
    """The columns of a results.tsv by its first line. Raises BadLine."""
    names = [name.strip() for name in header.split("\t")]
    lacking = [name for name in COLUMNS if name not in names]
    if lacking:
        raise BadLine(f"no column {', '.join(lacking)}: it should begin with commit, val_bpb, memory_gb, status, …")
    return names


def from_tsv(task: Task, names: list[str], line: str) -> Outside:
    """A row of results.tsv. Raises BadLine."""
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) != len(names):
        raise BadLine(f"{count(len(cells), 'column')} where the header has {len(names)}")
    row = dict(zip(names, cells, strict=True))
    values = [name for name in names if name not in (*COLUMNS, "memory_gb")]
    for name in values:
        _finite(name, row[name])
    value = f"{values[0]} {row[values[0]]}" if values else ""
    return _outside(task, _unquoted(row["description"]), row["status"], row["commit"], value)


def from_json(task: Task, data: Mapping[str, Any]) -> Outside:
    """A result as a JSON object: `description`, `status`, and where they are known `change`, `value` and `id`.

    Raises BadLine.
    """
    text = next((data[name] for name in TEXT_FIELDS if isinstance(data.get(name), str)), None)
    if text is None:
        raise BadLine("no field description with what was done, in words")
    status = data.get("status", data.get("verdict", "keep"))
    name = data.get("id", data.get("commit", ""))
    measured = next((one for one in (task.metric.name, "value", "val_bpb") if data.get(one) is not None), None)
    if measured is not None:
        _finite(measured, data[measured])
    value = f"{measured} {data[measured]}" if measured is not None else ""
    told = data.get("change")
    if told is not None and not isinstance(told, dict):
        raise BadLine("the field change is not an object of knobs and values")
    found = _outside(task, text, str(status), str(name)[:12], value)
    return found if told is None else Outside(found.text, found.status, found.name, found.value, _allowed(task, told))


def suggested(task: Task, text: str) -> dict[str, Scalar]:
    """The knobs of the task that a text sets, with their new values: `DEPTH 8 → 9`, `depth = 9`, `DEPTH from 8 to 9`.

    What the task does not allow, or has anyway, is left out.
    """
    found: dict[str, Scalar] = {}
    for name, knob in task.knobs.items():
        spelled = re.escape(name).replace("_", "[ _-]")
        told = re.finditer(
            rf"(?<!\w){spelled}(?:\s+(?:from\s+)?{VALUE}{ARROW}|\s*[=:]\s*|\s+to\s+)(?=({VALUE}))", text, re.IGNORECASE
        )
        for one in told:  # the last that can be meant stands
            found |= _allowed(task, {name: _literal(knob, one.group(1))})
    return found


def _outside(task: Task, text: str, status: str, name: str, value: str) -> Outside:
    status, text = status.casefold(), printable(" ".join(text.split()))
    if status not in STATUSES:
        raise BadLine(f"status {status!r:.40}: it is keep, discard or crash")
    if not text:
        raise BadLine("no description of what was done")
    return Outside(text, status, printable(name), printable(value), suggested(task, text))


def _unquoted(cell: str) -> str:
    """A cell as pandas reads it, which is how autoresearch's notebook does."""
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _finite(name: str, value: object) -> None:
    try:
        if math.isfinite(float(value)):  # type: ignore[arg-type]
            return
    except (TypeError, ValueError):
        pass
    raise BadLine(f"{name} {value!r:.40} is no finite number")


def _literal(knob: Knob, text: str) -> object:
    text = text.rstrip(".") if knob.type != "choice" else text
    if power := re.fullmatch(r"(\d{1,4})(?:\*\*|\^)(\d{1,2})", text):
        return int(power[1]) ** int(power[2])
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text.strip("'\"")


def _allowed(task: Task, told: Mapping[str, object]) -> dict[str, Scalar]:
    found = {}
    for name, value in told.items():
        knob = task.knobs.get(name)
        if knob is None:
            continue
        try:
            accepted = knob.check(value[1] if isinstance(value, list) and len(value) == 2 else value)
        except KnobError:
            continue
        if accepted != knob.default:
            found[name] = accepted
    return found


def json_objects(line: str) -> Mapping[str, Any]:
    """The JSON object of a line. Raises BadLine."""
    try:
        data = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadLine(f"not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadLine("not a JSON object")
    return data


def numbered(lines: Iterable[str]) -> list[tuple[int, str]]:
    """The lines that hold something, counted from 1."""
    return [(number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1) if line.strip()]
