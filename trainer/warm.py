"""A process that imports once what a task's program imports, and forks for each trial. It runs inside the sandbox.

Run as `python -m trainer.warm CONTROL MODULES IDLE_SECONDS FILTER`: a socket that brings trials, the modules to import,
how long to wait in vain, and the descriptor of the seccomp filter. It never runs a program itself: each trial is a fork
of a process that has done nothing but import.

    warm.py                 waits for trials
      supervisor            one a trial: holds its lifeline, and kills all of it
        first process       of a namespace of its own, with fresh folders, without privileges, behind the filter
          the program

So a trial gets what one in a fresh sandbox gets: own processes, own folders, own limits, own pipes. When the first
process ends, the kernel ends all others of its namespace. With the standard library only.
"""

import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import json
import os
import resource
import signal
import socket
import sys
import types
from typing import Any, NoReturn

from trainer import launch

JOB = "/job"
ROOM_MB = {"/dev/shm": 64, "/tmp": 256}
DESCRIPTORS = 5

_NEW_MOUNTS, _NEW_IPC, _NEW_PIDS = 0x20000, 0x8000000, 0x20000000
_READ_ONLY, _NO_SUID, _NO_DEV, _NO_EXEC, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_SET_DUMPABLE, _SET_SECCOMP, _SET_NO_NEW_PRIVS, _FILTER_MODE = 4, 22, 38, 2
_CAPABILITIES_VERSION, _CAPABILITIES, _DROP_FROM_BOUNDING_SET = 0x20080522, 64, 24


