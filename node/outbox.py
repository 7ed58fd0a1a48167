"""Own records on their way: onto the disk, then to the peers, in the order in which they were made.

While the disk takes nothing they wait in memory and research goes on; when too many wait, it pauses, so that none is
lost.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from gossip.logfile import LogBlocked
from gossip.record import Record
from gossip.storage import Storage
from node.own import OwnRecords

MAX_WAITING: Final = 1000


class Outbox:
    """take: what the node learns from a record of its own; send: publish it to the peers."""

    def __init__(
        self,
        storage: Storage,
        own: OwnRecords,
        take: Callable[[Record], object],
        send: Callable[[Record], Awaitable[None]],
    ) -> None:
        self._storage = storage
        self._own = own
        self._take = take
        self._send = send
        self._waiting: deque[Record] = deque()
        self._some = trio.Event()

    @property
    def waiting(self) -> int:
        """How many records are not on the disk yet."""
        return len(self._waiting)

    async def put(self, record: Record) -> None:
        """Store, take in and send; or take in and keep for later, while the disk takes nothing."""
        while len(self._waiting) >= MAX_WAITING:
            await self._storage.unblocked()
            await trio.sleep(0.1)
        if not self._waiting and await self._stored(record):
            self._take(record)
            await self._send(record)
        else:
            self._waiting.append(record)
            self._take(record)
            self._some.set()

    async def run(self) -> None:
        """Store and send what waits, as soon as that is possible. Runs until cancelled."""
        while True:
            await self._some.wait()
            await self._storage.unblocked()
            while self._waiting and await self._stored(self._waiting[0]):
                await self._send(self._waiting.popleft())
            if not self._waiting:
                self._some = trio.Event()

    async def _stored(self, record: Record) -> bool:
        try:
            await self._storage.append([record])
            await trio.to_thread.run_sync(self._own.keep, [record])
        except LogBlocked as error:
            self._storage.failed(error)
            return False
        return True
