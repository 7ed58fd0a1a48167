"""The sandbox that programs run in, and the proof at start that it holds.

`find_sandbox` finds what this machine has and tries real attacks in it (`trainer/attacks.py`). Where one gets through,
or nothing usable is installed, there is no sandbox: then no edited code runs on this machine, and the message says what
to install.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainer import attacks
from trainer.bubblewrap import DATA, JOB, Bubblewrap, find_bubblewrap
from trainer.errors import SandboxError
from trainer.seccomp import open_filter

__all__ = ["DATA", "JOB", "Contents", "Sandbox", "find_sandbox"]

TEST_SECONDS: Final = 30
TEST_MEMORY: Final = 2 << 30
TEST_PROCESSES: Final = 8
TEST_DISK_MB: Final = 16


@dataclass(frozen=True)
class Contents:
    """What a program finds in its sandbox besides the system and its interpreter.

    files: in JOB, read-only, by name; data: the folder at DATA; outputs: the files in JOB that it may write and that
    outlive it, by name, each there already and empty.
    """

    files: Mapping[str, Path]
    data: Path | None = None
    outputs: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Sandbox:
    """A sandbox that stood the test on this machine."""

    bubblewrap: Bubblewrap

    @contextlib.contextmanager
    def lock_in(
        self,
        command: Sequence[str],
        contents: Contents,
        environment: Mapping[str, str],
        *,
        disk_mb: int,
        processes: int,
    ) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        """The command that runs `command` locked in, and the descriptors that it inherits."""
        descriptor = open_filter(unix_sockets=True, cgroup=bool(self.bubblewrap.scope))
        try:
            words = self.bubblewrap.command(
                command,
                files=contents.files,
                data=contents.data,
                outputs=contents.outputs,
                environment=environment,
                disk_mb=disk_mb,
                processes=processes,
                filter_fd=descriptor,
            )
            yield words, (descriptor,)
        finally:
            os.close(descriptor)


def find_sandbox() -> Sandbox:
    """This machine's sandbox, tested. Blocks for about a second. Raises SandboxError, which says what to do."""
    if sys.platform != "linux":
        raise SandboxError(f"there is no sandbox for {sys.platform} yet: only knob recipes run here")
    sandbox = Sandbox(find_bubblewrap())
    succeeded = {name: what for name, what in attack(sandbox).items() if what}
    if succeeded:
        found = "; ".join(f"{name.replace('_', ' ')}: {what[:60]}" for name, what in succeeded.items())
        raise SandboxError(f"the sandbox does not hold on this machine ({found})")
    return sandbox


def attack(sandbox: Sandbox | None, only: Sequence[str] = ()) -> dict[str, str]:
    """Try the attacks, or those named, in the sandbox (None: without one); what each achieved, empty if nothing.

    Raises SandboxError if they cannot even be run.
    """
    with _targets() as targets:
        words = [sys.executable, "-I", "-S", "attacks.py", json.dumps(targets | {"only": list(only)})]
        contents = Contents({"attacks.py": Path(attacks.__file__)})
        environment = {"PATH": os.defpath, "HOME": JOB}
        with contextlib.ExitStack() as stack:
            descriptors: tuple[int, ...] = ()
            if sandbox is None:
                words[3] = attacks.__file__
            else:
                locked = sandbox.lock_in(words, contents, environment, disk_mb=TEST_DISK_MB, processes=TEST_PROCESSES)
                words, descriptors = stack.enter_context(locked)
            limits = [] if sandbox is None else ["prlimit", f"--data={TEST_MEMORY}", f"--fsize={TEST_MEMORY}", "--"]
            try:
                done = subprocess.run(
                    limits + words,
                    pass_fds=descriptors,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=TEST_SECONDS,
                    start_new_session=True,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise SandboxError(f"the test of the sandbox did not end within {TEST_SECONDS} s") from error
    try:
        achieved: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise SandboxError(_why_not(done.returncode, done.stderr)) from error
    return achieved


def _why_not(code: int, said: str) -> str:
    last = said.strip().splitlines()[-1] if said.strip() else f"exit code {code}"
    if (
        "setting up uid map" in last
        or "No permissions to create new namespace" in last
        or "Creating new namespace" in last
    ):
        return (
            f"bubblewrap may not make namespaces here ({last}). Ubuntu 24.04: give it an AppArmor profile that allows "
            "userns (docs/sandbox.md has it). Debian: sysctl kernel.unprivileged_userns_clone=1. In a container: "
            "start it with --security-opt seccomp=unconfined, or run the node as root with CAP_SYS_ADMIN"
        )
    return f"bubblewrap does not work here: {last[:200]}"


@contextlib.contextmanager
def _targets() -> Iterator[dict[str, Any]]:
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
