"""Prepares the data of the task, and holds what no recipe may change: how data is read and how it is scored.

`python prepare.py` fills the folder ARNODE_DATA (default: a cache folder of the user) with

    train.npy, val.npy                uint16 tokens, story after story; each story starts with the token STORY
    train_starts.npy, val_starts.npy  int64, the index of each story's first token, and one more: the end
    token_bytes.npy                   uint8, how many bytes of text each token stands for (STORY: none)
    tokenizer.json                    byte-level BPE, for whoever wants to read samples

and prints the SHA-256 over these files. Training and held-out stories come from seeds that never meet. The
tokenizer learns from the first training stories alone; its merges are decided by counts with ties broken by
token id, so they are the same on every machine.
"""

import hashlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

VOCAB_SIZE = 1024
STORY = 0  # the token before each story
TRAIN_STORIES, TRAIN_SEED = 16_000, 1 << 32
VAL_STORIES, VAL_SEED = 150, 2 << 32
TOKENIZER_STORIES = 3_000
SCORE_TOKENS = 2_048  # tokens per forward pass of the evaluation, padding included


class Split(NamedTuple):
    """Stories as tokens: story i is tokens[starts[i]:starts[i + 1]]."""

    tokens: "np.ndarray[tuple[int], np.dtype[np.uint16]]"
    starts: "np.ndarray[tuple[int], np.dtype[np.int64]]"


def data_folder() -> Path:
    """Where the data is: ARNODE_DATA, or a cache folder of the user when the program is run by hand."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "arnode-story-gpt"
    return Path(os.environ.get("ARNODE_DATA", default))


def load(name: str) -> Split:
    """Open a split, "train" or "val", without reading it into memory.

    Raises SystemExit when the data is not there yet.
    """
    folder = data_folder()
    try:
        return Split(np.load(folder / f"{name}.npy", mmap_mode="r"), np.load(folder / f"{name}_starts.npy"))
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: run `python prepare.py` first")


def evaluate_bpb(
    logits_of: Callable[["torch.Tensor"], "torch.Tensor"], seq_len: int, device: "torch.device"
) -> float:
    """Bits per byte of the held-out stories.

    Each story is scored from its own beginning, given the token STORY, in windows of at most seq_len tokens;
    what a window cannot see it cannot use. logits_of takes tokens (rows, length) and returns logits (rows,
    length, vocabulary), and must be causal: short rows are padded at their end.
    """
    import torch
    from torch.nn.functional import cross_entropy

    val = load("val")
    windows = [
        (first, min(first + seq_len, end - 1))
        for start, end in zip(val.starts[:-1].tolist(), val.starts[1:].tolist(), strict=True)
        for first in range(start, end - 1, seq_len)
    ]
    windows.sort(key=lambda window: window[1] - window[0])  # rows of one pass have about one length
    tokens = torch.from_numpy(np.asarray(val.tokens, dtype=np.int64))
    nats = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        while windows:
            length = windows[-1][1] - windows[-1][0]
            rows, windows = windows[-(SCORE_TOKENS // length or 1) :], windows[: -(SCORE_TOKENS // length or 1)]
            x = torch.zeros((len(rows), length), dtype=torch.int64)
            y = torch.full((len(rows), length), -100)
            for row, (first, last) in enumerate(rows):
                x[row, : last - first] = tokens[first:last]
                y[row, : last - first] = tokens[first + 1 : last + 1]
            logits = logits_of(x.to(device)).float()
            losses = cross_entropy(logits.flatten(0, 1), y.to(device).flatten(), ignore_index=-100, reduction="none")
            nats += losses.cpu().double().sum()  # not every accelerator has float64
    text_bytes = int(np.load(data_folder() / "token_bytes.npy").astype(np.int64)[val.tokens].sum())
    return nats.item() / math.log(2) / text_bytes


def prepare(folder: Path) -> dict[str, object]:
    """Write the data into a folder and return what is worth knowing about it."""
    from stories import story
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    started = time.perf_counter()
    train = [story(TRAIN_SEED + i).text for i in range(TRAIN_STORIES)]
    held_out = [story(VAL_SEED + i) for i in range(VAL_STORIES)]
    told = time.perf_counter()

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=["<story>"], initial_alphabet=[], show_progress=False
    )
    tokenizer.train_from_iterator(train[:TOKENIZER_STORIES], trainer)
    learned = time.perf_counter()

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    token_bytes = [0 if token_id == STORY else len(token) for token, token_id in vocabulary]  # ASCII: one sign a byte
    np.save(folder / "token_bytes.npy", np.array(token_bytes, dtype=np.uint8))
    for name, texts in (("train", train), ("val", [s.text for s in held_out])):
        save(folder, name, (encoding.ids for encoding in tokenizer.encode_batch_fast(texts)))
    tokenizer.save(str(folder / "tokenizer.json"))
    encoded = time.perf_counter()
    return {
        "stories_seconds": told - started,
        "tokenizer_seconds": learned - told,
        "encode_seconds": encoded - learned,
        "train_bytes": sum(map(len, train)),
        "val_bytes": sum(len(s.text) for s in held_out),
        "val_floor_bpb": sum(s.bits for s in held_out) / sum(len(s.text) for s in held_out),
        "data_sha256": digest(folder),
    }


def save(folder: Path, name: str, stories: Iterable[list[int]]) -> None:
    """Write one split: its tokens and where each story starts."""
    marked = [[STORY, *ids] for ids in stories]
    np.save(folder / f"{name}.npy", np.array([token for ids in marked for token in ids], dtype=np.uint16))
    np.save(folder / f"{name}_starts.npy", np.cumsum([0, *map(len, marked)], dtype=np.int64))


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of the arrays, in the order of their names.

    tokenizer.json is left out: its layout belongs to the version of the library, its content is in the arrays.
    """
    sha = hashlib.sha256()
    for path in sorted(folder.glob("*.npy")):
        sha.update(f"{path.name} {path.stat().st_size}\n".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    facts = prepare(data_folder())
    print("---")
    for key, value in facts.items():
        print(f"{key}: {value}")
