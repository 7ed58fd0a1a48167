"""How much the built-in task leaves to discover: the effect of single knobs, and of a good recipe.

    python -m bench.headroom [--quick] [--seeds N] [--noise N] [--only NAME=VALUE ...]

Runs the program as a trial would, one process at a time, each recipe on the same seeds as the baseline. One line
per figure: the recipe, its mean val_bpb, the change against the baseline, and seconds of training. --quick spends a
tenth of the budget on one seed and five recipes, which only shows that everything runs.
"""

import argparse
import ast
import os
import re
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from bench.figures import figure

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "trainer" / "gpt"
BUDGET = tomllib.loads((ROOT / "configs" / "tasks" / "story-cpu.toml").read_text())["budget"]["amount"]

GOOD = (
    "INIT='normal'", "ZERO_PROJECTIONS=True", "NORM='rmsnorm'", "POSITIONS='rope'", "ACTIVATION='relu2'",
    "OPTIMIZER='muon'", "MATRIX_LR=0.01", "EMBEDDING_LR=0.01", "UNEMBEDDING_LR=0.003", "BETA2=0.95", "WARMDOWN=0.5",
    "BATCH_SIZE=4",
)  # fmt: skip
RECIPES: tuple[Sequence[str], ...] = (
    ["INIT='normal'"], GOOD, ["MATRIX_LR=0.003"], ["TIED=True", "INIT='normal'"],  # --quick stops here
    ["INIT='xavier'"], ["INIT='kaiming'"], ["INIT='orthogonal'"], ["SCALED_RESIDUAL=True"], ["ZERO_PROJECTIONS=True"],
    ["NORM='rmsnorm'"], ["NORM='none'"], ["POSITIONS='rope'"], ["QK_NORM=True"], ["ACTIVATION='relu2'"],
    ["ACTIVATION='swiglu'"], ["TIED=True"], ["VALUE_EMBEDS=True"], ["LEARNED_LAMBDAS=True"], ["X0_LAMBDA=0.2"],
    ["LOGIT_SOFTCAP=15.0"], ["WINDOW_PATTERN='SSSL'"], ["DEPTH=2"], ["DEPTH=4"], ["WIDTH=64"], ["WIDTH=128"],
    ["HEADS=2"], ["MLP_RATIO=2"], ["BATCH_SIZE=4"], ["BATCH_SIZE=16"], ["SEQ_LEN=128"], ["OPTIMIZER='muon'"],
    ["EMBEDDING_LR=0.01"], ["UNEMBEDDING_LR=0.003"], ["MATRIX_LR=0.01"], ["SCALAR_LR=0.01"], ["BETA2=0.95"],
    ["WEIGHT_DECAY=0.1"], ["WARMUP=0.1"], ["WARMDOWN=0.5"], ["CLIP=1.0"], ["LABEL_SMOOTHING=0.1"], ["Z_LOSS=0.0001"],
    ["CURRICULUM='length'"], ["CURRICULUM='rarity'"],
)  # fmt: skip


def trial(settings: Sequence[str], seed: int, budget: float, folder: Path, data: Path) -> dict[str, float]:
    """Train once with some knobs set and return what the program reports; {} when it diverged."""
    source = (PROGRAM / "train.py").read_text()
    for setting in settings:
        name, value = setting.split("=", 1)
        ast.literal_eval(value)
        source, found = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", source)
        if not found:
            sys.exit(f"train.py has no knob {name}")
    (folder / "train.py").write_text(source)
    environment = os.environ | {
        "ARNODE_DATA": str(data), "ARNODE_SEED": str(seed), "ARNODE_BUDGET_KIND": "flops",
        "ARNODE_BUDGET": repr(budget), "ARNODE_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROGRAM),
    }  # fmt: skip
    command = [sys.executable, "train.py"]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if run.returncode not in (0, 3):
        sys.exit(run.stderr)
    summary = run.stdout.partition("---\n")[2].splitlines()
    return {name: float(value) for name, value in (line.split(": ") for line in summary)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the budget, one seed, five recipes")
    parser.add_argument("--seeds", type=int, default=1, help="seeds a recipe")
    parser.add_argument("--noise", type=int, default=0, help="only the baseline's deviation, over so many seeds")
    parser.add_argument("--only", nargs="+", metavar="NAME=VALUE", help="one recipe instead of the table")
    options = parser.parse_args()
    budget = BUDGET / 10 if options.quick else BUDGET
    seeds = range(1 if options.quick else options.noise or options.seeds)
    recipes = [] if options.noise else [options.only] if options.only else RECIPES[:4] if options.quick else RECIPES
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), Path(os.environ.get("ARNODE_DATA") or f"{name}/data")
        if not data.exists():
            environment = os.environ | {"ARNODE_DATA": str(data)}
            subprocess.run([sys.executable, PROGRAM / "prepare.py"], env=environment, check=True, capture_output=True)
        baseline = [trial([], seed, budget, folder, data) for seed in seeds]
        base = statistics.mean(run["val_bpb"] for run in baseline)
        spread = "one seed"
        if len(baseline) > 1:
            spread = f"sd {statistics.stdev(run['val_bpb'] for run in baseline):.4f} over {len(baseline)} seeds"
        seconds = statistics.mean(run["training_seconds"] for run in baseline)
        print(f"{figure('baseline', 'bits per byte', [base])}, {spread}, {seconds:.1f} s", flush=True)
        for recipe in recipes:
            runs = [trial(recipe, seed, budget, folder, data) for seed in seeds]
            if not all(runs):
                print(f"{' '.join(recipe)}: diverged", flush=True)
                continue
            mean = statistics.mean(run["val_bpb"] for run in runs)
            seconds = statistics.mean(run["training_seconds"] for run in runs)
            print(f"{' '.join(recipe)}: {mean:.4f} bits per byte, {seconds:.1f} s; ", end="")
            print(figure(f"{' '.join(recipe)} against the baseline", "%", [100 * (mean / base - 1)]), flush=True)


if __name__ == "__main__":
    main()
