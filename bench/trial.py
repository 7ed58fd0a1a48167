"""Where the wall time of a `story-cpu` trial goes: one line per figure, medians and spread over runs.

    python -m bench.trial [RUNS] [TASK]

What is neither training nor evaluation is the start of the interpreter, imports, loading data, building the
model, and the trainer's own work around the program.
"""

import sys
import tempfile
from pathlib import Path

import trio

from bench.figures import figure, machine
from trainer.data import prepare_data
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


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    task = load_task(sys.argv[2] if len(sys.argv) > 2 else "story-cpu")
    print(machine())
    prepared, trials = trio.run(measure, task, runs)
    print(f"data prepared once: {prepared:.1f} s")
    for trial in trials:
        if trial.status != "ok":
            sys.exit(f"seed {trial.seed}: {trial.status}: {trial.reason}")
    seconds = [trial.seconds for trial in trials]
    training, evaluation, values = (
        [trial.metrics[name] for trial in trials] for name in ("training_seconds", "eval_seconds", task.metric.name)
    )
    print(figure("trial, wall time", "s", seconds))
    print(figure("of it training", "s", training))
    print(figure("of it evaluation", "s", evaluation))
    print(
        figure(
            "of it start and the rest", "s", [s - t - e for s, t, e in zip(seconds, training, evaluation, strict=True)]
        )
    )
    print(figure("not training", "%", [100 * (1 - t / s) for s, t in zip(seconds, training, strict=True)]))
    print(figure(f"baseline {task.metric.name}", task.metric.unit, values))


if __name__ == "__main__":
    main()
