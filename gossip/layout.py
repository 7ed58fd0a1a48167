"""Which record belongs where: on one shelf that everybody keeps, or, in a sharded swarm, on many.

A shelf is a part of the records that is gossiped on a topic of its own and reconciled by itself. Which shelf a record
belongs to is told by a function, since gossip does not understand bodies. A swarm's layout is said by its name, which
every node, invite and history exchange carries already: so no two layouts ever meet.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gossip.record import Record

RECORDS: Final = "records"
PRESENCE: Final = "presence"
SHARDED: Final = ".sharded"  # how the name of a sharded swarm ends
MAX_SHELVES: Final = 1000
SHELF: Final = re.compile(r"[a-z0-9+-]{1,40}(/[a-z0-9+-]{1,40})?")


def is_sharded(swarm: str) -> bool:
    """Whether the records of the swarm of that name are on several shelves."""
    return swarm.endswith(SHARDED)


def is_shelf(name: object) -> bool:
    """Whether that can be a shelf's name."""
    return isinstance(name, str) and SHELF.fullmatch(name) is not None


def topic_of(swarm: str, shelf: str) -> str:
    """The name of a shelf's topic, or of the swarm's presence topic."""
    return f"arnode/1/{swarm}/{shelf}"


@dataclass(frozen=True)
class Layout:
    """mine: the shelves that this node keeps, the first being the one that matters most; shelf_of: where a record
    belongs, for any record that has a valid form; None where there is one shelf.
    """

    mine: tuple[str, ...] = (RECORDS,)
    shelf_of: Callable[[Record], str] | None = None

    def shelf(self, record: Record) -> str:
        """Where a record belongs."""
        return RECORDS if self.shelf_of is None else self.shelf_of(record)


WHOLE: Final = Layout()
"""One shelf with everything."""
