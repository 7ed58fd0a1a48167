"""Where the wall time of a `story-cpu` trial goes, started from nothing and by a warm worker, in turn.

    python -m bench.trial [RUNS] [TASK]

Started from nothing, what is neither training nor evaluation is the sandbox, the start of the interpreter, imports,
loading data, building the model, and the trainer's own work around the program. A warm worker has the first three
behind it. Both must give the same value, or this fails.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from bench.figures import figure, machine
from trainer.data import prepare_data
from trainer.errors import SandboxError
from trainer.sandbox import Sandbox, find_sandbox
from trainer.task import Task, load_task
from trainer.trial import Trial, run_trial
from trainer.worker import open_worker


async def measure(task: Task, runs: int, sandbox: Sandbox | None) -> tuple[float, list[Trial], list[Trial]]:
    """Seconds to prepare the data from nothing, and the baseline's trials with seeds 0, 1, ...: cold, and warm."""
    with tempfile.TemporaryDirectory() as folder:
        started = trio.current_time()
        data = await prepare_data(task, Path(folder) / "cache")
        prepared = trio.current_time() - started
        cold: list[Trial] = []
        warm: list[Trial] = []
        async with open_worker(task, sandbox, data) as worker:
            for seed in range(runs):
                ways = [(cold, None), (warm, worker)] if worker else [(cold, None)]
                for trials, by in ways if seed % 2 else reversed(ways):
                    trial = await run_trial(
                        task,
                        task.files,
                        seed,
                        workspace=Path(folder) / "workspaces",
                        data=data,
                        sandbox=sandbox,
                        worker=by,
                    )
                    if trial.status != "ok" or (by and by.cold_because):
                        sys.exit(f"seed {seed}: {trial.status}: {trial.reason or (by and by.cold_because)}")
                    trials.append(trial)
        return prepared, cold, warm


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
    prepared, cold, warm = trio.run(measure, task, runs, sandbox)
    print(f"data prepared once: {prepared:.1f} s")
    show("from nothing", task, cold)
    if warm:
        show("warm", task, warm)
        if [trial.value for trial in cold] != [trial.value for trial in warm]:
            sys.exit("the warm worker's values are not those of trials from nothing")
    print(figure(f"baseline {task.metric.name}", task.metric.unit, [trial.value or 0.0 for trial in cold]))


if __name__ == "__main__":
    main()
