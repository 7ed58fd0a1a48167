"""Signed records, one to a line (node/archive.py)."""

from node.archive import to_line
from node.export.choice import records_of
from node.state import State


def write_jsonl(state: State, what: str) -> str:
    """The records that `what` names. Raises ExportError."""
    return "".join(to_line(record) + "\n" for record in records_of(state, what))
