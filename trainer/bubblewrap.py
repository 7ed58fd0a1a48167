"""Locking a program in with bubblewrap: namespaces, a file system that holds only what it needs, a seccomp filter.

The program sees the system's libraries, its interpreter, its own files under JOB and the task's data under DATA, all
read-only, and temporary folders of bounded size. There is no network, no other process, no socket and no home.

As root bubblewrap needs no user namespace, and the program runs under a user id that nothing else uses: the limit on
processes does not bind user 0.
"""

import itertools
import os
import re
import shutil
import site
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from trainer.errors import SandboxError

JOB: Final = "/job"
DATA: Final = "/data"
PACKAGE: Final = Path(__file__).parent
"""Where it lies among the interpreter's packages it is emptied: it holds what makes held-out data."""
SHM_MB: Final = 64
TMP_MB: Final = 256
OLDEST: Final = (0, 7)
"""Older releases cannot bound the size of a temporary folder."""

# user ids above those that systems hand out
_FIRST_UID: Final = 3_000_000_000
_UIDS: Final = 100_000
_UID_STEP: Final = 7_919  # so that nodes whose process ids are neighbours do not meet
_runs: Final = itertools.count()

_NVIDIA: Final = re.compile(r"nvidia(\d+|ctl|-uvm|-uvm-tools)")


