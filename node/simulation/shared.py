"""What all nodes of a simulated swarm read alike is read once: a record's body, and the experiment that it is.

Both follow from the record's bytes and the task alone, whoever reads, and neither is ever changed; what a node makes of
them, its notebook, is its own. That is half of the time and most of the memory of a large swarm.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from agent import notebook
from agent.entries import Entry, read
from agent.evidence import Moment
from gossip.record import Record

REMEMBERED: Final = 200_000
PRESENCES: Final = 4_000


@lru_cache(PRESENCES)
def read_alike(record: Record) -> Entry:
    """The record's body, read once for all who hear it. Raises BadBody."""
    return read(record)


@contextmanager
def read_once() -> Iterator[None]:
    """Have every notebook of this process read each record once, while the context lasts."""
    before: dict[str, Any] = {name: getattr(notebook, name) for name in ("read_if_known", "read_experiment")}
    known: dict[Moment, Any] = {}

    def read_experiment(task: Any, moment: Any, author: bytes, entry: Any) -> Any:
        if moment not in known:
            if len(known) >= REMEMBERED:
                known.clear()
            known[moment] = before["read_experiment"](task, moment, author, entry)
        return known[moment]

    try:
        vars(notebook).update(
            read_if_known=lru_cache(REMEMBERED)(before["read_if_known"]), read_experiment=read_experiment
        )
        yield
    finally:
        vars(notebook).update(before)
