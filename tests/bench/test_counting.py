"""Counted costs: the same each time, in every process, and a planted slowdown is seen."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from bench.baseline import Run
from bench.compare import compare
from bench.counting import Counted, counted, statements
from bench.running import ROOT
from gossip.identity import new_identity
from gossip.log import Log
from tests.bench.test_compare import run_of
from tests.gossip.nodes import record

COUNT_ONE = """
from agent.judge import judge
from agent.noise import PairedNoise
from bench.counting import counted
print(counted(lambda: judge([1.0, 2.0, 1.5], PairedNoise(1.4, 2), minimum=0.5)).bytecodes)
"""


def sorted_once(values: list[int]) -> int:
    return sum(value * value for value in sorted(values))


def sorted_with_care(values: list[int]) -> int:
    """The planted slowdown: every twentieth value is looked at once more."""
    return sorted_once(values) + sum(value for value in values[::20] if value < 0)


def cost_of(work: Callable[[list[int]], int]) -> Run:
    values = list(range(400))
    counts = [float(counted(lambda: work(values)).bytecodes) for _ in range(3)]
    return run_of(counts, "steps")


def test_the_same_work_has_the_same_count_and_a_planted_slowdown_of_a_few_percent_is_worse() -> None:
    before = cost_of(sorted_once)
    assert compare("it", cost_of(sorted_once), before).verdict == "same"
    slower = compare("it", cost_of(sorted_with_care), before)
    assert slower.verdict == "worse"
    assert slower.change is not None
    assert 0.01 < slower.change < 0.2


def test_nothing_costs_nothing() -> None:
    with Counted() as count:
        pass
    assert (count.bytecodes, count.calls) == (0, 0)


def test_two_processes_count_the_same() -> None:
    told = [
        subprocess.run([sys.executable, "-c", COUNT_ONE], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert told[0] == told[1]
    assert int(told[0]) > 100


def test_work_in_a_thread_that_it_starts_counts_too() -> None:
    def in_thread() -> None:
        thread = threading.Thread(target=sorted_once, args=(list(range(1000)),))
        thread.start()
        thread.join()

    assert counted(in_thread).bytecodes > counted(lambda: sorted_once(list(range(1000)))).bytecodes


def test_a_batch_of_records_takes_fewer_statements_and_steps_than_the_same_one_by_one(tmp_path: Path) -> None:
    me = new_identity()
    with Log(tmp_path / "log") as log:
        with statements(log.file.connection) as together:
            log.append([record(me, text=str(number)) for number in range(10)])
        with statements(log.file.connection) as apart:
            for number in range(10, 20):
                log.append([record(me, text=str(number))])
    assert together.statements == 6
    assert apart.statements == 30
    assert apart.steps > together.steps > 0
