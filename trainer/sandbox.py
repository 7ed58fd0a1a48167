"""The sandbox that programs run in, and the proof at start that it holds.

`find_sandbox` finds what this machine has and tries real attacks in it (`trainer/attacks.py`). Where one gets through,
or nothing usable is installed, there is no sandbox: then no edited code runs on this machine, and the message says what
to install.
"""

import contextlib
import dataclasses
import json
import os
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainer import attacks
from trainer.bubblewrap import (
    DATA,
    JOB,
    SHM_MB,
    TMP_MB,
    Bubblewrap,
    find_bubblewrap,
    graphics_cards,
    interpreter_folders,
)
from trainer.cgroup import Scope, find_scope
from trainer.errors import Obstacle, SandboxError
from trainer.landlock import OLDEST_ABI, Landlock, abi
from trainer.seatbelt import Seatbelt, available
from trainer.seccomp import open_filter

__all__ = ["Contents", "Sandbox", "find_sandbox"]

THREADS_PER_PROCESS: Final = 8
WALLS_TASKS: Final = 8  # room in a scope for bubblewrap's own processes
TEST_SECONDS: Final = 30
TEST_MEMORY: Final = 2 << 30
TEST_PROCESSES: Final = 8
TEST_DISK_MB: Final = 16


@dataclass(frozen=True)
class Contents:
    """What a program finds in its sandbox besides the system and its interpreter.

    files: its own, by name, all in `folder`, where it runs; data: a folder to read; others: files and folders to read
    at their own paths; outputs: files in `folder` that it may write and that outlive it, each there before it runs.
    Read one back through a descriptor opened before the run: not every wall keeps the name for the file.
    """

    folder: Path
    files: Sequence[str]
    data: Path | None = None
    others: Sequence[Path] = ()
    outputs: Sequence[str] = ()

    @property
    def readable(self) -> list[str]:
        """What it may read at its own path, besides `folder`, where walls move nothing."""
        return [str(path) for path in (*([self.data] if self.data else []), *self.others)]


