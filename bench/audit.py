"""What it costs to score edited code from outside: one line per figure, medians and spread over runs.

    python -m bench.audit [RUNS]

The baseline of `story-cpu` with a thirtieth of its budget, since scoring costs the same however long a model was
trained: once as a task's own program that scores itself, and once as edited code that is scored by its predictions.
Each stage outside starts an interpreter and imports torch in a sandbox of its own.
"""

import sys
import tempfile
from pathlib import Path

import trio

from bench.figures import figure, machine
from trainer.audit import run_audited
from trainer.data import prepare_data
from trainer.sandbox import find_sandbox
from trainer.task import Budget, Task, load_task
from trainer.trial import Trial, run_trial

BUDGET = Budget(kind="flops", amount=2e10)


async def measure(task: Task, runs: int) -> list[tuple[Trial, Trial]]:
    """Trials in pairs: by the program's own word, and audited; with seeds 0, 1, ..."""
    sandbox = find_sandbox()
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        data = await prepare_data(task, Path(folder) / "cache")
        workspace = Path(folder) / "workspaces"
        for seed in range(runs):
            own, audited = [
                await run(task, task.files, seed, workspace=workspace, data=data, sandbox=sandbox, budget=BUDGET)
                for run in (run_trial, run_audited)
            ]
            pairs.append((own, audited))
    return pairs


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    task = load_task("story-cpu")
    print(machine())
    pairs = trio.run(measure, task, runs)
    for trial in (trial for pair in pairs for trial in pair):
        if trial.status != "ok":
            sys.exit(f"seed {trial.seed}: {trial.status}: {trial.reason}")

    def of(name: str, index: int) -> list[float]:
        return [pair[index].metrics[name] for pair in pairs]

    inside, predicted, audited = of("eval_seconds", 0), of("predict_seconds", 1), of("audit_seconds", 1)
    print(figure("evaluation in the program's own process", "s", inside))
    print(figure("predictions through the pipe, from a sandbox of their own", "s", predicted))
    print(figure("audit of 512 positions, in another", "s", audited))
    more = [besides_training(other) - besides_training(own) for own, other in pairs]
    print(figure("an audited trial takes longer by", "s", more))
    print(figure("greatest difference in the audit", "bits", of("audit_difference", 1)))
    differences = [abs(own.metrics[task.metric.name] - other.metrics[task.metric.name]) for own, other in pairs]
    print(figure("the two values differ by", task.metric.unit, differences))


def besides_training(trial: Trial) -> float:
    """Seconds of a trial that are not training."""
    return trial.seconds - trial.metrics["training_seconds"]


if __name__ == "__main__":
    main()
