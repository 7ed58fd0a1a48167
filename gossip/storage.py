"""The log as the running node uses it: off trio's thread, and able to wait until the disk takes records again.

A disk that is full, or a file that another program holds, blocks storing and nothing else: it is told once when it
begins and once when it ends, what peers sent meanwhile comes again by sync, and the node keeps its own records until
then. A damaged file is told by `damaged`; whoever opened the log closes it and repairs it.
"""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import trio

from gossip.events import Event, Notice, Trouble
from gossip.log import Log
from gossip.logfile import LogBlocked, LogDamaged, LogError
from gossip.record import Record

PROBE_SECONDS: Final = 5.0
ROOM_BYTES: Final = 1024 * 1024  # free before storing begins again, so that it does not begin and end for each record
PROBE_BYTES: Final = 64 * 1024

Result = TypeVar("Result")


class Storage:
    """A log behind threads. damaged: set when the file turns out to be damaged, with `why`."""

    def __init__(self, log: Log, put: Callable[[Event], object]) -> None:
        self.damaged = trio.Event()
        self.why: LogDamaged | None = None
        self._log = log
        self._put = put
        self._blocked: trio.Event | None = None  # set when the block ends
        self._changed = trio.Event()

    @property
    def blocked(self) -> bool:
        """Whether nothing can be stored just now."""
        return self._blocked is not None

    async def append(self, records: Sequence[Record]) -> list[Record]:
        """Store records and return those that are new. Raises LogBlocked, LogDamaged."""
        return await self.write(partial(self._log.append, records))

    async def write(self, tell: Callable[[], Result]) -> Result:
        """What `tell`, which writes the log, returns; called in a thread. Raises LogBlocked, LogDamaged."""
        if self._blocked is not None:
            await trio.lowlevel.checkpoint()
            raise LogBlocked("nothing can be stored just now")
        try:
            return await trio.to_thread.run_sync(tell)
        except LogError as error:
            self.failed(error)
            raise

    async def read(self, ask: Callable[[], Result]) -> Result:
        """What `ask`, which reads the log, returns; called in a thread. Raises LogError."""
        try:
            return await trio.to_thread.run_sync(ask)
        except LogDamaged as error:
            self.failed(error)
            raise

    def failed(self, error: LogError) -> None:
        """Take note of what writing to the disk came to."""
        if isinstance(error, LogDamaged):
            self.why = error
            self.damaged.set()
        elif isinstance(error, LogBlocked) and self._blocked is None:
            self._blocked = trio.Event()
            self._put(
                Trouble(
                    "storing",
                    f"{error}. Until that ends no record is stored: own results wait in memory, research goes on, "
                    "and what peers send is fetched later",
                )
            )
            self._changed.set()
            self._changed = trio.Event()

    async def unblocked(self) -> None:
        """Wait until records can be stored."""
        await trio.lowlevel.checkpoint()
        while self._blocked is not None:
            await self._blocked.wait()

    async def block_ended(self) -> None:
        """Wait until storing was blocked and works again."""
        while self._blocked is None:
            await self._changed.wait()
        await self._blocked.wait()

    async def watch(self) -> None:
        """While blocked, try every PROBE_SECONDS whether that has ended. Runs until cancelled."""
        while True:
            await trio.sleep(PROBE_SECONDS)
            if self._blocked is None:
                continue
            try:
                await trio.to_thread.run_sync(self._probe)
            except LogError as error:
                self.failed(error)
            else:
                self._put(Notice("records are stored again"))
                self._blocked.set()
                self._blocked = None

    def _probe(self) -> None:
        """Raise LogBlocked unless there is some room beside the log, and the log takes a page."""
        folder = self._log.path.parent
        trial = folder / f".probe-{os.getpid()}"
        try:
            if shutil.disk_usage(folder).free < ROOM_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            trial.write_bytes(bytes(PROBE_BYTES))
        except OSError as error:
            raise LogBlocked(f"cannot write in {folder}: {error.strerror}") from error
        finally:
            trial.unlink(missing_ok=True)
        self._log.file.probe()