def main(control: socket.socket, modules: list[str], idle_seconds: float, filter_code: bytes) -> dict[str, Any]:
    """Serve trials until the socket ends or none comes; returns only in the process that is to run one's program."""
    for name in modules:
        # the program will import it again, and tell what is wrong with it
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("a module starts threads when it is imported, which a fork does not copy")
    gc.collect()
    gc.freeze()  # what is here now is shared by all forks for as long as nobody writes to it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control.settimeout(idle_seconds)
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, 1, DESCRIPTORS)
        except TimeoutError:
            if _has_children():
                continue
            message = b""
        if not message:
            sys.exit()
        sys.stdout.flush()
        if os.fork() == 0:
            control.close()
            return _trial(descriptors, filter_code)
        for descriptor in descriptors:
            os.close(descriptor)


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _trial(descriptors: list[int], filter_code: bytes) -> dict[str, Any]:
    lifeline, out, err, report, order = descriptors
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for source, target in ((lifeline, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    with open(order, encoding="utf-8") as file:
        trial: dict[str, Any] = json.load(file)
    node = socket.socket(fileno=report)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        launch.keep_to(trial["cores"])
        _checked(libc.unshare(_NEW_PIDS), "make a namespace")
        status = launch.supervise()
        if status is not None:
            node.send(str(os.waitstatus_to_exitcode(status)).encode())
            os._exit(0)
        _fresh_folders(libc, trial)
        _drop(libc, trial, filter_code)
        node.send(b"+")  # all is set up; it brings this process's id, as the node sees it
        node.close()
        program = os.fork()
    except OSError as error:
        os.write(2, f"cannot start {trial['script']}: {error}\n".encode())
        os._exit(launch.CANNOT_START)
    if program:
        _first_process(program)
    libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0)
    return trial


def _fresh_folders(libc: Any, trial: dict[str, Any]) -> None:
    """Namespaces and empty folders of its own, and in JOB the program's files, which nobody can change."""
    _checked(libc.unshare(_NEW_MOUNTS | _NEW_IPC), "make a namespace")
    _mount(libc, None, "/", None, _RECURSIVE | _PRIVATE)
    _mount(libc, "proc", "/proc", "proc", _NO_SUID | _NO_DEV | _NO_EXEC)
    for folder, size in {**ROOM_MB, JOB: trial["disk_mb"]}.items():
        # the interpreter or the data may lie below it
        inside = {path: os.open(path, os.O_PATH) for path in _mounted_below(folder) if folder != JOB}
        _mount(libc, "tmpfs", folder, "tmpfs", _NO_SUID | _NO_DEV, f"size={size << 20},mode=1777")
        for path, descriptor in inside.items():
            _make_folders(path if os.path.isdir(descriptor) else os.path.dirname(path))
            if not os.path.isdir(descriptor):
                open(path, "w").close()
            _mount(libc, f"/proc/self/fd/{descriptor}", path, None, _BIND | _RECURSIVE)
            os.close(descriptor)
    for name, text in trial["files"].items():
        path = os.path.join(JOB, name)
        _make_folders(os.path.dirname(path))
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        _mount(libc, path, path, None, _BIND)
        _mount(libc, None, path, None, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEV)
    os.chdir(JOB)


def _mounted_below(folder: str) -> list[str]:
    """The places below a folder where something is mounted, but for those below one of the others."""
    found: list[str] = []
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        places = {line.split()[4].encode().decode("unicode_escape") for line in file}
    for place in sorted(places):
        if place.startswith(f"{folder}/") and not any(place.startswith(f"{other}/") for other in found):
            found.append(place)
    return found


def _make_folders(path: str) -> None:
    before = os.umask(0o022)
    os.makedirs(path, exist_ok=True)
    os.umask(before)


def _drop(libc: Any, trial: dict[str, Any], filter_code: bytes) -> None:
    """Limits, then no privileges any more, then the filter; nothing that follows can put them off again."""
    launch.set_limits(trial["memory_bytes"], trial["disk_mb"] * 1_000_000)
    for kind, amount in (
        (resource.RLIMIT_NPROC, trial["tasks"]),
        (resource.RLIMIT_MEMLOCK, 65536),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(kind, (amount, amount))
    if os.geteuid() == 0:
        for capability in range(_CAPABILITIES):
            libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(trial["uid"], trial["uid"], trial["uid"])
        os.setresuid(trial["uid"], trial["uid"], trial["uid"])
    none = (ctypes.c_uint32 * 6)()
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    _checked(libc.capset(header, none), "give up capabilities")
    _checked(libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "give up privileges")
    # the memory of the namespace's first process is not for its program, which has the same user id
    _checked(libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0), "close its memory")
    buffer = ctypes.create_string_buffer(filter_code, len(filter_code))
    program = _FilterProgram(len(filter_code) // 8, ctypes.addressof(buffer))
    _checked(libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0), "take the filter on")


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _first_process(program: int) -> NoReturn:
    """Collect what ends until the program does, and end as it did; a signal is told as a shell tells it."""
    while True:
        ended, status = os.wait()
        if ended == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _mount(libc: Any, source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = [text.encode() if text is not None else None for text in (source, target, kind)]
    _checked(libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def run(trial: dict[str, Any]) -> None:
    """Run the program as `python SCRIPT ARGUMENTS` does; how it ends is for the interpreter to tell."""
    os.environ.clear()
    os.environ.update(trial["environment"] | {"PWD": JOB})  # bubblewrap sets it too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # as new as in a fresh process; Python's own stream does so by itself
    path = os.path.join(JOB, trial["script"])
    sys.argv = [trial["script"], *trial["arguments"]]
    sys.path[0] = os.path.dirname(path)
    importlib.invalidate_caches()
    sys.excepthook = _without_our_frames
    program = types.ModuleType("__main__")
    program.__file__ = path
    program.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    sys.modules["__main__"] = program
    for name in ("trainer", "trainer.launch"):  # ours; the program may have modules of these names
        del sys.modules[name]
    with open(path, "rb") as file:
        source = file.read()
    exec(compile(source, path, "exec", dont_inherit=True), program.__dict__)  # noqa: S102


def _without_our_frames(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    below = trace
    while below is not None:
        if below.tb_frame.f_code.co_filename == __file__:
            trace = below.tb_next
        below = below.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


if __name__ == "__main__":
    with open(int(sys.argv[4]), "rb") as code:
        filtered = code.read()
    run(main(socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2]), float(sys.argv[3]), filtered))
