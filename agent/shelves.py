"""Which part of a sharded swarm's records a node has to know, by task and device class.

Everybody who works on a task gets what was found there: what was kept, the tests of what others kept, calibrations,
hypotheses and insights. What was tried and came to nothing is only for nodes of the same device class, where it says
most; it is the bulk. Profiles are of no task, and everybody gets them.
"""

import re
from typing import Final

from agent.entries import kept
from gossip.record import Record

PROFILES: Final = "profiles"
FOUND: Final = "found"
TASK_DIGITS: Final = 16
DEVICE_CLASS: Final = re.compile(r"[a-z0-9+-]{1,40}")
OTHER: Final = "other"


def shelf_of(record: Record) -> str:
    """The shelf of a record, whatever its body says."""
    if record.kind == "profile":
        return PROFILES
    task = record.task.hex()[:TASK_DIGITS]
    if record.kind == "result":
        body = record.value()
        if not kept(body.get("verdict", "")) and body.get("replicates") is None:
            return f"{task}/{_tried_on(body.get('device_class'))}"
    return f"{task}/{FOUND}"


def shelves_of(task: bytes, device_class: str) -> tuple[str, ...]:
    """The shelves of a node that works on a task (by its fingerprint) on such a device."""
    name = task.hex()[:TASK_DIGITS]
    return f"{name}/{FOUND}", f"{name}/{_tried_on(device_class)}", PROFILES


def _tried_on(device_class: object) -> str:
    named = isinstance(device_class, str) and DEVICE_CLASS.fullmatch(device_class) and device_class != FOUND
    return str(device_class) if named else OTHER
