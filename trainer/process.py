"""One subprocess under limits: started, read, watched, and ended with all that it started.

`trainer/launch.py` sits between this process and the program. Closing its standard input ends the
program's whole tree; so does the death of this process, however it dies.
"""

import os
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import psutil
import trio

from trainer import launch
from trainer.sandbox import Contents, Sandbox
from trainer.task import Limits

Cause: TypeAlias = Literal["timeout", "oom", "output", "processes"]

_MB = 1_000_000
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 3.0
# What a program may need to find its libraries and its device; nothing that could hold a key.
_PASSED_ON = ("PATH", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Ended:
    """How a subprocess ended.

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


def environment(folder: Path, threads: int) -> dict[str, str]:
    """The environment of a program: what it needs to run, with `folder` as its home, and nothing else.

    The hash seed is fixed because the order of a set of strings depends on it.
    """
    count = str(threads)
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONUSERBASE": site.getuserbase(),  # found by HOME otherwise, and torch may be installed there
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
    }


@contextmanager
def fresh_folder(parent: Path, files: Mapping[str, str]) -> Iterator[Path]:
    """A new folder below `parent` that holds a program's files, and is removed with all in it at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent)).resolve()
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def run_limited(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    limits: Limits,
    wall_seconds: float,
    on_line: Callable[[str, bool], None],
    limit_data: bool = True,
    sandbox: tuple[Sandbox, Contents] | None = None,
    descriptors: tuple[int, ...] = (),
) -> Ended:
    """Run a command in a folder until it ends or breaks a limit; `{python}` in it is this interpreter.

    `on_line` is called with each line of output, and whether it came on standard error. When this
    returns, raises or is cancelled, nothing that the command started is running any more.

    Args:
        limit_data: whether to limit the data segment of each process. A GPU's driver reserves address
            space far beyond what it uses, so there only the tree's resident memory is watched.
        sandbox: what to lock the command in, and what it finds there; None to run it in `folder` as it is.
        descriptors: what the command inherits, under the same numbers.
    """
    started = trio.current_time()
    memory = limits.memory_mb * _MB if limit_data else 0
    words = [sys.executable if part == "{python}" else part for part in command]
    with ExitStack() as stack:
        if sandbox is not None:
            inside, contents = sandbox
            locked = inside.lock_in(words, contents, environment, disk_mb=limits.disk_mb, processes=limits.processes)
            words, needed = stack.enter_context(locked)
            descriptors += needed
        process = await trio.lowlevel.open_process(
            [sys.executable, "-I", "-S", launch.__file__, str(memory), str(limits.disk_mb * _MB), *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=descriptors,
        )
    running = trio.CancelScope(deadline=started + wall_seconds)
    broken: list[tuple[Cause, str]] = []
    seen: list[int] = []

    def stop(cause: Cause, reason: str) -> None:
        broken.append((cause, reason))
        running.cancel()

    budget = _OutputBudget(limits.output_bytes, stop)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, process.pid, folder, limits, stop, seen.append)
            async with trio.open_nursery() as readers:
                readers.start_soon(_read, process.stdout, False, budget, on_line)
                readers.start_soon(_read, process.stderr, True, budget, on_line)
                with running:
                    await process.wait()
                if running.cancelled_caught and not broken:
                    broken.append(("timeout", f"ran longer than {wall_seconds:g} s"))
                await _end(process)
                # The pipes are at their end now, unless something we could not kill holds them open.
                readers.cancel_scope.deadline = trio.current_time() + _GRACE_SECONDS
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    await pipe.aclose()
    assert process.returncode is not None
    code = process.returncode
    if sandbox is not None and code > 128:
        code = 128 - code  # how bubblewrap, like a shell, tells of a signal
    return Ended(
        code,
        broken[0] if broken else None,
        trio.current_time() - started,
        max(seen) / _MB if any(seen) else None,
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
    pid: int, folder: Path, limits: Limits, stop: Callable[[Cause, str], None], on_memory: Callable[[int], None]
) -> None:
    """Poll what the kernel does not limit for a whole tree: resident memory, number of processes, disk."""
    while True:
        processes, memory, disk = await trio.to_thread.run_sync(_measure, pid, folder)
        on_memory(memory)
        if memory > limits.memory_mb * _MB:
            stop("oom", f"used more than {limits.memory_mb:,} MB of memory")
        elif processes > limits.processes:
            stop("processes", f"ran more than {limits.processes} processes at once")
        elif disk > limits.disk_mb * _MB:
            stop("output", f"wrote more than {limits.disk_mb:,} MB to disk")
        await trio.sleep(_POLL_SECONDS)


def _measure(pid: int, folder: Path) -> tuple[int, int, int]:
    """Processes below `pid`, their resident bytes, and the bytes of the files in the folder."""
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
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                disk += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return len(tree), memory, disk


async def _end(process: trio.Process) -> None:
    """End the program's tree by closing the lifeline; kill the launcher if that takes too long."""
    if process.stdin is not None:
        await process.stdin.aclose()
    with trio.move_on_after(_GRACE_SECONDS):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
