"""Attacks on the machine that a sandboxed program runs on, each tried for real.

`python -I -S attacks.py TARGETS` tries them all and prints a JSON object {attack: what it achieved}, empty for one that
was stopped. TARGETS is a JSON object that names what a test or a start-up check has put outside of the sandbox for
them: `secret` (a file, and its content as an environment variable of another process), `folder` (one that others may
write), `tcp`, `udp`, `vsock` (ports of listeners), `unix`, `abstract` (sockets), `pid` (a process of the same user).
With the standard library only, so that it starts in milliseconds.
"""

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

PROCESSES: Final = 600
SECONDS: Final = 10
GIGABYTE: Final = 1 << 30

# numbers of calls that the C library has no function for (asm/unistd_64.h; the same on arm64 but for the first three)
_X86: Final = platform.machine() == "x86_64"
_CALLS: Final = {
    "ptrace": 101 if _X86 else 117,
    "keyctl": 250 if _X86 else 219,
    "userfaultfd": 323 if _X86 else 282,
    "bpf": 321 if _X86 else 280,
    "perf_event_open": 298 if _X86 else 241,
    "io_uring_setup": 425,
    "process_vm_readv": 310 if _X86 else 270,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
}
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: Any) -> int:
    """A system call's result, -1 for an error."""
    result: int = _LIBC.syscall(_CALLS[name], *arguments)
    return result


def read_secret(targets: dict[str, Any]) -> str:
    return Path(targets["secret"]).read_text(encoding="utf-8")


def read_environment_of_others(targets: dict[str, Any]) -> str:
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if b"ARNODE_CANARY" in entry.read_bytes():
                return str(entry)
        except OSError:
            continue
    return ""


def read_memory_of_others(targets: dict[str, Any]) -> str:
    with open(f"/proc/{targets['pid']}/mem", "rb"):
        return "opened"


def list_home(targets: dict[str, Any]) -> str:
    return ", ".join(os.listdir(Path(targets["secret"]).parent))


def write_outside(targets: dict[str, Any]) -> str:
    path = Path(targets["folder"]) / "written"
    path.write_text("x", encoding="utf-8")
    return str(path)


def write_to_the_system(targets: dict[str, Any]) -> str:
    for folder in ("/usr", "/usr/lib", "/", "/etc", sys.prefix):
        try:
            with open(f"{folder}/arnode-attack", "w", encoding="utf-8"):
                return folder
        except OSError:
            continue
    return ""


def connect_tcp(targets: dict[str, Any]) -> str:
    with socket.create_connection(("127.0.0.1", targets["tcp"]), timeout=1):
        return "connected"


def send_udp(targets: dict[str, Any]) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", targets["udp"]))
        return "sent"


def open_vsock(targets: dict[str, Any]) -> str:
    with socket.socket(40, socket.SOCK_STREAM):  # AF_VSOCK: the host of a virtual machine
        return "opened"


def open_netlink(targets: dict[str, Any]) -> str:
    with socket.socket(16, socket.SOCK_RAW, 0):  # AF_NETLINK
        return "opened"


def connect_unix(targets: dict[str, Any]) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(targets["unix"])
        return "connected"


def connect_abstract(targets: dict[str, Any]) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + targets["abstract"])
        return "connected"


def signal_others(targets: dict[str, Any]) -> str:
    os.kill(targets["pid"], 0)
    return "could be killed"


def trace_parent(targets: dict[str, Any]) -> str:
    return "traced" if _call("ptrace", 16, os.getppid(), 0, 0) == 0 else ""  # PTRACE_ATTACH


def trace_child(targets: dict[str, Any]) -> str:
    child = os.fork()
    if child == 0:
        time.sleep(5)
        os._exit(0)
    try:
        return "traced" if _call("ptrace", 16, child, 0, 0) == 0 else ""
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def raise_limits(targets: dict[str, Any]) -> str:
    for name in ("RLIMIT_NPROC", "RLIMIT_DATA", "RLIMIT_FSIZE"):
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY:
            return f"{name} is not limited"
        try:
            resource.setrlimit(kind, (hard + 1, hard + 1))
        except (ValueError, OSError):
            continue
        return f"raised {name}"
    return ""


def change_cores(targets: dict[str, Any]) -> str:
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    return "chose its cores"


def new_user_namespace(targets: dict[str, Any]) -> str:
    return "made" if _LIBC.unshare(0x10000000) == 0 else ""


