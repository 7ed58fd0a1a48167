"""The mathematical tasks: what a swarm reaches, what one recipe reaches, and how long a verdict takes.

python -m bench.math                           verdicts, and three seeds of a tuned recipe for each of the six tasks
python -m bench.math TASK [NODES [MINUTES]]    a swarm on this machine, from nothing
"""

import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import figure, machine
from trainer.task import load_task

PROGRAM = Path(__file__).parents[1] / "configs" / "tasks" / "math"
SEEDS = 3
VERDICTS = 20
# a recipe that does well, found by hand, and the steps it gets
HOPPING = ["MOVE=relocate", "PLACE=hole", "PATIENCE=20"]
TUNED = {
    "circles-square": HOPPING,
    "circles-rectangle": ["MOVE=relocate", "PRECISION=0.001"],
    "heilbronn-triangle": ["MOVE=relocate", "PRECISION=0.01", "REACH=0.05"],
    "heilbronn-convex": ["MOVE=relocate", "PRECISION=0.01", "REACH=0.05"],
    "distances-plane": HOPPING,
    "distances-space": HOPPING,
}


def main() -> None:
    print(machine())
    if len(sys.argv) > 1:
        swarm(sys.argv[1], *(sys.argv[2:] + ["4", "10"][len(sys.argv) - 2 :]))
        return
    sys.path.insert(0, str(PROGRAM))
    exact = importlib.import_module("exact")
    problems = importlib.import_module("problems")
    for name, settings in TUNED.items():
        verdicts(name, exact, problems)
        direct(name, settings)


def verdicts(name: str, exact: object, problems: object) -> None:
    """How long the exact value of a solution takes; any points and tiny circles will do."""
    import numpy as np

    problem = problems.PROBLEMS[name]  # type: ignore[attr-defined]
    points = problem.sample(np.random.default_rng(0), problem.points)
    state, _ = problem.settle(problem.start(points))
    if name.startswith("circles"):
        state[2 * problem.points : -1] = 1e-6
    solution = problem.solution(state, 2.0**-50)
    seconds = []
    for _ in range(VERDICTS):
        began = time.perf_counter()
        exact.VALUES[name](solution)  # type: ignore[attr-defined]
        seconds.append(1000 * (time.perf_counter() - began))
    print(figure(f"{name}: an exact verdict", "ms", seconds))


def direct(name: str, settings: list[str]) -> None:
    """The tuned recipe under the task's own budget, over a few seeds."""
    words = [word for setting in settings for word in ("--set", setting)]
    words += [word for seed in range(SEEDS) for word in ("--seed", str(seed))]
    told = arnode("run", "--task", name, "--json", *words).splitlines()
    trials = [json.loads(line) for line in told if '"value"' in line]
    report(f"{name}, {' '.join(settings)}", name, [trial["value"] for trial in trials if trial["value"] is not None])


def swarm(name: str, nodes: str, minutes: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        told = arnode("--home", home, "swarm", nodes, "--minutes", minutes, "--task", name, "--json")
        summary = json.loads(told.splitlines()[-1])
        boards = [json.loads(arnode("--home", one, "board", "--task", name, "--json")) for one in summary["homes"]]
    print(figure(f"{name}, swarm {nodes} --minutes {minutes}, experiments", "", [summary["experiments"]]))
    print(figure("… discoveries", "", [summary["discoveries"]]))
    print(figure("… of them confirmed", "", [summary["confirmed"]]))
    print(f"mean over seeds: baseline {summary['baseline']!r}, best recipe {summary['best']!r}")
    report(f"{name}, swarm", name, [board["best_trial"] for board in boards if board["best_trial"] is not None])


def report(what: str, name: str, values: list[float]) -> None:
    metric = load_task(name).metric
    assert metric.known_best is not None
    best = (min if metric.direction == "minimize" else max)(values)
    behind = -metric.improvement(metric.known_best.value, best)
    print(f"{what}: best {best!r} of {len(values)}; known best {metric.known_best.value!r}")
    print(figure(what, metric.name, values))
    print(figure("… the best behind the known best by", "", [behind], better="lower"))


def arnode(*words: str) -> str:
    command = [sys.executable, "-m", "node.cli", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
