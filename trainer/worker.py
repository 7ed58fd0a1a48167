"""A warm worker: a sandboxed process that has imported what a task's program imports, and forks for each trial.

Importing torch takes as long as a tenth of a short trial. Here it is done once; what a trial sees is the same as in a
sandbox of its own (see `trainer/warm.py`, which runs inside). The worker is started when it is first needed, and again
when it died; it ends when it is idle, so that it holds no memory then, and dies with this process.
"""

import array
import inspect
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Final

import trio

import trainer
from trainer import attacks, launch, warm
from trainer.bubblewrap import JOB, unused_uid
from trainer.errors import SandboxError
from trainer.forked import Forked
from trainer.preload import modules_of, sets_environment
from trainer.process import end, environment
from trainer.sandbox import (
    TEST_DISK_MB,
    TEST_MEMORY,
    TEST_PROCESSES,
    TEST_SECONDS,
    THREADS_PER_PROCESS,
    Contents,
    Sandbox,
    refuse_leaks,
    targets_of_attacks,
)
from trainer.task import Limits, Task
from trainer.watch import GRACE_SECONDS, MB, watched

IDLE_SECONDS: Final = 120.0


class Worker:
    """Starts programs of one task as forks of a warm process; made by `open_worker`."""

    def __init__(
        self, task: Task, sandbox: Sandbox, data: Path | None, *, device: str, threads: int, idle_seconds: float
    ) -> None:
        self._task = task
        self._sandbox = sandbox
        self._data = data and data.resolve()
        self._device = device
        self._threads = threads
        self._idle_seconds = idle_seconds
        self._process: trio.Process | None = None
        self._control: trio.socket.SocketType | None = None
        self._starting = trio.Lock()
        self._said: IO[bytes] | None = None
        self._proven = False
        self._hopeless = False
        self.cold_because = ""
        """Why the last trial could not be started here, empty if it was."""

    @property
    def pid(self) -> int | None:
        """Process id of the warm process's launcher, None while there is none."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(
        self, files: Mapping[str, str], variables: Mapping[str, str], limits: Limits, cores: Sequence[int] = ()
    ) -> Forked | None:
        """Start the task's program with those files; None, and `cold_because` says why, where that must be done cold.

        Args:
            variables: its environment.
            cores: the processor cores that it and all it starts may use; none for those of this process.
        """
        if self._hopeless:
            return None
        script = script_of(self._task)
        if script is None or sets_environment(files, script):
            self.cold_because = "the program sets its environment before it imports"
            return None
        for _ in range(2):  # it may have ended a moment ago, because it was idle or because it was killed
            try:
                await self._see_that_it_runs(script)
                forked = await self._fork(files, self._task.command[1:], variables, limits, cores)
            except SandboxError as error:
                self.cold_because = str(error)
            else:
                self.cold_because = ""
                return forked
            if self.pid is not None:
                break
        return None

    async def _see_that_it_runs(self, script: str) -> None:
        async with self._starting:
            if self.pid is not None:
                return
            await self.stop()
            if not self._proven:
                try:
                    await self._start(())  # forks of a process that has imported little are quick to attack
                    await self._prove()
                except SandboxError:
                    self._hopeless = True
                    raise
                finally:
                    with trio.CancelScope(shield=True):
                        await self.stop()
                self._proven = True
            await self._start(modules_of(self._task.files, script))

    async def _prove(self) -> None:
        """Try every attack from a program that it forks. Raises SandboxError if one gets through."""
        files = {"attacks.py": inspect.getsource(attacks)}
        limits = Limits(
            wall_seconds=TEST_SECONDS,
            memory_mb=TEST_MEMORY // MB,
            output_bytes=MB,
            disk_mb=TEST_DISK_MB,
            processes=TEST_PROCESSES,
        )
        lines: list[str] = []
        with targets_of_attacks() as targets:
            command = ["attacks.py", json.dumps(targets | {"only": []})]
            forked = await self._fork(files, command, {"PATH": os.defpath, "HOME": JOB}, limits, ())
            ended = await watched(
                forked,
                folder=None,
                # what is watched must not end an attack before it meets the walls
                limits=limits.model_copy(update={"processes": 10_000, "memory_mb": 1_000_000}),
                started=forked.started,
                wall_seconds=TEST_SECONDS,
                on_line=lambda line, error: lines.append(line),
            )
        try:
            refuse_leaks(json.loads(lines[-1]))
        except (ValueError, IndexError, AttributeError) as error:
            said = ended.stopped[1] if ended.stopped else (lines or [f"exit code {ended.exit_code}"])[-1][:200]
            raise SandboxError(f"the warm worker's test could not be run: {said}") from error

    async def _start(self, modules: Sequence[str]) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = Path(trainer.__file__).parent
        names = [f"{package.name}/{Path(file).name}" for file in (trainer.__file__, launch.__file__, warm.__file__)]
        contents = Contents(package.parent, names, self._data, self._task.setup.folders)
        limits = self._task.limits
        command = [sys.executable, "-m", warm.__name__, str(its.fileno()), json.dumps(modules), str(self._idle_seconds)]
        variables = environment(Path(JOB), self._threads) | self._task.setup.variables
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        with its, self._sandbox.keep_warm(command, contents, variables, disk_mb=limits.disk_mb) as (words, filter_fd):
            memory = limits.memory_mb * MB if self._device == "cpu" else 0
            self._process = await trio.lowlevel.open_process(
                [sys.executable, "-I", "-S", launch.__file__, str(memory), str(limits.disk_mb * MB), "", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,
                pass_fds=(its.fileno(), filter_fd),
            )
        self._control = trio.socket.from_stdlib_socket(ours)

    async def _fork(
        self,
        files: Mapping[str, str],
        command: Sequence[str],
        variables: Mapping[str, str],
        limits: Limits,
        cores: Sequence[int],
    ) -> Forked:
        """Hand a program over. Raises SandboxError if the worker could not start it."""
        order = {
            "files": dict(files),
            "script": command[0],
            "arguments": list(command[1:]),
            "environment": dict(variables),
            "memory_bytes": limits.memory_mb * MB if self._device == "cpu" else 0,
            "disk_mb": limits.disk_mb,
            "tasks": limits.processes * THREADS_PER_PROCESS,
            "uid": unused_uid(),
            "cores": list(cores),
        }
        life_read, life_write = os.pipe()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        report, its_report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        forked = Forked(life_write, out_read, err_read, report)
        try:
            with its_report, tempfile.TemporaryFile("w+", encoding="utf-8") as text:
                json.dump(order, text)
                text.seek(0)
                handed = [life_read, out_write, err_write, its_report.fileno(), text.fileno()]
                assert self._control is not None
                with suppress(BrokenPipeError, ConnectionResetError):  # then it takes nothing, which is seen below
                    rights = array.array("i", handed).tobytes()
                    await self._control.sendmsg([b"t"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            for descriptor in (life_read, out_write, err_write):
                os.close(descriptor)
            if not await forked.taken():
                raise SandboxError(f"the warm worker cannot start programs: {await self._why_not(forked)}")
        except BaseException:
            with trio.CancelScope(shield=True):
                await forked.end()
                await forked.close()
            raise
        return forked

    async def _why_not(self, forked: Forked) -> str:
        """What was said where no program came to be: by the fork, or by the worker that has ended."""
        assert self._process is not None
        assert self._said is not None
        said = ""
        with trio.move_on_after(GRACE_SECONDS):
            said = bytes(await forked.stderr.receive_some(4096)).decode(errors="replace")
        if not said:
            with trio.move_on_after(GRACE_SECONDS):
                await self._process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
        return (said.strip().splitlines() or ["it said nothing"])[-1][:200]

    async def stop(self) -> None:
        """End the warm process and all programs that it forked."""
        if self._control is not None:
            self._control.close()
        if self._said is not None:
            self._said.close()
        if self._process is not None:
            await end(self._process)
        self._control = self._process = None


def script_of(task: Task) -> str | None:
    """The file that a task's command runs with Python and nothing else; None if it runs something else."""
    if len(task.command) > 1 and task.command[0] == "{python}" and task.command[1] in task.files:
        return task.command[1]
    return None


def pays(task: Task) -> bool:
    """Whether a worker saves more than its own start and test cost: the program imports more than comes with Python."""
    script = script_of(task)
    modules = modules_of(task.files, script) if script is not None else ()
    return any(name.partition(".")[0] not in sys.stdlib_module_names for name in modules)


@asynccontextmanager
async def open_worker(
    task: Task,
    sandbox: Sandbox | None,
    data: Path | None,
    *,
    device: str = "cpu",
    threads: int = 1,
    idle_seconds: float = IDLE_SECONDS,
) -> AsyncIterator[Worker | None]:
    """A worker for a task's trials; None where there is nothing to be warmed, or no sandbox that can hold it."""
    script = script_of(task)
    if sandbox is None or not sandbox.may_warm or not sandbox.holds(device) or script is None:
        yield None
        return
    worker = Worker(task, sandbox, data, device=device, threads=threads, idle_seconds=idle_seconds)
    try:
        yield worker
    finally:
        with trio.CancelScope(shield=True):
            await worker.stop()
