"""A cgroup around a locked-in program, where systemd gives one out: a scope, through `systemd-run --scope`.

Limits inside a sandbox count each process by itself, and a watch looks five times a second. A cgroup counts the whole
tree at every moment: the memory of all processes together with what lies in their temporary folders, and how many
processes and threads there are. Whether one is to be had is tried, not guessed: limits of a scope whose controllers
were not handed down are ignored without a word.

`systemd-run --scope` becomes the program that it is given, so the program's place below its launcher stays the same.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GROUPS: Final = Path("/sys/fs/cgroup")
CONTROLLERS: Final = ("memory", "pids")
TRY_SECONDS: Final = 5
TRY_MEMORY: Final = 256 << 20  # a whole number of pages, whatever their size: the kernel rounds
TRY_TASKS: Final = 16

_TELL_LIMITS: Final = """\
import sys
with open("/proc/self/cgroup") as file:
    group = next((line[3:].strip() for line in file if line.startswith("0::")), "")
print(*(open(f"{sys.argv[1]}{group}/{name}").read().strip() for name in ("memory.max", "pids.max")), sys.argv[2])
"""


@dataclass(frozen=True)
class Scope:
    """How programs are put into scopes here.

    systemd_run, env: the programs; runtime: the folder of the user's systemd (XDG_RUNTIME_DIR), empty for the system's;
    bus: address of the user's bus, empty for the usual one; options: more for this release of systemd-run.
    """

    systemd_run: str
    env: str
    runtime: str = ""
    bus: str = ""
    options: tuple[str, ...] = ()

    @property
    def at_hand(self) -> bool:
        """Whether systemd still answers: a user's ends, and removes its folder, when the user logs out."""
        return not self.runtime or os.path.isdir(self.runtime)

    def command(self, command: Sequence[str], *, memory_bytes: int, tasks: int) -> list[str]:
        """The command line that runs `command` in a scope of its own, with an empty environment. Pure.

        Args:
            memory_bytes: what all its processes and temporary folders may hold together, none of it swapped out.
            tasks: how many processes and threads it may have at once.
        """
        limits = [f"MemoryMax={memory_bytes}", "MemorySwapMax=0", f"TasksMax={tasks}"]
        # where memory ran out systemd may end what is left: by the kernel's own signal, so that both read the same
        limits += ["KillSignal=SIGKILL"]
        words = [self.systemd_run, *(["--user"] if self.runtime else []), "--scope", "--quiet", "--collect"]
        words += ["--no-ask-password", "--description=arnode trial", *self.options]
        words += [f"--property={limit}" for limit in limits]
        if self.runtime:
            bus = [f"DBUS_SESSION_BUS_ADDRESS={self.bus}"] if self.bus else []
            words = [self.env, f"XDG_RUNTIME_DIR={self.runtime}", *bus, *words]
        # the program can read the environment of the process that locks it in
        return [*words, "--", self.env, "-i", *command]


def find_scope(groups: Path = GROUPS) -> Scope | str:
    """How to get scopes on this machine, after one was tried; or why there are none. Blocks for 10 s at most."""
    systemd_run, env = shutil.which("systemd-run"), shutil.which("env")
    if systemd_run is None or env is None:
        return "systemd-run is not installed"
    try:
        there = (groups / "cgroup.controllers").read_text(encoding="utf-8").split()
    except OSError:
        return "this system has no unified cgroups (version 2)"
    missing = [name for name in CONTROLLERS if name not in there]
    if missing:
        return f"the cgroups here do not control {' and '.join(missing)}"
    runtime = bus = ""
    if os.geteuid() != 0:
        runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
        bus = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    try:
        scope = Scope(systemd_run, env, runtime, bus, _options(systemd_run))
        return _failing(scope, groups) or scope
    except subprocess.TimeoutExpired:
        return f"systemd-run did not answer within {TRY_SECONDS} s"


def _options(systemd_run: str) -> tuple[str, ...]:
    """What keeps it from changing a `$` in the command: from release 254 it warns of one, and will replace it."""
    keep = "--expand-environment"
    return (f"{keep}=no",) if keep in _run([systemd_run, "--help"]).stdout else ()


def _failing(scope: Scope, groups: Path) -> str:
    """Why no program runs in a scope under its limits, empty if one does."""
    tell = [sys.executable, "-I", "-S", "-c", _TELL_LIMITS, str(groups), "${HOME}"]
    done = _run(scope.command(tell, memory_bytes=TRY_MEMORY, tasks=TRY_TASKS))
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return f"systemd-run fails: {said[-1][:200]}"
    if done.stdout.split() != [str(TRY_MEMORY), str(TRY_TASKS), "${HOME}"]:
        return f"a scope is not what was asked for: memory.max, pids.max and an argument are {done.stdout.strip()[:80]}"
    return ""


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TRY_SECONDS, check=False
    )
