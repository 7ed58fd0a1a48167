"""An unmodified autoresearch checkout as a task: a stub of the same shape, whose train.py prints the same lines.

Real processes run it, through a stand-in for `uv` that starts the checkout's own environment, as `uv run` does.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.errors import SandboxError, TaskError
from trainer.integrity import level
from trainer.output import Progress
from trainer.recipe import BASELINE, make_recipe, materialise
from trainer.sandbox import Sandbox, find_sandbox
from trainer.task import Knob, Task, load_task
from trainer.trial import Trial, run_trial

PREPARE = """\
import os

MAX_SEQ_LEN = 2048
TIME_BUDGET = 7
EVAL_TOKENS = 40 * 524288
CACHE_DIR = os.path.join(os.path.expanduser("~"), ".cache", "autoresearch")


def evaluate_bpb(loss):
    with open(os.path.join(CACHE_DIR, "tokens.txt")) as file:
        return loss / len(file.read())
"""

TRAIN = '''\
"""
Autoresearch pretraining script. Single-GPU, single-file.
Usage: uv run train.py
"""

import random
import sys

from prepare import MAX_SEQ_LEN, TIME_BUDGET, evaluate_bpb

# Model architecture
ASPECT_RATIO = 64       # model_dim = depth * ASPECT_RATIO
HEAD_DIM = 128          # target head dimension for attention
WINDOW_PATTERN = "SSSL" # sliding window pattern: L=full, S=half context

# Optimization
TOTAL_BATCH_SIZE = 2**19 # ~524K tokens per optimizer step
EMBEDDING_LR = 0.6
WEIGHT_DECAY = 0.2
ADAM_BETAS = (0.8, 0.95)
WARMUP_RATIO = 0.0
DEPTH = 8
DEVICE_BATCH_SIZE = 128

H100_BF16_PEAK_FLOPS = 989.5e12


class torch:
    @staticmethod
    def manual_seed(seed):
        random.seed(seed)


torch.manual_seed(42)
if DEPTH > 12:
    print("FAIL")
    exit(1)
for step in range(20):
    print(f"\\rstep {step:05d} ({100 * step / 20:.1f}%) | loss: {9 - step / 10:.6f} | lrm: 1.00 | dt: 318ms | "
          f"tok/sec: 1,650,000 | mfu: 39.8% | epoch: 1 | remaining: {TIME_BUDGET}s    ", end="", flush=True)
print()
val_bpb = evaluate_bpb(10 / DEPTH + random.random() / 1000)
print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {300.1:.1f}")
print(f"total_seconds:    {325.9:.1f}")
print(f"peak_vram_mb:     {45060.2:.1f}")
print(f"mfu_percent:      {39.80:.2f}")
print(f"total_tokens_M:   {499.6:.1f}")
print(f"num_steps:        {953}")
print(f"num_params_M:     {50.3:.1f}")
print(f"depth:            {DEPTH}")
'''

UV = '#!/bin/sh\n[ "$UV_NO_SYNC$1" = 1run ] || exit 9\nshift\nexec "$UV_PROJECT_ENVIRONMENT/bin/python" "$@"\n'


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that was set up: `uv sync` and `uv run prepare.py` were run."""
    home, folder, programs = tmp_path / "home", tmp_path / "autoresearch", tmp_path / "bin"
    (home / ".cache/autoresearch").mkdir(parents=True)
    (home / ".cache/autoresearch/tokens.txt").write_text("tokens")
    (home / "secret").write_text("mine")
    for made in (folder, programs):
        made.mkdir()
    (folder / "prepare.py").write_text(PREPARE)
    (folder / "train.py").write_text(TRAIN)
    (folder / "program.md").write_text("This is an experiment to have the LLM do its own research.\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "autoresearch"\nversion = "0.1.0"\n')
    (programs / "uv").write_text(UV)
    (programs / "uv").chmod(0o755)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    # as uv does it: the environment's Python is a link into a folder that is a link to the release
    python = folder / ".venv/bin/python"
    (home / "pythons").mkdir()
    (home / "pythons/cpython-3").symlink_to(sys.base_prefix)
    python.unlink()
    python.symlink_to(home / "pythons/cpython-3/bin" / f"python3.{sys.version_info.minor}")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return folder


async def run(task: Task, tmp_path: Path, *, seed: int = 1, sandbox: Sandbox | None = None, **knobs: object) -> Trial:
    files = materialise(task, make_recipe(task, knobs))
    return await run_trial(task, files, seed, workspace=tmp_path / "work", data=None, sandbox=sandbox)


def test_its_constants_become_knobs_with_ranges_and_its_metric_and_budget_are_read(checkout: Path) -> None:
    task = load_task(checkout)
    assert (task.metric.name, task.metric.direction) == ("val_bpb", "minimize")
    assert (task.budget.kind, task.budget.amount) == ("seconds", 7)
    assert task.editable == ("train.py",)
    assert task.instructions.startswith("This is an experiment")
    assert task.command[-3:] == ("uv", "run", "train.py")
    ranges = {name: knob.choices or (knob.low, knob.high, knob.log) for name, knob in task.knobs.items()}
    assert ranges == {
        "ASPECT_RATIO": (32, 128, True),
        "HEAD_DIM": (32, 64, 128, 256, 512),
        "WINDOW_PATTERN": ("L", "SL", "SSL", "SSSL"),
        "TOTAL_BATCH_SIZE": (2**17, 2**18, 2**19, 2**20, 2**21),
        "EMBEDDING_LR": (0.06, 6.0, True),
        "WEIGHT_DECAY": (0.0, 1.0, False),
        "WARMUP_RATIO": (0.0, 1.0, False),
        "DEPTH": (4, 16, False),
        "DEVICE_BATCH_SIZE": (32, 64, 128, 256, 512),
    }


@pytest.mark.parametrize(
    ("line", "devices"),
    [
        ('device = torch.device("cuda")', ("cuda",)),
        ("import mlx.core as mx", ("mps",)),
        ("torch.cuda.is_available() or torch.backends.mps.is_available()", ("cuda", "mps")),
        ("json.dumps(1)", ("cpu",)),
    ],
)
def test_the_device_that_it_is_for_is_read_from_the_program(
    checkout: Path, line: str, devices: tuple[str, ...]
) -> None:
    (checkout / "train.py").write_text(f"{TRAIN}\n{line}\n")
    assert load_task(checkout).devices == devices


def test_its_values_are_reported(checkout: Path) -> None:
    assert level(load_task(checkout), BASELINE) == "reported"


def test_where_it_lies_does_not_matter_and_what_it_says_does(checkout: Path, tmp_path: Path) -> None:
    task = load_task(checkout)
    shutil.copytree(checkout, tmp_path / "elsewhere")
    assert load_task(tmp_path / "elsewhere").fingerprint == task.fingerprint
    (tmp_path / "elsewhere/uv.lock").write_text("version = 1\n")
    assert load_task(tmp_path / "elsewhere").fingerprint != task.fingerprint


async def test_a_trial_gives_the_printed_value_and_follows_the_seed(checkout: Path, tmp_path: Path) -> None:
    task = load_task(checkout)
    first, same, other, deeper = [
        await run(task, tmp_path, seed=seed, **knobs) for seed, knobs in ((1, {}), (1, {}), (2, {}), (1, {"DEPTH": 10}))
    ]
    assert (first.status, first.reason) == ("ok", "")
    assert first.value == same.value != other.value
    assert first.value is not None
    assert deeper.value is not None
    assert deeper.value < first.value
    assert first.metrics["total_tokens"] == 499.6e6
    assert first.metrics["num_params"] == 50.3e6
    assert first.metrics["peak_memory_mb"] == 45060.2
    assert first.metrics["num_steps"] == 953
    files = {".venv", "prepare.py", "program.md", "pyproject.toml", "train.py"}
    assert set(os.listdir(checkout)) == files


async def test_its_ticker_becomes_progress(checkout: Path, tmp_path: Path) -> None:
    task, seen = load_task(checkout), list[Progress]()
    await run_trial(task, task.files, 1, workspace=tmp_path / "work", data=None, on_progress=seen.append)
    assert seen[0] == Progress(0.0, 9.0, 1_650_000.0)


async def test_in_the_sandbox_it_sees_its_environment_and_cache_and_nothing_else_of_the_home(
    checkout: Path, tmp_path: Path
) -> None:
    try:
        sandbox = find_sandbox()
    except SandboxError as error:
        pytest.skip(str(error))
    task = load_task(checkout)
    inside, outside = await run(task, tmp_path, sandbox=sandbox), await run(task, tmp_path)
    assert (inside.status, inside.reason) == ("ok", "")
    assert inside.value == outside.value
    looking = TRAIN.replace("import random\n", 'import random, os; open(os.path.expanduser("~/secret"))\n')
    looked = await run_trial(
        task, task.files | {"train.py": looking}, 1, workspace=tmp_path / "work", data=None, sandbox=sandbox
    )
    assert (looked.status, "No such file" in looked.reason) == ("crash", True)


@pytest.mark.parametrize("place", ["home/bin", "bin"])
def test_a_python_in_the_home_folder_or_above_does_not_let_all_of_it_be_seen(
    checkout: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    shutil.copy(sys.executable, tmp_path / place / "python3")
    (checkout / ".venv/bin/python").unlink()
    (checkout / ".venv/bin/python").symlink_to(tmp_path / place / "python3")
    seen = load_task(checkout).setup.folders
    assert not any((tmp_path / "home/secret").is_relative_to(folder) for folder in seen)


async def test_a_loss_that_fails_is_told_from_a_crash(checkout: Path, tmp_path: Path) -> None:
    trial = await run(load_task(checkout), tmp_path, DEPTH=16)
    assert (trial.status, trial.reason) == ("nan", "the loss was not finite, or above 100")


async def test_a_checkout_that_was_not_set_up_is_told_what_to_run(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    trial = await run(load_task(checkout), tmp_path)
    assert trial.status == "crash"
    assert "run `uv sync` in the checkout" in trial.reason


def test_a_folder_of_that_shape_that_prints_no_val_bpb_is_refused(checkout: Path) -> None:
    (checkout / "train.py").write_text("print('loss: 3')\n")
    with pytest.raises(TaskError, match=r"train\.py: prints no line `val_bpb"):
        load_task(checkout)


def test_a_folder_of_no_known_shape_is_refused_with_the_shapes(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"holds no task: no task\.toml, no task\.json.*arnode task new"):
        load_task(tmp_path)


@pytest.mark.parametrize("text", ["SEED = 3", "EVAL_STEPS = 5", "X = (1, 2)", 'MODE = "fast"', "N = 0", "small = 1"])
def test_what_is_no_knob_is_left_alone(checkout: Path, text: str) -> None:
    (checkout / "train.py").write_text(f"{text}\nprint('val_bpb:', 1)\n")
    assert load_task(checkout).knobs == {}


@pytest.mark.parametrize("value", ["1", "3", "1024", "0.5", "1e-12", "0.0", "-3.0", "True", '"L"', "9e14"])
def test_a_guessed_range_holds_the_programs_own_value(checkout: Path, value: str) -> None:
    (checkout / "train.py").write_text(f"BATCH_RATE = {value}\nprint('val_bpb:', 1)\n")
    knob: Knob = load_task(checkout).knobs["BATCH_RATE"]
    assert knob.check(knob.default) == knob.default
