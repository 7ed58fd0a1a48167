"""Signed records, one to a line (node/archive.py). Those of a private swarm name its key's fingerprint beside them.

`arnode import` reads that name, and takes such records into no other swarm.
"""

from node.archive import to_line
from node.export.choice import records_of
from node.membership import load_membership
from node.state import State


def write_jsonl(state: State, what: str) -> str:
    """The records that `what` names. Raises ExportError, MembershipError."""
    key = load_membership(state.home).key
    beside = None if key is None else {"swarm_key": key.fingerprint}
    return "".join(to_line(record, beside) + "\n" for record in records_of(state, what))
