"""Reads and watches a running program until it ends or breaks a limit. How it was started is not looked at here."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

import psutil
import trio

from trainer.task import Limits

Cause: TypeAlias = Literal["timeout", "oom", "output", "processes"]

MB: Final = 1_000_000
POLL_SECONDS: Final = 0.2
GRACE_SECONDS: Final = 3.0
_BLOCK: Final = 65_536  # a file that the kernel stops at the limit may occupy this much more


class Program(Protocol):
    """A program that was started: its output, and how to wait for its end or bring it about.

    pid: of the process whose children are the program and all that it starts.
    """

    pid: int
    stdout: trio.abc.ReceiveStream
    stderr: trio.abc.ReceiveStream

    async def wait(self) -> int:
        """The exit code once it has ended; negative for the signal that ended it. May be called again."""

    async def end(self) -> None:
        """See to it that nothing of it runs any more."""


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        exit_code: the program's; negative for the signal that ended it.
        stopped: which limit it broke and in words, or None if it ended by itself.
        seconds: wall time from start to end.
        peak_memory_mb: the most resident memory that its tree was seen to hold, looking five times a second;
            None if it ended before the first look.
    """

    exit_code: int
    stopped: tuple[Cause, str] | None
    seconds: float
    peak_memory_mb: float | None = None


async def watched(
    program: Program,
    *,
    folder: Path | None,
    limits: Limits,
    started: float,
    wall_seconds: float,
    on_line: Callable[[str, bool], None],
) -> Ended:
    """Read a program's output and hold it to its limits until it ends; ended by force where it breaks one.

    When this returns, raises or is cancelled, nothing of the program is running any more.

    Args:
        folder: where it runs and nothing but watching bounds what it writes; None where something does.
        started: when it was started, by trio's clock.
    """
    running = trio.CancelScope(deadline=started + wall_seconds)
    broken: list[tuple[Cause, str]] = []
    seen: list[int] = []

    def stop(cause: Cause, reason: str) -> None:
        broken.append((cause, reason))
        running.cancel()

    budget = _OutputBudget(limits.output_bytes, stop)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, program.pid, folder, limits, stop, seen.append)
            async with trio.open_nursery() as readers:
                readers.start_soon(_read, program.stdout, False, budget, on_line)
                readers.start_soon(_read, program.stderr, True, budget, on_line)
                with running:
                    await program.wait()
                if running.cancelled_caught and not broken:
                    broken.append(("timeout", f"ran longer than {wall_seconds:g} s"))
                await program.end()
                # The pipes are at their end now, unless something we could not kill holds them open.
                readers.cancel_scope.deadline = trio.current_time() + GRACE_SECONDS
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await program.end()
            await program.stdout.aclose()
            await program.stderr.aclose()
    return Ended(
        await program.wait(),
        broken[0] if broken else None,
        trio.current_time() - started,
        max(seen) / MB if any(seen) else None,
    )


class _OutputBudget:
    """How many bytes both streams together may still carry."""

    def __init__(self, size: int, stop: Callable[[Cause, str], None]) -> None:
        self._size = size
        self._left = size
        self._stop = stop

    def spend(self, chunk: bytes) -> bytes:
        """The part of the chunk that is within the budget; stops the program when that is spent."""
        within = chunk[: self._left]
        self._left -= len(within)
        if len(within) < len(chunk):
            self._stop("output", f"printed more than {self._size:,} bytes")
        return within


async def _read(
    stream: trio.abc.ReceiveStream, error: bool, budget: _OutputBudget, on_line: Callable[[str, bool], None]
) -> None:
    pending = bytearray()
    async for chunk in stream:
        within = budget.spend(bytes(chunk))
        # Only the new chunk is searched for line ends, so that one endless line costs linear time.
        head, newline, rest = within.rpartition(b"\n")
        if newline:
            pending += head
            for line in pending.split(b"\n"):
                on_line(line.decode(errors="replace"), error)
            pending.clear()
        pending += rest
        if len(within) < len(chunk):
            break
    if pending:
        on_line(pending.decode(errors="replace"), error)


async def _watch(
    pid: int, folder: Path | None, limits: Limits, stop: Callable[[Cause, str], None], on_memory: Callable[[int], None]
) -> None:
    """Poll what the kernel does not limit for a whole tree: resident memory, number of processes, disk."""
    while True:
        processes, memory, disk = await trio.to_thread.run_sync(_measure, pid, folder)
        on_memory(memory)
        if memory > limits.memory_mb * MB:
            stop("oom", f"used more than {limits.memory_mb:,} MB of memory")
        elif processes > limits.processes:
            stop("processes", f"ran more than {limits.processes} processes at once")
        elif disk > limits.disk_mb * MB + _BLOCK:
            stop("output", f"wrote more than {limits.disk_mb:,} MB to disk")
        await trio.sleep(POLL_SECONDS)


def _measure(pid: int, folder: Path | None) -> tuple[int, int, int]:
    """Processes below `pid`, their resident bytes, and the bytes of the files in the folder, if there is one."""
    memory = 0
    try:
        tree = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        tree = []
    for process in tree:
        try:
            memory += process.memory_info().rss
        except psutil.Error:
            continue
    disk = 0
    for parent, _, names in os.walk(folder) if folder else ():
        for name in names:
            try:
                disk += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return len(tree), memory, disk
