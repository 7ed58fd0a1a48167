"""A tiny task that is scored by predictions, and programs for it: one that is honest, and many that cheat."""

import math
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import numpy as np

from tests.trainer.toys import toy_task
from trainer.schema import Evaluate
from trainer.task import Task

VOCABULARY = 8
WINDOW = 16
HONEST = '''\
"""Guesses the next token by how often it followed in training."""

import os
from pathlib import Path

import numpy as np

WINDOW = 16
VOCABULARY = 8


def train(out):
    tokens = np.load(Path(os.environ["ARNODE_DATA"]) / "train.npy")
    counts = np.ones((VOCABULARY, VOCABULARY), dtype=np.float32)
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    with open(out, "wb") as file:
        np.save(file, np.log(counts))
    print("---")
    print("num_params:", counts.size)


def predictor(path):
    table = np.load(path)
    return lambda tokens: table[tokens]


def main():
    """The task's own way to its value, by its own word."""
    train("model.npy")
    table = np.load("model.npy").astype(float)
    odds = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
    data = Path(os.environ["ARNODE_DATA"])
    tokens, starts = np.load(data / "val.npy"), np.load(data / "val_starts.npy")
    inner = ~np.isin(np.arange(1, len(tokens)), starts)
    bits = -np.log2(odds[tokens[:-1], tokens[1:]])[inner].sum()
    print("score:", repr(float(bits / np.load(data / "token_bytes.npy")[tokens].astype(int).sum())))


if __name__ == "__main__":
    main()
'''

PEEKING = """
def predictor(path):
    table = np.load(path)
    def predict(tokens):
        logits = table[tokens]
        rows, places = np.nonzero({where})
        following = tokens[rows, places + 1]
        logits[rows, places, following] += 20
        return logits
    return predict
"""
"""A predictor that looks at the next token where `{where}` is true, of all places but the last of each row."""


def text(documents: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Documents of 3 to 40 tokens in which a token mostly follows from the one before; and where each starts."""
    sizes = rng.integers(3, 41, documents)
    tokens = []
    for size in sizes:
        token = int(rng.integers(VOCABULARY))
        for _ in range(size):
            tokens.append(token)
            token = (3 * token + 1) % VOCABULARY if rng.random() < 0.7 else int(rng.integers(VOCABULARY))
    return np.array(tokens, dtype=np.uint16), np.concatenate([[0], np.cumsum(sizes)])


def write_data(folder: Path, documents: int = 250) -> Path:
    """The task's data, in a new folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    np.save(folder / "train.npy", text(500, rng)[0])
    tokens, starts = text(documents, rng)
    np.save(folder / "val.npy", tokens)
    np.save(folder / "val_starts.npy", starts)
    np.save(folder / "token_bytes.npy", np.array([1, 2, 3, 1, 2, 3, 1, 2], dtype=np.uint8))
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o755)
    return folder


def guessing_task(**limits: float) -> Task:
    """The task; limits as for `toy_task`, and `seconds`, `positions` and `model_mb` of the evaluation."""
    chosen = {key: limits.pop(key) for key in ("seconds", "positions", "model_mb") if key in limits}
    how = {"tokens": "val.npy", "starts": "val_starts.npy", "token_bytes": "token_bytes.npy", "window": "WINDOW"}
    evaluate = Evaluate.model_validate(how | {"hidden": ["answers.py"], "seconds": 20.0} | chosen)
    fixed = {"answers.py": "HELD_OUT = 42\n", "score.py": "def evaluate():\n    return 1.0\n"}
    return toy_task(HONEST, fixed=fixed, **limits).model_copy(update={"evaluate": evaluate})


def files_of(task: Task, more: str) -> dict[str, str]:
    """The honest program with more text at its end: later definitions replace earlier ones."""
    return {**task.files, "train.py": HONEST + "\n\n" + dedent(more)}


def honest_value(data: Path) -> float:
    """The honest program's bits per byte, by plain loops."""
    counts = np.ones((VOCABULARY, VOCABULARY))
    for a, b in pairwise(np.load(data / "train.npy").tolist()):
        counts[a, b] += 1
    tokens, starts = np.load(data / "val.npy").tolist(), np.load(data / "val_starts.npy").tolist()
    bits = 0.0
    for start, end in pairwise(starts):
        for a, b in pairwise(tokens[start:end]):
            bits -= math.log2(counts[a, b] / counts[a].sum())
    return bits / int(np.load(data / "token_bytes.npy")[tokens].sum())
