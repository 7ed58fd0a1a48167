"""How fast climbmix-gpu's baseline trains on this machine's graphics card, in one call.

    python -m bench.gpu [--seconds 60] [--runs 3]       a CUDA card; compared with the mark to beat
    python -m bench.gpu --device cpu --seconds 5        a tiny model on the CPU: tests this script and no more

The task's own program runs as a trial does, with its own settings, on synthetic tokens of random documents, so nothing
is downloaded. What an edit or another setting gains is measured with --set KNOB=VALUE, as often as wanted.

The mark: karpathy/autoresearch's baseline on one H100 SXM, 499.6 M tokens in 300 s and 39.8 % MFU as it counts, which
is as we count (its published run).
"""

import argparse
import ast
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import trio

from bench.figures import figure, machine, skip
from trainer.device import detect
from trainer.errors import TrainerError
from trainer.knobs import rewrite
from trainer.recipe import make_recipe, materialise
from trainer.task import Budget, Task, load_task
from trainer.trial import Trial, run_trial

MARK_TOKENS_PER_SECOND: Final = 1.67e6
MARK_MFU: Final = 39.8
VOCABULARY: Final = 8192
TINY: Final = {
    "DEPTH": 2,
    "WIDTH": 64,
    "HEADS": 2,
    "SEQ_LEN": 128,
    "SHORT_WINDOW": 32,
    "BATCH_SIZE": 8,
    "DEVICE_BATCH": 4,
}
"""Constants of the model on a CPU, far below what the task allows."""


def synthetic(folder: Path, tokens: int, rows: int) -> None:
    """Data in the form that prepare.py makes: random documents of 20 to 3,000 tokens, and held-out rows."""
    random = np.random.default_rng(0)
    lengths = random.lognormal(6.0, 1.0, tokens // 600).astype(np.int64).clip(20, 3000)
    starts = np.cumsum([0, *lengths], dtype=np.int64)
    text = random.integers(4, VOCABULARY, starts[-1], dtype=np.uint16)
    text[starts[:-1]] = 0
    np.save(folder / "train.npy", text)
    np.save(folder / "train_starts.npy", starts)
    np.save(folder / "val_rows.npy", random.integers(4, VOCABULARY, (rows, 2049), dtype=np.uint16))
    np.save(folder / "token_bytes.npy", np.array([0] * 4 + [4] * (VOCABULARY - 4), dtype=np.uint8))


async def measure(task: Task, files: dict[str, str], device: str, seconds: float, runs: int) -> list[Trial]:
    """Trials of a program on synthetic tokens, so many seconds of training each."""
    with tempfile.TemporaryDirectory(prefix="arnode-bench-") as name:
        data = Path(name) / "data"
        data.mkdir()
        large = device != "cpu"
        synthetic(data, 200_000_000 if large else 500_000, 160 if large else 1)
        budget = Budget(kind="seconds", amount=seconds)
        return [
            await run_trial(
                task, files, seed, workspace=Path(name), data=data, device=device, threads=1, budget=budget,
                on_progress=lambda p: print(f"\r{100 * p.fraction:3.0f} %, {p.tokens_per_second or 0:,.0f} tokens/s  ",
                                            end="", file=sys.stderr, flush=True),
            )
            for seed in range(runs)
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training in each run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--set", metavar="KNOB=VALUE", action="append", default=[], help="other than the baseline")
    asked = parser.parse_args()
    if asked.device == "cuda" and detect().kind != "cuda":
        skip(f"no CUDA card that torch {detect().torch} can use (--device cpu tests this script)")
    task = load_task("climbmix-gpu")
    try:
        settings = {knob: ast.literal_eval(value) for knob, _, value in (text.partition("=") for text in asked.set)}
        files = materialise(task, make_recipe(task, settings))
    except (TrainerError, ValueError, SyntaxError) as error:
        sys.exit(f"--set: {error}")
    if asked.device == "cpu":
        files["train.py"] = rewrite(files["train.py"], TINY)
    print(machine())
    trials = trio.run(measure, task, files, asked.device, asked.seconds, asked.runs)
    print(file=sys.stderr)
    for trial in trials:
        if trial.status != "ok":
            sys.exit(f"seed {trial.seed}: {trial.status}: {trial.reason}")
    report(trials)


def report(trials: list[Trial]) -> None:
    def values(name: str) -> list[float]:
        return [trial.metrics[name] for trial in trials if name in trial.metrics]

    speeds, mfu = values("tokens_per_second"), values("mfu_percent")
    print(figure("parameters", "", values("num_params")))
    print(figure("tokens a second", "tokens/s", speeds))
    print(figure("model FLOP/s", "TFLOP/s", values("tflops_per_second")))
    if mfu:
        print(figure("MFU", "%", mfu, better="higher", kind="wall"))
    else:
        print("MFU: unknown, this device's peak is not in trainer/gpt/accelerator.py")
    print(figure("peak memory", "MiB", values("peak_memory_mb")))
    print(figure("compiling and warming up", "s", values("warm_up_seconds")))
    print(figure("training", "s", values("training_seconds")))
    print(figure("steps", "", values("num_steps")))
    print(figure("evaluation", "s", values("eval_seconds")))
    print(figure("all of a trial", "s", [trial.seconds for trial in trials]))
    print(figure("against the mark, tokens a second", "%", [100 * v / MARK_TOKENS_PER_SECOND for v in speeds]))
    if mfu:
        print(figure("against the mark, MFU", "%", [100 * v / MARK_MFU for v in mfu]))


if __name__ == "__main__":
    main()
