"""What the sandbox costs a trial: one that does nothing, bare, in a sandbox of its own, and by a warm worker, in turn.

python -m bench.sandbox [RUNS]
"""

import sys
import tempfile
from pathlib import Path

import trio

from bench.figures import figure, machine
from tests.trainer.toys import toy_task
from trainer.sandbox import find_sandbox
from trainer.trial import run_trial
from trainer.worker import open_worker

NOTHING = "print('---'); print('score: 1')"


async def measure(runs: int) -> dict[str, list[float]]:
    """Milliseconds of each trial, by how it was started."""
    task, sandbox = toy_task(NOTHING), find_sandbox()
    times: dict[str, list[float]] = {"bare": [], "in a sandbox": [], "by a warm worker": []}
    with tempfile.TemporaryDirectory() as folder:
        async with open_worker(task, sandbox, None) as worker:
            ways = [("bare", None, None), ("in a sandbox", sandbox, None), ("by a warm worker", sandbox, worker)]
            for number in range(runs + 1):
                for name, walls, by in ways:
                    trial = await run_trial(
                        task, task.files, number, workspace=Path(folder), data=None, sandbox=walls, worker=by
                    )
                    if trial.status != "ok" or (by and by.cold_because):
                        sys.exit(f"{name}: {trial.reason or (by and by.cold_because)}")
                    if number:  # the first of each kind starts the worker and fills the system's caches
                        times[name].append(1000 * trial.seconds)
    return times


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    print(machine())
    times = trio.run(measure, runs)
    for name, values in times.items():
        print(figure(f"a trial that does nothing, {name}", "ms", values))
    for name in ("in a sandbox", "by a warm worker"):
        added = [walled - bare for walled, bare in zip(times[name], times["bare"], strict=True)]
        print(figure(f"what it costs more {name} than bare", "ms", added))


if __name__ == "__main__":
    main()
