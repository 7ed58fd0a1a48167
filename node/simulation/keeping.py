"""Which records a simulated node keeps, and for how long."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from gossip.layout import WHOLE, Layout
from gossip.record import Record


def _keeps_all() -> Callable[[Record], bytes | None]:
    return lambda record: None


@dataclass(frozen=True)
class Keeping:
    """layout: its shelves; archive: whether it keeps everything, and says so; keep_days: when others' old records are
    given up for a gist, math.inf for never; rule: made anew each time, as of agent/retention.py.
    """

    layout: Layout = WHOLE
    archive: bool = False
    keep_days: float = math.inf
    rule: Callable[[], Callable[[Record], bytes | None]] = _keeps_all


EVERYTHING = Keeping()
