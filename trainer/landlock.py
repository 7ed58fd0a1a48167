"""The fallback where bubblewrap cannot run: Landlock, a seccomp filter without any sockets, and limits.

Weaker than bubblewrap: the run folder's size and the tree's memory are only watched, not walled, and /proc shows the
machine. So it is for code that this machine's own model wrote, never for peers' code. Needs Landlock ABI 6 (Linux
6.12), before which a program can signal others of its user.

Run as `python -I -S landlock.py RULES FILTER_FD COMMAND...`, between the limits' launcher and the program: it takes the
rules on, which nothing that it starts can put off again, and becomes the command. With the standard library only.
"""

import contextlib
import ctypes
import json
import os
import resource
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

OLDEST_ABI: Final = 6

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

# linux/landlock.h, LANDLOCK_ACCESS_FS_*
_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE_DIR: Final = 1 << 4
_REMOVE_FILE: Final = 1 << 5
_MAKE_DIR: Final = 1 << 7
_MAKE_REG: Final = 1 << 8
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14
_ALL_FS: Final = (1 << 16) - 1
_ALL_NET: Final = 0b11
_ALL_SCOPES: Final = 0b11  # abstract sockets, signals
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
WRITE: Final = (
    _READ_FILE | _WRITE_FILE | _READ_DIR | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
)
DEVICE: Final = _READ_FILE | _WRITE_FILE

_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/sys/devices/system/cpu")
_PROC: Final = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self", "/proc/sys/vm/overcommit_memory")
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


def abi() -> int:
    """The version of Landlock that this kernel offers; 0 for none."""
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, 0, _VERSION)))


@dataclass(frozen=True)
class Landlock:
    """The fallback's walls, put around a program by this very file run as a launcher."""

    interpreter: tuple[str, ...]
    """Folders of the interpreter and its packages."""

    def command(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        readable: Sequence[str],
        tasks: int,
        filter_fd: int,
    ) -> list[str]:
        """The command line that runs `command` in `folder`, the only place where it may write."""
        rules = {
            "read": [*_SYSTEM, *_PROC, *self.interpreter, *readable],
            "write": [str(folder)],
            "device": list(_DEVICES),
            "tasks": tasks,
        }
        return [sys.executable, "-I", "-S", __file__, json.dumps(rules), str(filter_fd), *command]


def _become(rules: Mapping[str, Any], filter_fd: int, command: list[str]) -> NoReturn:
    libc = _libc()
    attributes = struct.pack("QQQ", _ALL_FS, _ALL_NET, _ALL_SCOPES)
    ruleset = _checked(libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0), "make a Landlock ruleset")
    for key, access in (("read", READ), ("write", WRITE), ("device", DEVICE)):
        for path in rules[key]:
            with contextlib.suppress(FileNotFoundError):
                _allow(libc, ruleset, path, access)
    limits = {
        resource.RLIMIT_NPROC: rules["tasks"],
        resource.RLIMIT_MEMLOCK: 65536,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, amount in limits.items():
        resource.setrlimit(kind, (amount, amount))
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "give up privileges")
    with open(filter_fd, "rb") as file:
        code = file.read()
    _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0), "take the Landlock rules on")
    os.close(ruleset)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    _checked(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0), "take the filter on")
    os.execvp(command[0], command)


def _allow(libc: Any, ruleset: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    allowed = access if os.path.isdir(path) else access & _OF_FILES
    rule = struct.pack("=Qi", allowed, descriptor)
    _checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), f"allow {path}")
    os.close(descriptor)


def _checked(result: int, what: str) -> int:
    if result < 0:
        sys.exit(f"cannot {what}: {os.strerror(ctypes.get_errno())}")
    return result


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    _become(json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
