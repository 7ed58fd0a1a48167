"""A trial: one run of one program with one seed, and what came of it.

The program is written into a fresh folder, run under the task's limits, and the folder is removed. How a
trial failed is told apart, because it says different things about the recipe: it crashed, took too long,
diverged, needed too much memory, or flooded its output.
"""

import os
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import trio

from trainer.device import require
from trainer.output import Output, Progress, number_in, read_progress
from trainer.process import Ended, environment, fresh_folder, run_limited
from trainer.sandbox import Contents, Sandbox
from trainer.slots import WHOLE_MACHINE, Slot
from trainer.task import Budget, Task
from trainer.watch import watched
from trainer.worker import Worker

__all__ = ["Progress", "Status", "Trial", "run_trial"]

Status: TypeAlias = Literal["ok", "crash", "timeout", "nan", "oom", "output", "refused"]

_DIVERGED = 3
"""The exit code by which a program says that its loss is not finite."""

# How Python, torch on the CPU, torch on a GPU, the C++ library and the kernel say it.
_OUT_OF_MEMORY = re.compile(
    r"MemoryError|OutOfMemoryError|can't allocate memory|cannot allocate memory|out of memory|std::bad_alloc",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Trial:
    """What came of one run.

    Attributes:
        seed: what the program was given.
        status: `ok`, or how it failed.
        value: the metric; None unless the status is `ok`.
        reason: why it failed, one printable line; empty if it did not.
        seconds: wall time of the whole trial, from the start of the process to its end.
        metrics: the finite numbers of the program's summary, the metric among them; and `peak_memory_mb` as
            seen from outside, where the program does not say.
        log_tail: the last printable lines of its output, for a person or a model to read.
    """

    seed: int
    status: Status
    value: float | None
    reason: str
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    log_tail: str = ""


async def run_trial(
    task: Task,
    files: Mapping[str, str],
    seed: int,
    *,
    workspace: Path,
    data: Path | None,
    device: str | None = None,
    threads: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
    budget: Budget | None = None,
    sandbox: Sandbox | None = None,
    worker: Worker | None = None,
    slot: Slot = WHOLE_MACHINE,
) -> Trial:
    """Run a program once. A program that fails is a Trial that says how, never an exception.

    Cancelling this kills the program and all it started. Nothing is left in `workspace` afterwards, unless
    this very process is killed. Raises DeviceError where this machine has no device that the task is for.

    Args:
        files: the materialised program.
        workspace: where the trial makes, and removes, a folder of its own.
        data: the task's prepared data (see `trainer.data`); None if it has none.
        device: `cpu`, `cuda` or `mps`; None for the first of the task's kinds that this machine has.
        budget: in place of the task's own, for a shorter trial; its value compares with no other.
        sandbox: what to lock the program in; None to run it under limits only.
        worker: starts the program in less time, in that sandbox and with that data; None to start it from nothing.
        slot: the cores and the card that it has.
    """
    if device is None:
        device = (await trio.to_thread.run_sync(require, task.name, task.devices)).kind
    output = Output()
    with fresh_folder(workspace, files) as folder:
        contents = Contents(folder, list(files), _absolute(data), task.setup.folders)
        home, seen_data = sandbox.place(contents) if sandbox else (folder, contents.data)
        told = environment(home, threads) | task.setup.variables
        told |= variables(seed, budget or task.budget, seen_data, device, threads) | slot.variables
        on_line = listener(output, home, on_progress)
        forked = await worker.start(files, told, task.limits, slot.cores) if worker else None
        if forked is not None:
            ended = await watched(
                forked,
                folder=None,
                limits=task.limits,
                started=forked.started,
                wall_seconds=task.limits.wall_seconds,
                on_line=on_line,
            )
        else:
            ended = await run_limited(
                task.command,
                folder=folder,
                environment=told,
                limits=task.limits,
                wall_seconds=task.limits.wall_seconds,
                on_line=on_line,
                limit_data=device == "cpu",
                cores=slot.cores,
                sandbox=(sandbox, contents) if sandbox else None,
            )
    measured = {} if ended.peak_memory_mb is None else {"peak_memory_mb": ended.peak_memory_mb}
    status, reason = judge_end(task.metric.name, ended, output)
    return Trial(
        seed=seed,
        status=status,
        value=output.numbers[task.metric.name] if status == "ok" else None,
        reason=reason,
        seconds=ended.seconds,
        metrics=measured | output.numbers,
        log_tail=output.tail,
    )


def _absolute(data: Path | None) -> Path | None:
    return data and data.resolve()


def listener(output: Output, home: Path, on_progress: Callable[[Progress], None] | None) -> Callable[[str, bool], None]:
    """What takes the lines of a program in the folder `home`: progress to on_progress, the rest to `output`."""

    def on_line(line: str, error: bool) -> None:
        progress = None if error else read_progress(line)
        if progress is None:
            # Where a node keeps its state is nobody's business, and a log may be published.
            output.take(line.replace(f"{home}{os.sep}", ""), error=error)
        elif on_progress is not None:
            on_progress(progress)

    return on_line


def variables(seed: int, budget: Budget, data: Path | None, device: str, threads: int) -> dict[str, str]:
    """What a program is told, beside its files."""
    told = {
        "ARNODE_SEED": str(seed),
        "ARNODE_BUDGET_KIND": budget.kind,
        "ARNODE_BUDGET": str(int(budget.amount) if budget.amount.is_integer() else budget.amount),
        "ARNODE_DEVICE": device,
        "ARNODE_THREADS": str(threads),
    }
    return told if data is None else told | {"ARNODE_DATA": str(data)}


def judge_end(metric: str, ended: Ended, output: Output) -> tuple[Status, str]:
    """How a trial ended that prints its own metric, and why in one line (empty for `ok`)."""
    failure = failure_of(ended, output)
    if failure is not None:
        return failure
    printed = output.summary.get(metric)
    if printed is None:
        return "crash", f"ended well but printed no line `{metric}: ...` after a line `---`"
    if number_in(printed) is not None:
        return "ok", ""
    if printed.lstrip("+-").lower() in ("nan", "inf", "infinity"):
        return "nan", f"{metric} is {printed}"
    return "crash", f"{metric} is {printed}, which is no number"


def failure_of(ended: Ended, output: Output) -> tuple[Status, str] | None:
    """How a program failed, and why in one line; None if it ended well."""
    if ended.stopped is not None:
        cause, reason = ended.stopped
        return ("crash" if cause == "processes" else cause), reason
    if ended.exit_code == 0:
        return None
    last = output.errors[-1] if output.errors else ""
    if ended.exit_code == _DIVERGED:
        return "nan", last or "the loss was not finite"
    for line in output.errors:
        if _OUT_OF_MEMORY.search(line):
            return "oom", line
    if ended.exit_code < 0:
        if ended.exit_code == -signal.SIGKILL:
            return "oom", "killed from outside (SIGKILL), as the kernel does when the machine runs out of memory"
        name = signal.strsignal(-ended.exit_code) or f"signal {-ended.exit_code}"
        return "crash", f"ended by a signal: {name}" + (f": {last}" if last else "")
    return "crash", last or f"exit code {ended.exit_code}, and nothing on standard error"
