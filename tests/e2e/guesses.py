"""A task whose edited code is scored from outside, and an edit of its program that is better."""

from pathlib import Path

import pytest

from trainer.errors import SandboxError
from trainer.sandbox import find_sandbox

DATA = """\
import os
from pathlib import Path

import numpy as np

rng = np.random.default_rng(1)
folder = Path(os.environ["ARNODE_DATA"])
for name, size in (("train", 6000), ("val", 2000)):
    tokens = [0]
    for _ in range(size - 1):
        tokens.append((3 * tokens[-1] + 1) % 8 if rng.random() < 0.7 else int(rng.integers(8)))
    np.save(folder / f"{name}.npy", np.array(tokens, dtype=np.uint16))
np.save(folder / "starts.npy", np.array([0, 900, 2000]))
np.save(folder / "token_bytes.npy", np.ones(8, dtype=np.uint8))
"""
PROGRAM = '''\
"""Guesses a token from how often it came in training."""

import os
from pathlib import Path

import numpy as np

WINDOW = 16
SMOOTHING = 50.0
SKIPPED = 0


def held(name):
    return np.load(Path(os.environ["ARNODE_DATA"]) / name).astype(int)


def train(out):
    tokens = held("train.npy")
    tokens = tokens[SKIPPED + np.random.default_rng(int(os.environ["ARNODE_SEED"])).integers(100) :]
    counts = np.full((8, 8), SMOOTHING, dtype=np.float32)
    counts += np.bincount(tokens, minlength=8)
    with open(out, "wb") as file:
        np.save(file, np.log(counts))


def predictor(path):
    table = np.load(path)
    return lambda tokens: table[tokens]


def main():
    train("model")
    tokens, starts = held("val.npy"), held("starts.npy")
    logits = predictor("model")(tokens)
    losses = np.log2(np.exp(logits).sum(axis=1))[:-1] - logits[np.arange(len(tokens) - 1), tokens[1:]] / np.log(2)
    losses[starts[1:-1] - 1] = 0  # a document's first token follows from nothing
    print("---")
    print("bits:", repr(float(losses.sum() / len(tokens))))


if __name__ == "__main__":
    main()
'''
TASK = """\
name = "guesses"
title = "the next of eight tokens"
[program]
files = ["train.py", "data.py"]
editable = ["train.py"]
command = ["{python}", "train.py"]
[metric]
name = "bits"
direction = "minimize"
noise = 0.001
[budget]
kind = "tokens"
amount = 6000
[limits]
wall_seconds = 60
memory_mb = 1000
output_bytes = 100000
[data]
command = ["{python}", "data.py"]
[evaluate]
tokens = "val.npy"
starts = "starts.npy"
token_bytes = "token_bytes.npy"
window = "WINDOW"
positions = 64
[[knobs]]
name = "SMOOTHING"
type = "float"
low = 0.1
high = 500.0
log = true
[[knobs]]
name = "SKIPPED"
type = "int"
low = 0
high = 4000
"""
COMMON = "    counts += np.bincount(tokens, minlength=8)\n"
FOLLOWING = "    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)\n"
BETTER = PROGRAM.replace(COMMON, FOLLOWING)


def make_guesses(folder: Path) -> Path:
    """Write the task's folder and return it."""
    folder.mkdir()
    for name, text in (("train.py", PROGRAM), ("data.py", DATA), ("task.toml", TASK)):
        (folder / name).write_text(text)
    return folder


def need_full_sandbox() -> None:
    """Skip the test where code of peers cannot run."""
    try:
        found = find_sandbox()
    except SandboxError as error:
        pytest.skip(f"edited code runs in a sandbox only: {error}")
    if not found.fit_for_peers:
        pytest.skip(f"code of peers runs in a full sandbox only: {found.weaker_because}")
