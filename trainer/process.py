"""One subprocess under limits: started, watched, and ended with all that it started.

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
from pathlib import Path

import trio

from trainer import launch
from trainer.sandbox import Contents, Sandbox
from trainer.task import Limits
from trainer.watch import GRACE_SECONDS, MB, Ended, watched

__all__ = ["Ended", "end", "environment", "fresh_folder", "run_limited"]

# What a program may need to find its libraries and its device; nothing that could hold a key.
_PASSED_ON = ("PATH", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")


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
    cores: Sequence[int] = (),
    sandbox: tuple[Sandbox, Contents] | None = None,
    descriptors: tuple[int, ...] = (),
) -> Ended:
    """Run a command in a folder until it ends or breaks a limit; `{python}` in it is this interpreter.

    `on_line` is called with each line of output, and whether it came on standard error. When this
    returns, raises or is cancelled, nothing that the command started is running any more.

    Args:
        cores: the processor cores that it may use; none for those of this process.
        limit_data: whether to limit the data segment of each process. A GPU's driver reserves address
            space far beyond what it uses, so there only the tree's resident memory is watched.
        sandbox: what to lock the command in, and what it finds there; None to run it in `folder` as it is.
        descriptors: what the command inherits, under the same numbers.
    """
    started = trio.current_time()
    memory = limits.memory_mb * MB if limit_data else 0
    on = ",".join(map(str, cores))
    words = [sys.executable if part == "{python}" else part for part in command]
    with ExitStack() as stack:
        if sandbox is not None:
            inside, contents = sandbox
            locked = inside.lock_in(
                words,
                contents,
                environment,
                memory_bytes=limits.memory_mb * MB,
                disk_mb=limits.disk_mb,
                processes=limits.processes,
            )
            words, needed = stack.enter_context(locked)
            descriptors += needed
        process = await trio.lowlevel.open_process(
            [sys.executable, "-I", "-S", launch.__file__, str(memory), str(limits.disk_mb * MB), on, *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=descriptors,
        )
    return await watched(
        _Launched(process, shell_codes=sandbox is not None),
        folder=folder,
        limits=limits,
        started=started,
        wall_seconds=wall_seconds,
        on_line=on_line,
    )


class _Launched:
    """A program below a launcher of its own.

    shell_codes: whether a code above 128 tells of a signal, as bubblewrap, like a shell, does.
    """

    def __init__(self, process: trio.Process, *, shell_codes: bool) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.pid = process.pid
        self.stdout: trio.abc.ReceiveStream = process.stdout
        self.stderr: trio.abc.ReceiveStream = process.stderr
        self._process = process
        self._shell_codes = shell_codes

    async def wait(self) -> int:
        code = await self._process.wait()
        return 128 - code if self._shell_codes and code > 128 else code

    async def end(self) -> None:
        await end(self._process)


async def end(process: trio.Process) -> None:
    """End what a launcher runs by closing its lifeline; kill the launcher if that takes too long."""
    if process.stdin is not None:
        await process.stdin.aclose()
    with trio.move_on_after(GRACE_SECONDS):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
