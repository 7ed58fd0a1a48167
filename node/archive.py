"""Records as JSON lines: what `export --format jsonl` writes and `verify` checks, without a network or a task.

Each line holds the record's own bytes (base64) and, for people and scripts, its fields in plain JSON. `verify` trusts
only the bytes: it checks form and signature, and that the plain fields say the same.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.entries import check
from gossip.record import MAX_BYTES, Record, RecordError, decode

FOREVER_MS = 2**63  # an archive is checked whatever the clock says


class ArchiveError(Exception):
    """A line that is no valid record; the message says what is wrong."""


@dataclass(frozen=True)
class Checked:
    """The outcome of one line, counted from 1. error: None when the line is sound."""

    line: int
    record: Record | None
    error: str | None


def plain(value: Any) -> Any:
    """A decoded body as JSON can hold it: bytes in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def fields_of(record: Record) -> dict[str, Any]:
    """The record's fields in plain JSON, id included."""
    return {
        "id": record.id.hex(),
        "kind": record.kind,
        "task": record.task.hex(),
        "author": record.author.hex(),
        "time_ms": record.time_ms,
        "body": plain(record.value()),
    }


def to_line(record: Record, beside: Mapping[str, str] | None = None) -> str:
    """One line of an archive, without the line break. beside: fields that nobody signed."""
    fields = fields_of(record) | dict(beside or {}) | {"record": base64.b64encode(record.raw).decode()}
    return json.dumps(fields, ensure_ascii=False)


def from_line(line: str) -> Record:
    """The record of a line, verified. Raises ArchiveError."""
    if len(line) > 16 * MAX_BYTES:
        raise ArchiveError(f"the line is {len(line)} characters long: no record is")
    try:
        data = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ArchiveError(f"not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("record"), str):
        raise ArchiveError("there is no field `record` with the record's bytes in base64")
    try:
        record = decode(base64.b64decode(data["record"], validate=True), FOREVER_MS)
        check(record)
    except binascii.Error as error:
        raise ArchiveError(f"the field `record` is not base64: {error}") from error
    except RecordError as error:
        raise ArchiveError(f"{type(error).__name__}: {error}") from error
    for name, value in fields_of(record).items():
        if name in data and data[name] != value:
            raise ArchiveError(f"the field `{name}` does not say what the signed record says")
    return record


def check_lines(lines: Iterable[str]) -> Iterator[Checked]:
    """Check an archive line by line; empty lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield Checked(number, from_line(line), None)
        except ArchiveError as error:
            yield Checked(number, None, str(error))
