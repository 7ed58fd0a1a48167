"""What a running node leaves in its state folder for other commands: where it listens, and the address of its server.

The file is removed when the node ends; one that a killed node left is recognised, since no such process lives.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil

from node.home import Home


@dataclass(frozen=True)
class Running:
    """A node that runs. addresses: as for `--bootstrap`; url: of its local server, if it has one; born: see `_born`."""

    pid: int
    born: float | None
    swarm: str
    addresses: tuple[str, ...]
    url: str | None


@contextmanager
def announced(
    home: Home, *, swarm: str, addresses: Sequence[str], url: str | None, report: Callable[[str, str], object]
) -> Iterator[None]:
    """Tell other commands of this process's node until the block ends. report: hears (what, why) if it cannot be."""
    me = os.getpid()
    text = json.dumps(asdict(Running(me, _born(me), swarm, tuple(addresses), url)))
    temporary = home.running.with_suffix(".new")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, home.running)
    except OSError as error:
        report("telling other commands where this node is", f"cannot write {home.running}: {error.strerror}")
    try:
        yield
    finally:
        home.running.unlink(missing_ok=True)


def running_node(home: Home) -> Running | None:
    """The node that runs with this state folder; None if none does, or if it cannot be told."""
    try:
        data = json.loads(home.running.read_text(encoding="utf-8"))
        found = Running(**data | {"addresses": tuple(data["addresses"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found.born is not None and _born(found.pid) == found.born else None


def _born(pid: int) -> float | None:
    """When that process began, in seconds since 1970: the number of a dead process may be another's by now."""
    try:
        return psutil.Process(pid).create_time()
    except (psutil.Error, ValueError):
        return None
