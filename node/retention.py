"""Forgetting: what is old, of others, and kept by an archive, is given up for a gist (agent/retention.py has the rule).

Nothing is forgotten before an archive was seen to have it: a history exchange with one ends with everything that was
here, and says so. In a swarm without an archive all nodes keep all.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import trio

from gossip.clock import now_ms
from gossip.layout import WHOLE, Layout
from gossip.log import Log
from gossip.logfile import LogBlocked
from gossip.record import Record
from node.events import count

DAY_MS: Final = 24 * 3600 * 1000
APART_SECONDS: Final = 3600.0
AT_ONCE: Final = 500


@dataclass
class Retention:
    """Forgets what is older than `keep_days`, math.inf for never. rule: what to keep of an old record, made anew each
    time (agent/retention.py); forget: in the log; note: tells a person.

    layout: what is on other shelves than this node's own, of a task that it left, is not exchanged, and so stays.
    """

    log: Log
    rule: Callable[[], Callable[[Record], bytes | None]]
    forget: Callable[[Sequence[tuple[Record, bytes]]], Awaitable[int]]
    note: Callable[[str], None]
    keep_days: float
    layout: Layout = WHOLE
    _archived: int = 0
    _news: trio.Event = field(default_factory=trio.Event)

    def archived(self, arrival: int) -> None:
        """All that came up to that number of arrival was seen to be with an archive."""
        if arrival > 0 and self.keep_days < math.inf:
            self._archived = max(self._archived, arrival)
            self._news.set()

    async def run(self) -> None:
        """Forget once an hour at most. Runs until cancelled; raises LogDamaged."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            done = await self.once()
            if done:
                self.note(
                    f"{count(done, 'record')} of others, older than {self.keep_days:g} days, are kept in short from "
                    "now on: an archive has them in full"
                )
            await trio.sleep(APART_SECONDS)

    async def once(self) -> int:
        """Forget what can be forgotten now; how many records that were. Raises LogDamaged."""
        gist = self.rule()
        old = self.log.before(now_ms() - int(self.keep_days * DAY_MS), self._archived)

        def some() -> tuple[bool, list[tuple[Record, bytes]]]:
            records = list(islice(old, AT_ONCE))
            ours = [one for one in records if self.layout.shelf(one) in self.layout.mine]
            return bool(records), [(one, left) for one in ours if (left := gist(one)) is not None]

        done, more = 0, True
        while more:
            more, pairs = await trio.to_thread.run_sync(some)
            try:
                done += await self.forget(pairs) if pairs else 0
            except LogBlocked:
                break  # it was told, and the next time goes on
        return done