def new_mount_namespace(targets: dict[str, Any]) -> str:
    return "made" if _LIBC.unshare(0x00020000) == 0 else ""


def mount_something(targets: dict[str, Any]) -> str:
    return "mounted" if _LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0 else ""


def change_root(targets: dict[str, Any]) -> str:
    child = os.fork()
    if child == 0:
        try:
            os.chroot("/tmp")
        except OSError:
            os._exit(1)
        os._exit(0)
    return "changed" if os.waitpid(child, 0)[1] == 0 else ""


def become_root(targets: dict[str, Any]) -> str:
    os.setuid(0)
    return "became root"


def io_uring(targets: dict[str, Any]) -> str:
    return "set up" if _call("io_uring_setup", 4, ctypes.create_string_buffer(120)) >= 0 else ""


def bpf(targets: dict[str, Any]) -> str:
    array = struct.pack("IIII", 2, 4, 4, 1).ljust(120, b"\0")  # BPF_MAP_TYPE_ARRAY
    return "made a map" if _call("bpf", 0, array, len(array)) >= 0 else ""


def perf(targets: dict[str, Any]) -> str:
    event = struct.pack("II", 1, 112).ljust(112, b"\0")
    return "opened" if _call("perf_event_open", event, 0, -1, -1, 0) >= 0 else ""


def keyring(targets: dict[str, Any]) -> str:
    return "joined" if _call("keyctl", 1, 0) >= 0 else ""  # KEYCTL_JOIN_SESSION_KEYRING


def userfaultfd(targets: dict[str, Any]) -> str:
    return "opened" if _call("userfaultfd", 1) >= 0 else ""


def type_into_the_terminal(targets: dict[str, Any]) -> str:
    with open("/dev/tty", "rb") as terminal:
        fcntl.ioctl(terminal, 0x5412, b"x")  # TIOCSTI
        return "typed"


def fork_bomb(targets: dict[str, Any]) -> str:
    children: list[int] = []
    try:
        for _ in range(PROCESSES):
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
        return f"{len(children)} processes"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def allocate(targets: dict[str, Any]) -> str:
    parts = [mmap.mmap(-1, 3 * GIGABYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(10)]
    return f"{3 * len(parts)} GB"


def uncounted_memory(targets: dict[str, Any]) -> str:
    descriptor = os.memfd_create("uncounted")
    os.ftruncate(descriptor, 3 * GIGABYTE)
    return "made a file of 3 GB in memory"


def fill_shared_memory(targets: dict[str, Any]) -> str:
    return _fill("/dev/shm/fill", 600)


def fill_temporary_folder(targets: dict[str, Any]) -> str:
    return _fill("/tmp/arnode-fill", 600)


def _fill(path: str, megabytes: int) -> str:
    try:
        with open(path, "wb") as file:
            file.writelines(bytes(1 << 20) for _ in range(megabytes))
        return f"wrote {megabytes} MB"
    finally:
        Path(path).unlink(missing_ok=True)


ATTACKS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    attack.__name__: attack
    for attack in (
        read_secret,
        read_environment_of_others,
        read_memory_of_others,
        list_home,
        write_outside,
        write_to_the_system,
        connect_tcp,
        send_udp,
        open_vsock,
        open_netlink,
        connect_unix,
        connect_abstract,
        signal_others,
        trace_parent,
        trace_child,
        raise_limits,
        change_cores,
        new_user_namespace,
        new_mount_namespace,
        mount_something,
        change_root,
        become_root,
        io_uring,
        bpf,
        perf,
        keyring,
        userfaultfd,
        type_into_the_terminal,
        fork_bomb,
        allocate,
        uncounted_memory,
        fill_shared_memory,
        fill_temporary_folder,
    )
}


def main(targets: dict[str, Any]) -> None:
    names = targets.get("only") or ATTACKS
    print(json.dumps({name: _apart(ATTACKS[name], targets) for name in names}), flush=True)


def _apart(attack: Callable[[dict[str, Any]], str], targets: dict[str, Any]) -> str:
    """What an attack achieves in a process of its own, so that none disturbs the next."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal.alarm(SECONDS)
        achieved = ""
        # AttributeError: what the platform does not have
        with contextlib.suppress(OSError, MemoryError, ValueError, OverflowError, AttributeError):
            achieved = attack(targets)
        os.write(write, achieved.encode()[:200])
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it left
    with open(read, "rb") as result:
        return result.read().decode()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
