"""What edits of code cost: the size of their records, and the time to read and to merge one.

    python -m bench.code [RUNS]

The program is that of `story-cpu`. The own best edits its end, a peer's edit its middle, by five lines each. The worst
texts are as many random lines as are merged at all, each as common as the comparison bears.
"""

import random
import sys
import time
from collections.abc import Callable

from agent.entries import read, write
from agent.evidence import read_experiment
from bench.figures import figure, machine
from gossip.identity import new_identity
from gossip.record import Record
from node.simulation.node import make_result
from trainer.merge import MAX_LINES, MergeConflict, merge
from trainer.recipe import BASELINE, Recipe, apply_change, change_between, make_recipe
from trainer.task import Task, load_task


def edit(task: Task, base: Recipe, place: float) -> Recipe:
    """The recipe with five lines of the program replaced, at that share of its length."""
    lines = base.files.get("train.py", task.files["train.py"]).split("\n")
    at = int(place * len(lines))
    lines[at : at + 5] = [f"{lines[at + number]}  # edited {number * place}" for number in range(5)]
    return make_recipe(task, {}, {"train.py": "\n".join(lines)})


def record_of(task: Task, parent: Recipe, candidate: Recipe) -> Record:
    result = make_result(task, parent, candidate, {0: (0.9, 1.0)}, "keep", effect=0.1, integrity="audited")
    budget = {"kind": task.budget.kind, "amount": task.budget.amount}
    return write(
        new_identity(), task.fingerprint, 1, type(result).model_validate(result.model_dump() | {"budget": budget})
    )


def milliseconds(work: Callable[[], object], runs: int) -> list[float]:
    took = []
    for _ in range(runs):
        started = time.process_time()
        work()
        took.append(1000 * (time.process_time() - started))
    return took


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    task = load_task("story-cpu")
    mine, theirs = edit(task, BASELINE, 0.9), edit(task, BASELINE, 0.5)
    both = edit(task, mine, 0.5)
    print(machine())
    print(figure("the program", "bytes", [len(task.files["train.py"].encode())]))
    first, second = record_of(task, BASELINE, theirs), record_of(task, mine, both)
    print(figure("a result that edits it", "bytes", [len(first.raw)]))
    print(figure("a result that edits an edit of it", "bytes", [len(second.raw)]))

    def taken() -> None:
        result = read(second)
        assert read_experiment(task, (second.time_ms, second.id), second.author, result) is not None  # type: ignore[arg-type]

    print(figure("read as evidence", "ms of CPU", milliseconds(taken, runs)))
    change = change_between(task, BASELINE, theirs)
    print(
        figure(
            "merged onto the own best",
            "ms of CPU",
            milliseconds(lambda: apply_change(task, mine, change), runs),
        )
    )

    rng = random.Random(1)
    worst = ["".join(f"{rng.randrange(120)}\n" for _ in range(MAX_LINES)) for _ in range(3)]

    def refused() -> None:
        try:
            merge("train.py", *worst)
        except MergeConflict:
            return

    print(figure("the worst texts of a stranger, refused", "ms of CPU", milliseconds(refused, 3)))


if __name__ == "__main__":
    main()
