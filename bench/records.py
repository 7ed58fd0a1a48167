"""What records cost: checked and stored per second on one core, and their size.

    python -m bench.records [RECORDS] [RUNS]

A record is checked as a stranger's: form, canonical encoding, clock, signature, body. It is then appended to a log on
disk in batches, as sync does, or one by one, as gossip may; each append is on disk when it returns.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agent.entries import BudgetBody, Pair, RecipeBody, Result, check, write
from bench.figures import figure, machine
from gossip.identity import new_identity
from gossip.log import Log
from gossip.record import Record, decode
from trainer.device import detect
from trainer.recipe import BASELINE, make_recipe, materialise, program_sha256, recipe_id
from trainer.task import load_task

BATCH = 100
NOW = 1_700_000_000_000


def typical_results(count: int) -> list[Record]:
    """Results of `story-cpu` as a node writes them: five knobs away from the baseline, two seeds."""
    task, me, device = load_task("story-cpu"), new_identity(), detect()
    recipe = make_recipe(
        task, {"INIT": "normal", "NORM": "rmsnorm", "MATRIX_LR": 0.003, "DEPTH": 2, "ACTIVATION": "relu2"}
    )
    program = program_sha256(materialise(task, recipe))
    records = []
    for number in range(count):
        pairs = [Pair(seed=1_234_567_890 + i, candidate=2.1234567890123 + number / 1e7, parent=2.3) for i in range(2)]
        result = Result(
            candidate=RecipeBody(knobs=dict(recipe.knobs)),
            parent=recipe_id(BASELINE),
            change={"INIT": ("default", "normal")},
            pairs=pairs,
            verdict="keep",
            effect=0.1765432109876,
            interval=(0.15, 0.2),
            budget=BudgetBody(kind=task.budget.kind, amount=task.budget.amount),
            integrity="trusted",
            device_class=device.device_class,
            device=device.name,
            seconds=21.5,
            tokens=198_656,
            steps=97,
            parameters=550_000,
            peak_memory_mb=412.5,
            versions=device.software,
            program=program,
            hypothesis="INIT normal instead of default: not tried yet here, promising on cpu",
            proposer="search",
            inspired_by=[bytes(32)],
        )
        records.append(write(me, task.fingerprint, NOW + number, result))
    return records


def rate(work: Callable[[], object], count: int) -> float:
    """How many a second, by the processor time of this process."""
    started = time.process_time()
    work()
    return count / (time.process_time() - started)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    records = typical_results(count)
    raws = [record.raw for record in records]
    print(machine())
    print(figure("typical result", "bytes", [len(raw) for raw in raws]))

    def checked() -> list[Record]:
        found = [decode(raw, NOW + count) for raw in raws]
        for record in found:
            check(record)
        return found

    def stored(log: Log) -> None:
        found = checked()
        for start in range(0, count, BATCH):
            log.append(found[start : start + BATCH])

    print(figure("checked", "records per CPU second", [rate(checked, count) for _ in range(runs)]))
    rates, walls = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder, Log(Path(folder) / "log") as log:
            started = time.perf_counter()
            rates.append(rate(lambda log=log: stored(log), count))  # type: ignore[misc]
            walls.append(count / (time.perf_counter() - started))
    print(figure(f"checked and stored, {BATCH} a batch", "records per CPU second", rates))
    print(figure(f"checked and stored, {BATCH} a batch", "records per second", walls))
    singles = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder, Log(Path(folder) / "log") as log:
            started = time.perf_counter()
            for raw in raws[:200]:
                record = decode(raw, NOW + count)
                check(record)
                log.append([record])
            singles.append(200 / (time.perf_counter() - started))
    print(figure("checked and stored one by one", "records per second", singles))


if __name__ == "__main__":
    main()
