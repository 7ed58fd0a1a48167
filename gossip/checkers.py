"""Who checks form, signature and body of the records of a history: threads for a few, processes for many.

Python's lock leaves threads little more than one core for it. So while much comes, processes (gossip/checking.py) get
raw bytes and give verdicts; they end when nothing came for a while. What kills one of them costs the batch that it had,
which its exchange fetches again.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from gossip import checking
from gossip.checking import LENGTH_BYTES, Check, Verdict, error_of, framed, look, name_of
from gossip.frames import ConversationError
from gossip.record import RecordError

COMMAND: Final = (sys.executable, "-P", "-m", checking.__name__)
ROOT: Final = str(Path(__file__).parents[1])
THREADS: Final = 2  # most of the work that is signatures is done without Python's lock
MOST_PROCESSES: Final = 3  # which check as much as the node's own process can read and store
MANY: Final = 1000  # records, which take threads about as long as a process takes to start
IDLE_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0
CHUNK_BYTES: Final = 64 * 1024


def processes_for(cores: int) -> int:
    """How many processes check on so many cores: one core is left to the node's own, if it takes most of one."""
    return min(max(2, cores - 1), MOST_PROCESSES)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ChecksLost(ConversationError):
    """The process that had a batch of records ended, or did not answer."""


@dataclass(eq=False)
class _Batch:
    """What is handed to a process. verdicts: None if it came to nothing."""

    raws: Sequence[bytes]
    done: trio.Event = field(default_factory=trio.Event)
    verdicts: list[Verdict] | None = None


class Checkers:
    """Checks batches. Processes are used while `run` runs.

    check: the node's own, of a body; processes are used only if it can be imported by its name. pids: of the processes
    that are there just now.
    """

    def __init__(self, check: Check, processes: int | None = None) -> None:
        self._check = check
        self._name = name_of(check)
        self._most = processes or processes_for(cores())
        self.pids: set[int] = set()
        self._lately = 0
        self._last = 0.0
        self._many = trio.Event()
        self._batches: trio.MemorySendChannel[_Batch] | None = None

    async def check(self, raws: Sequence[bytes]) -> list[RecordError | None]:
        """Of each record's bytes, why it is refused, if it is. Raises ChecksLost."""
        self._note(len(raws))
        if self._batches is None:
            return await _in_threads(raws, self._check)
        batch = _Batch(raws)
        try:
            await self._batches.send(batch)
        except trio.BrokenResourceError:  # they have just ended
            return await _in_threads(raws, self._check)
        await batch.done.wait()
        if batch.verdicts is None:
            raise ChecksLost("a process that checks records ended before it had checked what it was given")
        return list(map(error_of, batch.verdicts))

    def _note(self, count: int) -> None:
        now = trio.current_time()
        if now - self._last > IDLE_SECONDS:
            self._lately = 0
        self._last = now
        self._lately += count
        if self._lately >= MANY and self._name:
            self._many.set()

    async def run(self) -> None:
        """Hold processes while many records come. Runs until cancelled; raises ChecksLost."""
        while True:
            await self._many.wait()
            assert self._name is not None
            self._batches, batches = trio.open_memory_channel[_Batch](0)
            try:
                with batches:
                    async with trio.open_nursery() as nursery:
                        for _ in range(self._most):
                            nursery.start_soon(_work, self._name, batches, self.pids)
            finally:
                self._batches = None
                self._many = trio.Event()
                self._lately = 0


async def _work(check: str, batches: trio.MemoryReceiveChannel[_Batch], pids: set[int]) -> None:
    """One process, until nothing came for IDLE_SECONDS."""
    process = await trio.lowlevel.open_process(
        [*COMMAND, check],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": ROOT},
        start_new_session=True,  # Ctrl-C ends the node first, which then ends this
    )
    pids.add(process.pid)
    try:
        while True:
            with trio.move_on_after(IDLE_SECONDS) as waiting:
                batch = await batches.receive()
            if waiting.cancelled_caught:
                return
            try:
                with trio.fail_after(ANSWER_SECONDS):
                    batch.verdicts = await _ask(process, batch.raws)
            except (trio.BrokenResourceError, trio.TooSlowError, msgspec.MsgspecError, EOFError) as error:
                raise ChecksLost(f"a process that checks records failed ({type(error).__name__}: {error})") from error
            finally:
                batch.done.set()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        pids.discard(process.pid)


async def _ask(process: trio.Process, raws: Sequence[bytes]) -> list[Verdict]:
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.send_all(framed(raws))
    held = bytearray()
    length = LENGTH_BYTES
    while len(held) < length:
        chunk = await process.stdout.receive_some(CHUNK_BYTES)
        if not chunk:
            raise EOFError("it said nothing more")
        held += chunk
        if len(held) >= LENGTH_BYTES:
            length = LENGTH_BYTES + int.from_bytes(held[:LENGTH_BYTES], "big")
    verdicts = msgspec.msgpack.decode(held[LENGTH_BYTES:], type=list[Verdict])
    if len(verdicts) != len(raws):
        raise EOFError(f"it gave {len(verdicts)} verdicts on {len(raws)} records")
    return verdicts


async def _in_threads(raws: Sequence[bytes], check: Check) -> list[RecordError | None]:
    found: list[RecordError | None] = [None] * len(raws)

    async def part(first: int) -> None:
        verdicts = await trio.to_thread.run_sync(partial(look, raws[first::THREADS], check))
        found[first::THREADS] = map(error_of, verdicts)

    async with trio.open_nursery() as nursery:
        for first in range(THREADS):
            nursery.start_soon(part, first)
    return found
