"""Small real tasks for the trainer's tests: a few lines of Python that run as subprocesses."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import psutil

from trainer.task import Budget, Data, Knob, Limits, Metric, Task

PROGRAM = """\
# a toy program
SIZE = 2**4  # a power, as in autoresearch
RATE = 1e-3
NAME = "plain"
FAST = False

print("---")
print("score:", SIZE * RATE)
"""

KNOBS = (
    Knob(name="SIZE", type="int", low=1, high=1024, log=True, default=16),
    Knob(name="RATE", type="float", low=0.0, high=1.0, default=0.001),
    Knob(name="NAME", type="choice", choices=("plain", 'quo"ted', "üñí"), default="plain"),
    Knob(name="FAST", type="bool", default=False),
)


def toy_task(
    program: str = PROGRAM,
    *,
    knobs: tuple[Knob, ...] = (),
    fixed: Mapping[str, str] | None = None,
    data: Data | None = None,
    direction: str = "minimize",
    **limits: float,
) -> Task:
    """A task whose `train.py` is `program`; limits default to 20 s, 400 MB and 100 kB of output."""
    bounds = {"wall_seconds": 20, "memory_mb": 400, "output_bytes": 100_000} | limits
    return Task(
        name="toy",
        title="a toy",
        metric=Metric.model_validate({"name": "score", "direction": direction, "noise": 0.1}),
        budget=Budget(kind="flops", amount=1e6),
        limits=Limits.model_validate(bounds),
        knobs={knob.name: knob for knob in knobs},
        files={"train.py": dedent(program), **(fixed or {})},
        editable=("train.py",),
        command=("{python}", "train.py"),
        data=data,
    )


KNOB_TASK = toy_task(knobs=KNOBS)


def running(pids: list[int]) -> list[int]:
    """Those of the processes that still run; one that ended and was not collected yet does not."""
    alive = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                alive.append(pid)
        except psutil.NoSuchProcess:
            continue
    return alive


def pids_in(folder: Path) -> list[int]:
    """The process ids for which toy programs left a file named after them."""
    return [int(path.name) for path in folder.iterdir()]
