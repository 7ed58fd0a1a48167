"""The process between a node and a program: sets limits, starts it, and leaves nothing of it running.

Run as `python -I -S launch.py MEMORY_BYTES FILE_BYTES CORES COMMAND...`, with the standard library only, so
that it starts in milliseconds; CORES is empty, or numbers with commas between. Its standard input is a
lifeline: when the other end closes, because the node wants to stop the program or because the node is gone,
the program and everything it started are killed. The same happens when the program ends. A pipe is used
rather than a parent-death signal because that signal follows the thread that started the process, and because
macOS has none.

It ends as the program ended: with the same exit code, or by the same signal.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OPEN_FILES = 1024
_KILL_SECONDS = 2.0
CANNOT_START = 127


def main(memory_bytes: int, file_bytes: int, cores: list[int], command: list[str]) -> NoReturn:
    keep_to(cores)
    status = supervise()
    if status is None:
        _become(command, memory_bytes, file_bytes)
    _end_as(status)


def supervise() -> int | None:
    """Fork. None in the child, which is to become the program; in the parent, once nothing of the child runs any more,
    its wait status.
    """
    # As a subreaper it inherits daemons that the program cuts loose, and so can find and kill them.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    supervisor = os.getpid()
    program = os.fork()
    if program:
        status = _wait(program, woken)
        _end_all(program)
        return status
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() not in (supervisor, 0):  # 0: it is the first process of a namespace of its own
        os._exit(CANNOT_START)
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.close(woken)
    os.close(wake)
    return None


def keep_to(cores: list[int]) -> None:
    """Run this process, and all that it starts, on these cores only; on any where none is named."""
    if cores and sys.platform == "linux":
        os.sched_setaffinity(0, cores)


def set_limits(memory_bytes: int, file_bytes: int) -> None:
    """Bound this process and all that it starts: its data segment (0: not), its files, no core dumps."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    if memory_bytes:
        _limit(resource.RLIMIT_DATA, memory_bytes)


def _become(command: list[str], memory_bytes: int, file_bytes: int) -> NoReturn:
    """In the child: limits, then the program in our place."""
    try:
        # Python ignores the latter two, a shell the first in what it starts in the background; what is ignored stays
        # ignored in the program.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        set_limits(memory_bytes, file_bytes)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
    finally:
        os._exit(CANNOT_START)


def _limit(kind: int, amount: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        amount = min(amount, hard)
    resource.setrlimit(kind, (amount, amount))


def _wait(program: int, woken: int) -> int:
    """The program's wait status; that of SIGKILL if the lifeline ended before the program did."""
    while True:
        readable, _, _ = select.select([0, woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
            status = _reap(program)
            if status is not None:
                return status
        if 0 in readable:
            return signal.SIGKILL


def _reap(program: int) -> int | None:
    """Collect all that ended, adopted daemons too; the program's wait status if it was among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == program:
                found = ended[1]
    return found


def _end_all(program: int) -> None:
    """Kill whatever still runs, and whatever that starts meanwhile, until no child is left."""
    _kill(os.killpg, program)
    deadline = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < deadline:
        for pid in _descendants():
            _kill(os.kill, pid)
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.001)


def _kill(how: Callable[[int, int], None], pid: int) -> None:
    # It may be gone already; or it changed its user, and is not ours to kill.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        how(pid, signal.SIGKILL)


def _descendants() -> list[int]:
    """All processes below this one, from /proc; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    # The name, in brackets, may hold anything; the parent is the second field after it.
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry))
    found = [os.getpid()]
    for pid in found:
        found.extend(children.get(pid, []))
    return found[1:]


def _end_as(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        _limit(resource.RLIMIT_CORE, 0)
        ending = os.WTERMSIG(status)
        if ending not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(ending, signal.SIG_DFL)
        os.kill(os.getpid(), ending)
    os._exit(os.WEXITSTATUS(status))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [int(core) for core in sys.argv[3].split(",") if core], sys.argv[4:])
