"""A checkout of karpathy/autoresearch as a task, unmodified.

The program is `train.py` with `prepare.py` beside it. Its constants are the knobs, the `val_bpb` that it prints is the
metric, `TIME_BUDGET` of `prepare.py` is the budget. What it needs besides is this machine's: the checkout's
environment (`.venv`, made by `uv sync`), and the data and kernels in the home folder's cache. A trial reads those where
they are; in a sandbox they are the only part of the home folder that it sees, and it sees them read-only.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Final

from trainer import knobs as constants
from trainer.adapters import run_autoresearch
from trainer.adapters.guess import guess_knobs
from trainer.adapters.reading import read_text, source_of
from trainer.errors import KnobError, TaskError
from trainer.schema import Budget, DeviceKind, Limits, Metric, Setup
from trainer.task import Task

SHAPE: Final = ("prepare.py", "train.py", "program.md")
"""What makes a folder a checkout."""
ALSO: Final = ("pyproject.toml", "uv.lock", ".python-version")
"""What decides which software it runs on, where it is there."""
RUNNER: Final = "arnode_run.py"
METRIC: Final = "val_bpb"
SECONDS: Final = 300
NOISE: Final = 0.001
LIMITS: Final = {"memory_mb": 64_000, "output_bytes": 4_000_000, "disk_mb": 8_000, "processes": 256}
DEVICES: Final[dict[DeviceKind, str]] = {"cuda": r"\bcuda\b", "mps": r"\b(mps|mlx)\b"}
"""What in train.py says which device it is for; one that says nothing of the kind runs on the processor."""
STARTUP_SECONDS: Final = 900
"""To import, compile, and evaluate; outside of its own budget."""


def is_checkout(folder: Path) -> bool:
    """Whether the folder has the shape of an autoresearch checkout."""
    return all((folder / name).is_file() for name in SHAPE)


def read_checkout(folder: Path) -> Task:
    """The task of a checkout. Raises TaskError, which names the file and what to do."""
    folder = folder.resolve()
    files = {name: read_text(folder / name) for name in ("prepare.py", "train.py")}
    files |= {name: read_text(folder / name) for name in ALSO if (folder / name).is_file()}
    if f"{METRIC}:" not in files["train.py"]:
        raise TaskError(
            f"{folder / 'train.py'}: prints no line `{METRIC}: ...`, as autoresearch's does; for another program, "
            "write a task.toml for it (`arnode task new NAME` shows how)"
        )
    seconds = _time_budget(folder / "prepare.py", files["prepare.py"])
    return Task(
        name="autoresearch",
        title=f"autoresearch: {METRIC} after {seconds:g} s of training",
        metric=Metric(name=METRIC, direction="minimize", unit="bits per byte", noise=NOISE),
        budget=Budget(kind="seconds", amount=seconds),
        limits=Limits.model_validate(LIMITS | {"wall_seconds": 2 * seconds + STARTUP_SECONDS}),
        knobs=guess_knobs({"train.py": files["train.py"]}),
        files=files | {RUNNER: source_of(run_autoresearch)},
        editable=("train.py",),
        command=("{python}", RUNNER, "uv", "run", "train.py"),
        instructions=read_text(folder / "program.md"),
        reported=True,
        setup=_setup(folder),
        devices=tuple(kind for kind, said in DEVICES.items() if re.search(said, files["train.py"])) or ("cpu",),
    )


def _time_budget(file: Path, source: str) -> float:
    try:
        seconds = constants.read(source).get("TIME_BUDGET", SECONDS)
    except KnobError as error:
        raise TaskError(f"{file}: {error}") from error
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else float(SECONDS)


def _setup(folder: Path) -> Setup:
    home = Path.home()
    environment = folder / ".venv"
    uv = shutil.which("uv")
    wanted = [environment, *_interpreters(environment), home / ".cache/autoresearch", home / ".cache/huggingface"]
    wanted += [Path(uv)] if uv else []
    variables = {
        "HOME": str(home),
        "UV_PROJECT_ENVIRONMENT": str(environment),
        "UV_NO_SYNC": "1",  # the environment is used as it is; a trial has no network to change it
        "UV_OFFLINE": "1",
        "UV_NO_CACHE": "1",
        "HF_HUB_OFFLINE": "1",  # attention kernels come from the cache
    }
    return Setup(variables=variables, folders=tuple(path for path in wanted if path.exists()))


def _interpreters(environment: Path) -> list[Path]:
    """The folder of the Python that the environment was made from, by each name on the way: uv links by version."""
    found: list[Path] = []
    python = environment / "bin" / "python"
    while python.is_symlink():
        python = Path(os.path.normpath(python.parent / os.readlink(python)))
        found.append(python.parent.parent)
    found.append(python.resolve().parent.parent)
    # a Python at /bin or ~/bin must not let all of the machine or the home folder be seen; /usr is seen anyway
    home = Path.home().resolve()
    return [path for path in dict.fromkeys(found) if path != Path("/usr") and not home.is_relative_to(path.resolve())]