@dataclass(frozen=True)
class Sandbox:
    """A sandbox that stood the test on this machine.

    weaker_because: why it is the fallback, empty if it is not; obstacle: the same for a program;
    held: how many attacks it was tried with, and stood; cards: graphics cards that it lets in, by their names in /dev;
    scope: puts each program into a cgroup, None where there is none; no_scope_because: why there is none.
    """

    walls: Bubblewrap | Landlock | Seatbelt
    weaker_because: str = ""
    obstacle: Obstacle | None = None
    held: int = 0
    cards: tuple[str, ...] = ()
    scope: Scope | None = None
    no_scope_because: str = ""

    @property
    def fit_for_peers(self) -> bool:
        """Whether code that came from a peer may run in it: only where memory and disk are walled too."""
        return isinstance(self.walls, Bubblewrap)

    def holds(self, device: str) -> bool:
        """Whether programs for that device (`cpu`, `cuda`, `mps`) can run in it: a card must be let in first."""
        return device == "cpu" or (device == "cuda" and bool(self.cards))

    def place(self, contents: Contents) -> tuple[Path, Path | None]:
        """The folder where the program finds itself, and the one of its data, as it sees them."""
        if isinstance(self.walls, Bubblewrap):
            return Path(JOB), contents.data and Path(DATA)
        return contents.folder, contents.data

    @contextlib.contextmanager
    def lock_in(
        self,
        command: Sequence[str],
        contents: Contents,
        environment: Mapping[str, str],
        *,
        memory_bytes: int,
        disk_mb: int,
        processes: int,
    ) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        """The command that runs `command` locked in, and the descriptors that it inherits.

        memory_bytes: of all its processes together, beside its folders; held to where there is a scope.
        """
        if isinstance(self.walls, Seatbelt):
            yield self.walls.command(command, folder=contents.folder, readable=contents.readable), ()
            return
        full = isinstance(self.walls, Bubblewrap)
        tasks = processes * THREADS_PER_PROCESS
        descriptor = open_filter(unix_sockets=full)
        try:
            if isinstance(self.walls, Bubblewrap):
                words = self.walls.command(
                    command,
                    files={name: contents.folder / name for name in contents.files},
                    data=contents.data,
                    others=contents.others,
                    outputs={name: contents.folder / name for name in contents.outputs},
                    environment=environment,
                    disk_mb=disk_mb,
                    tasks=tasks,
                    filter_fd=descriptor,
                    cards=self.cards,
                )
                if self.scope is not None and self.scope.at_hand:
                    # the folders lie in memory; with room for them a program meets its own limits first
                    room = memory_bytes + (disk_mb + SHM_MB + TMP_MB << 20)
                    words = self.scope.command(words, memory_bytes=room, tasks=tasks + WALLS_TASKS)
            else:
                words = self.walls.command(
                    command, folder=contents.folder, readable=contents.readable, tasks=tasks, filter_fd=descriptor
                )
            yield words, (descriptor,)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def keep_warm(
        self,
        command: Sequence[str],
        contents: Contents,
        environment: Mapping[str, str],
        *,
        disk_mb: int,
    ) -> Iterator[tuple[list[str], int]]:
        """The command that runs a warm worker in the sandbox, and the descriptor of the filter for its programs.

        Only where `may_warm`: bubblewrap makes the namespaces in which the worker makes those of its programs.
        """
        assert isinstance(self.walls, Bubblewrap)
        descriptor = open_filter(unix_sockets=True)
        try:
            files = {name: contents.folder / name for name in contents.files}
            yield (
                self.walls.warm_command(
                    [*command, str(descriptor)],
                    files=files,
                    data=contents.data,
                    others=contents.others,
                    environment=environment,
                    disk_mb=disk_mb,
                    cards=self.cards,
                ),
                descriptor,
            )
        finally:
            os.close(descriptor)

    @property
    def may_warm(self) -> bool:
        """Whether a warm worker can be kept in it."""
        return isinstance(self.walls, Bubblewrap)


def find_sandbox(*, gpus: bool = False) -> Sandbox:
    """The strongest sandbox that stands the test here. Blocks for about a second.

    gpus: let programs use the graphics cards, and so their driver, a part of the kernel that no filter bounds.
    Raises SandboxError, which says what to do, where there is none.
    """
    if sys.platform == "linux":
        try:
            cards = graphics_cards(os.listdir("/dev")) if gpus else ()
            return _proven_in_scope(Sandbox(find_bubblewrap(), cards=cards))
        except SandboxError as error:
            reason, obstacle = str(error), error.obstacle
        if os.geteuid() == 0:
            why = "and Landlock alone does not bind root: run the node as another user"
            raise SandboxError(f"{reason}; {why}", obstacle)
        if abi() < OLDEST_ABI:
            why = "and this kernel's Landlock is too old to stand in (Linux 6.12 has it)"
            raise SandboxError(f"{reason}; {why}", obstacle)
        return _proven(Sandbox(Landlock(tuple(interpreter_folders())), reason, obstacle))
    if available():
        return _proven(Sandbox(Seatbelt(tuple(interpreter_folders())), "macOS has nothing stronger", "other"))
    raise SandboxError(f"there is no sandbox for {sys.platform}; on Windows, run the node in WSL 2")


def _proven_in_scope(sandbox: Sandbox) -> Sandbox:
    """The sandbox after its test, with its programs in scopes where it stands the test so."""
    found = find_scope()
    if isinstance(found, str):
        return _proven(dataclasses.replace(sandbox, no_scope_because=found))
    try:
        return _proven(dataclasses.replace(sandbox, scope=found))
    except SandboxError as error:
        why_not = f"the sandbox does not stand its test in one ({error})"
        return _proven(dataclasses.replace(sandbox, no_scope_because=why_not))


