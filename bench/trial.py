"""Where the wall time of a `story-cpu` trial goes: one line per figure, medians and spread over runs.

    python -m bench.trial [RUNS] [TASK]

What is neither training nor evaluation is the start of the interpreter, imports, loading data, building the
model, and the trainer's own work around the program.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import trio

from trainer.data import prepare_data
from trainer.device import detect
from trainer.task import Task, load_task
from trainer.trial import Trial, run_trial


async def measure(task: Task, runs: int) -> tuple[float, list[Trial]]:
    """Seconds to prepare the data from nothing, and the trials of the baseline with seeds 0, 1, ..."""
    with tempfile.TemporaryDirectory() as folder:
        started = trio.current_time()
        data = await prepare_data(task, Path(folder) / "cache")
        prepared = trio.current_time() - started
        workspace = Path(folder) / "workspaces"
        return prepared, [
            await run_trial(task, task.files, seed, workspace=workspace, data=data) for seed in range(runs)
        ]


def figure(name: str, unit: str, trials: list[Trial], value: Callable[[Trial], float]) -> str:
    """One line: median, least and greatest."""
    found = [value(trial) for trial in trials]
    return (
        f"{name}: {statistics.median(found):.4g} {unit} (median of {len(found)}; {min(found):.4g} to {max(found):.4g})"
    )


def rest(trial: Trial) -> float:
    """Seconds of a trial that are neither training nor evaluation."""
    return trial.seconds - trial.metrics["training_seconds"] - trial.metrics["eval_seconds"]


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    task = load_task(sys.argv[2] if len(sys.argv) > 2 else "story-cpu")
    here = detect()
    print(f"machine: {here.name}, {here.cores} cores, torch {here.torch}")
    prepared, trials = trio.run(measure, task, runs)
    print(f"data prepared once: {prepared:.1f} s")
    for trial in trials:
        if trial.status != "ok":
            sys.exit(f"seed {trial.seed}: {trial.status}: {trial.reason}")
    print(figure("trial, wall time", "s", trials, lambda t: t.seconds))
    print(figure("of it training", "s", trials, lambda t: t.metrics["training_seconds"]))
    print(figure("of it evaluation", "s", trials, lambda t: t.metrics["eval_seconds"]))
    print(figure("of it start and the rest", "s", trials, rest))
    print(figure("not training", "%", trials, lambda t: 100 * (1 - t.metrics["training_seconds"] / t.seconds)))
    print(figure(f"baseline {task.metric.name}", task.metric.unit, trials, lambda t: t.metrics[task.metric.name]))


if __name__ == "__main__":
    main()
