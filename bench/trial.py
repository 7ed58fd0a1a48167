"""Where the wall time of a `story-cpu` trial goes, started from nothing and by a warm worker, in turn.

    python -m bench.trial [RUNS] [TASK]

Started from nothing, what is neither training nor evaluation is the sandbox, the start of the interpreter, imports,
loading data, building the model, and the trainer's own work around the program. A warm worker has the first three
behind it. Both must give the same value, or this fails. With two cores or more it then runs two at once, each on half
of the cores.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bench.figures import figure, machine
from trainer.data import prepare_data
from trainer.device import own_cores
from trainer.errors import SandboxError
from trainer.sandbox import Sandbox, find_sandbox
from trainer.slots import WHOLE_MACHINE, Slot
from trainer.task import Budget, Task, load_task
from trainer.trial import Trial, run_trial
from trainer.worker import Worker, open_worker


@dataclass
class Measured:
    """Seconds to prepare the data from nothing; the baseline's trials with seeds 0, 1, ...; of pairs, wall seconds."""

    prepared: float
    cold: list[Trial] = field(default_factory=list)
    warm: list[Trial] = field(default_factory=list)
    paired: list[Trial] = field(default_factory=list)
    pairs: list[float] = field(default_factory=list)


async def measure(task: Task, runs: int, sandbox: Sandbox | None) -> Measured:
    """Run everything."""
    with tempfile.TemporaryDirectory() as folder:
        started = trio.current_time()
        data = await prepare_data(task, Path(folder) / "cache")
        measured = Measured(trio.current_time() - started)
        cores = own_cores()
        half = len(cores) // 2
        halves = (Slot(tuple(cores[:half])), Slot(tuple(cores[half : 2 * half])))
        async with open_worker(task, sandbox, data) as worker:
            workspace = Path(folder) / "workspaces"
            if worker:  # its first trial waits for the imports
                little = Budget(kind="tokens", amount=1)
                await run_trial(
                    task, task.files, 0, workspace=workspace, data=data, budget=little, sandbox=sandbox, worker=worker
                )

            async def run(into: list[Trial], seed: int, by: Worker | None, slot: Slot = WHOLE_MACHINE) -> None:
                trial = await run_trial(
                    task, task.files, seed, workspace=workspace, data=data, sandbox=sandbox, worker=by, slot=slot
                )
                if trial.status != "ok" or (by and by.cold_because):
                    sys.exit(f"seed {seed}: {trial.status}: {trial.reason or (by and by.cold_because)}")
                into.append(trial)

            for seed in range(runs):
                ways = [(measured.cold, None), (measured.warm, worker)] if worker else [(measured.cold, None)]
                for trials, by in ways if seed % 2 else reversed(ways):
                    await run(trials, seed, by)
            for seed in range(runs) if half else ():
                started = trio.current_time()
                async with trio.open_nursery() as nursery:
                    for slot in halves:
                        nursery.start_soon(run, measured.paired, seed, worker, slot)
                measured.pairs.append(trio.current_time() - started)
        return measured


def show(how: str, task: Task, trials: Sequence[Trial]) -> None:
    """Print where the time of these trials went."""
    seconds = [trial.seconds for trial in trials]
    training, evaluation = ([trial.metrics[name] for trial in trials] for name in ("training_seconds", "eval_seconds"))
    rest = [s - t - e for s, t, e in zip(seconds, training, evaluation, strict=True)]
    print(figure(f"{how}: trial, wall time", "s", seconds))
    print(figure(f"{how}: of it training", "s", training))
    print(figure(f"{how}: of it evaluation", "s", evaluation))
    print(figure(f"{how}: of it start and the rest", "s", rest))
    print(figure(f"{how}: not training", "%", [100 * (1 - t / s) for s, t in zip(seconds, training, strict=True)]))


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    task = load_task(sys.argv[2] if len(sys.argv) > 2 else "story-cpu")
    print(machine())
    try:
        sandbox = find_sandbox()
    except SandboxError as error:
        print(f"without a sandbox: {error}")
        sandbox = None
    measured = trio.run(measure, task, runs, sandbox)
    cold, warm = measured.cold, measured.warm
    print(f"data prepared once: {measured.prepared:.1f} s")
    show("from nothing", task, cold)
    if warm:
        show("warm", task, warm)
        if [trial.value for trial in cold] != [trial.value for trial in warm]:
            sys.exit("the warm worker's values are not those of trials from nothing")
    if measured.pairs:
        alone = warm or cold
        show("two at once", task, measured.paired)
        gains = [2 * trial.seconds / both for trial, both in zip(alone, measured.pairs, strict=True)]
        print(figure("two at once: speed-up against one after the other", "times", gains))
    else:
        print("one core: nothing runs side by side")
    print(figure(f"baseline {task.metric.name}", task.metric.unit, [trial.value or 0.0 for trial in cold]))


if __name__ == "__main__":
    main()