def _proven(sandbox: Sandbox) -> Sandbox:
    achieved = attack(sandbox)
    refuse_leaks(achieved)
    return dataclasses.replace(sandbox, held=len(achieved))


def refuse_leaks(achieved: Mapping[str, str]) -> None:
    """Raise SandboxError if any attack achieved something."""
    succeeded = {name: what for name, what in achieved.items() if what}
    if succeeded:
        found = "; ".join(f"{name.replace('_', ' ')}: {what[:60]}" for name, what in succeeded.items())
        raise SandboxError(f"the sandbox does not hold on this machine ({found})", "leaks")


def attack(sandbox: Sandbox | None, only: Sequence[str] = ()) -> dict[str, str]:
    """Try the attacks, or those named, in the sandbox (None: without one); what each achieved, empty if nothing.

    Raises SandboxError if they cannot even be run.
    """
    with targets_of_attacks() as targets, tempfile.TemporaryDirectory(prefix="arnode-attacks-") as folder:
        shutil.copy(attacks.__file__, folder)
        words = [sys.executable, "-I", "-S", "attacks.py", json.dumps(targets | {"only": list(only)})]
        environment = {"PATH": os.defpath, "HOME": folder}
        with contextlib.ExitStack() as stack:
            descriptors: tuple[int, ...] = ()
            if sandbox is not None:
                contents = Contents(Path(folder).resolve(), ["attacks.py"])
                locked = sandbox.lock_in(
                    words,
                    contents,
                    environment,
                    memory_bytes=TEST_MEMORY,
                    disk_mb=TEST_DISK_MB,
                    processes=TEST_PROCESSES,
                )
                words, descriptors = stack.enter_context(locked)
            try:
                done = subprocess.run(
                    words,
                    cwd=folder,
                    pass_fds=descriptors,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=TEST_SECONDS,
                    start_new_session=True,
                    preexec_fn=_limit if sandbox else None,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise SandboxError(f"the test of the sandbox did not end within {TEST_SECONDS} s") from error
    try:
        achieved: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise _why_not(done.returncode, done.stderr) from error
    return achieved


def _limit() -> None:
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (TEST_MEMORY, TEST_MEMORY))


def _why_not(code: int, said: str) -> SandboxError:
    last = said.strip().splitlines()[-1] if said.strip() else f"exit code {code}"
    if (
        "setting up uid map" in last
        or "No permissions to create new namespace" in last
        or "Creating new namespace" in last
    ):
        return SandboxError(
            f"bubblewrap may not make namespaces here ({last}); `arnode doctor` tells what to do on this system",
            "namespaces",
        )
    return SandboxError(f"bubblewrap does not work here: {last[:200]}")


@contextlib.contextmanager
def targets_of_attacks() -> Iterator[dict[str, Any]]:
    """Things outside of a sandbox for the attacks to reach: files, listeners, a process."""
    with contextlib.ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="arnode-attack-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        secret = home / "secret"
        secret.write_text("a secret", encoding="utf-8")
        secret.chmod(0o644)
        home.chmod(0o777)
        name = f"arnode-{secrets.token_hex(8)}"
        targets: dict[str, Any] = {"secret": str(secret), "folder": str(home), "abstract": name}
        targets["unix"] = str(home / "socket")
        for family, address in ((socket.AF_UNIX, targets["unix"]), (socket.AF_UNIX, "\0" + name)):
            listener = stack.enter_context(socket.socket(family))
            listener.bind(address)
            listener.listen()
        os.chmod(targets["unix"], 0o777)
        tcp = stack.enter_context(socket.socket())
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        targets |= {"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]}
        bystander = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"], env={"ARNODE_CANARY": "a secret"}
        )
        stack.callback(bystander.wait)
        stack.callback(bystander.kill)
        yield targets | {"pid": bystander.pid}