@dataclass(frozen=True)
class Bubblewrap:
    """The programs that lock in."""

    bwrap: str
    prlimit: str
    setpriv: str

    def command(
        self,
        command: Sequence[str],
        *,
        files: Mapping[str, Path],
        data: Path | None,
        others: Sequence[Path] = (),
        outputs: Mapping[str, Path] = MappingProxyType({}),
        environment: Mapping[str, str],
        disk_mb: int,
        tasks: int,
        filter_fd: int,
        cards: Sequence[str] = (),
    ) -> list[str]:
        """The command line that runs `command` locked in, in the folder JOB.

        Args:
            files: what lies in JOB, by name, read-only.
            data: what lies at DATA, read-only.
            others: what lies at its own path, read-only.
            outputs: files in JOB, by name, that may be written and outlive the program; each exists.
            disk_mb: size of JOB beside those, in MB.
            tasks: how many processes and threads it may have at once.
            filter_fd: an inherited descriptor of `trainer.seccomp.open_filter`.
            cards: names in /dev of the graphics cards that it may use, as `graphics_cards` gives them.
        """
        walls = self._walls(files, data, others, outputs, environment, disk_mb, cards)
        limits = [self.prlimit, f"--nproc={tasks}", "--memlock=65536", "--msgqueue=0", "--"]
        drop = []
        if os.geteuid() == 0:
            uid = str(unused_uid())
            drop = [self.setpriv, "--reuid", uid, "--regid", uid, "--clear-groups", "--bounding-set", "-all"]
            drop += ["--inh-caps", "-all", "--no-new-privs", "--"]
        return [*walls, "--seccomp", str(filter_fd), "--", *limits, *drop, *command]

    def warm_command(
        self,
        command: Sequence[str],
        *,
        files: Mapping[str, Path],
        data: Path | None,
        others: Sequence[Path],
        environment: Mapping[str, str],
        disk_mb: int,
        cards: Sequence[str] = (),
    ) -> list[str]:
        """The same without filter and limits and with the right to mount, for `trainer/warm.py`.

        That gives each program that it forks the former, and not the latter.
        """
        walls = self._walls(files, data, others, {}, environment, disk_mb, cards)
        return [*walls, "--cap-add", "CAP_SYS_ADMIN", "--", *command]

    def _walls(
        self,
        files: Mapping[str, Path],
        data: Path | None,
        others: Sequence[Path],
        outputs: Mapping[str, Path],
        environment: Mapping[str, str],
        disk_mb: int,
        cards: Sequence[str],
    ) -> list[str]:
        words = [self.bwrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        words += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
        if os.geteuid() == 0:
            words += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
            words += ["--cap-add", "CAP_SETPCAP", "--cap-add", "CAP_SYS_RESOURCE"]
        else:
            words += ["--unshare-user", "--cap-drop", "ALL"]
        for name, value in environment.items():
            words += ["--setenv", name, value]
        words += _system()
        words += _cards(cards)
        words += ["--size", str(SHM_MB << 20), "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
        words += ["--size", str(TMP_MB << 20), "--perms", "1777", "--tmpfs", "/tmp"]
        words += ["--size", str(disk_mb << 20), "--perms", "1777", "--tmpfs", JOB]
        for path in interpreter_folders():
            words += _bind(path, path)
        if any(PACKAGE.is_relative_to(path) for path in ["/usr", *interpreter_folders()]):
            words += ["--size", "4096", "--tmpfs", str(PACKAGE), "--remount-ro", str(PACKAGE)]
        for name, file in files.items():
            words += _bind(str(file), f"{JOB}/{name}")
        for name, file in outputs.items():
            words += ["--bind", str(file), f"{JOB}/{name}"]
        if data is not None:
            words += _bind(str(data), DATA)
        for other in others:
            words += _bind(str(other), str(other))
        return [*words, "--remount-ro", "/", "--chdir", JOB]


def unused_uid() -> int:
    """A user id for one run: two programs with one id would share their count of processes."""
    return _FIRST_UID + (os.getpid() + _UID_STEP * next(_runs)) % _UIDS


def graphics_cards(devices: Iterable[str]) -> tuple[str, ...]:
    """Those of the names in /dev that CUDA needs: the cards, and what the driver is controlled by. Pure.

    Source: what the NVIDIA container toolkit mounts. Written without a card at hand: it has never run.
    """
    return tuple(sorted(name for name in devices if _NVIDIA.fullmatch(name)))


def _cards(names: Sequence[str]) -> list[str]:
    """Binds of the cards, and of /sys, where the driver looks for them; nothing without cards."""
    words = [word for name in names for word in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")]
    return [*words, "--ro-bind", "/sys", "/sys"] if words else []


def _bind(source: str, inside: str) -> list[str]:
    """A read-only bind with parents of mode 0755: bubblewrap makes them 0700, and the program's user is another."""
    words = []
    for parent in reversed(Path(inside).parents[:-1]):
        words += ["--perms", "0755", "--dir", str(parent)]
    return [*words, "--ro-bind", source, inside]


def _system() -> list[str]:
    """The parts of the root folder that every program needs."""
    words = ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    words += ["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        if os.path.islink(f"/{name}"):
            words += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        else:
            words += ["--ro-bind-try", f"/{name}", f"/{name}"]
    words += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
    return [*words, "--proc", "/proc", "--dev", "/dev"]


def interpreter_folders() -> list[str]:
    """This interpreter's folders and those of its packages, but for what lies below one of the others or /usr."""
    wanted = [sys.prefix, sys.base_prefix, os.path.realpath(sys.executable), *site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        wanted.append(site.getusersitepackages())
    found: list[str] = []
    for path in sorted({os.path.abspath(path) for path in wanted if os.path.exists(path)}):
        if not any(path == other or path.startswith(other + os.sep) for other in ["/usr", *found]):
            found.append(path)
    return found


def find_bubblewrap() -> Bubblewrap:
    """The installed bubblewrap with its companions. Raises SandboxError, which says what to install."""
    found = {name: shutil.which(name) for name in ("bwrap", "prlimit", "setpriv")}
    missing = [{"bwrap": "bubblewrap"}.get(name, "util-linux") for name, path in found.items() if path is None]
    if missing:
        packages = " ".join(dict.fromkeys(missing))
        raise SandboxError(f"{packages} is missing: install it (Debian and Ubuntu: apt install {packages})", "missing")
    bwrap = str(found["bwrap"])
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        raise SandboxError(
            f"{said.strip() or 'bubblewrap'} is too old, it cannot bound temporary folders: install 0.7 or newer "
            "(Ubuntu 22.04 ships 0.6.1: upgrade to 24.04, or build it from github.com/containers/bubblewrap)",
            "old",
        )
    return Bubblewrap(bwrap, str(found["prlimit"]), str(found["setpriv"]))
