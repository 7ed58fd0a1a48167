"""Prepares ClimbMix for training, and holds what no recipe may change: how data is read and how it is scored.

`python prepare.py` downloads the shards (see shards.py) and fills the folder ARNODE_DATA (default: a cache folder of
the user) with

    train.npy, train_starts.npy   uint16 tokens, document after document, each begun by BOS; where each starts; the end
    val_rows.npy                  uint16 (rows, MAX_SEQ_LEN + 1), packed from the beginning of the held-out shard
    token_bytes.npy               uint8, how many bytes of text each token stands for (BOS and its like: none)
    tokenizer.json                byte-level BPE of 8,192 tokens, learnt from the training shards

and prints the SHA-256 over these arrays. The settings are those of karpathy/autoresearch, so that values are close to
its own; they are not the same number, since the tokenizer is learnt by another library from less text.
"""

import hashlib
import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

VOCAB_SIZE = 8192
BOS, SPECIAL = 0, ("<|bos|>", "<|reserved_1|>", "<|reserved_2|>", "<|reserved_3|>")
MAX_SEQ_LEN = 2048
EVAL_TOKENS = 40 * 524_288
TOKENIZER_CHARS = 250_000_000  # of text that the tokenizer learns from, documents cut after DOCUMENT_CHARS
DOCUMENT_CHARS = 10_000
# Where text is cut before pairs are merged: as GPT-4's tokenizer, but with at most two digits together.
SPLIT = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
SCORE_ROWS = 16  # rows of MAX_SEQ_LEN tokens in a forward pass of the evaluation


class Split(NamedTuple):
    """Documents as tokens: document i is tokens[starts[i]:starts[i + 1]]."""

    tokens: "np.ndarray[tuple[int], np.dtype[np.uint16]]"
    starts: "np.ndarray[tuple[int], np.dtype[np.int64]]"


def data_folder() -> Path:
    """Where the data is: ARNODE_DATA, or a cache folder of the user when the program is run by hand."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "arnode-climbmix-gpt"
    return Path(os.environ.get("ARNODE_DATA", default))


def load(name: str) -> Split:
    """Open the split "train" without reading it into memory. Raises SystemExit when the data is not there yet."""
    folder = data_folder()
    try:
        return Split(np.load(folder / f"{name}.npy", mmap_mode="r"), np.load(folder / f"{name}_starts.npy"))
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: run `python prepare.py` first")


def evaluate_bpb(logits_of: Callable[["torch.Tensor"], "torch.Tensor"], seq_len: int, device: "torch.device") -> float:
    """Bits per byte of the held-out rows, in windows of seq_len tokens, a divisor of MAX_SEQ_LEN.

    Tokens that stand for no text are predicted from but not scored. logits_of takes tokens (rows, length) and returns
    logits (rows, length, vocabulary), and must be causal.
    """
    import torch
    from torch.nn.functional import cross_entropy

    if MAX_SEQ_LEN % seq_len:
        sys.exit(f"SEQ_LEN {seq_len} does not divide the {MAX_SEQ_LEN} tokens of a held-out row")
    val = np.load(data_folder() / "val_rows.npy", mmap_mode="r")
    token_bytes = torch.from_numpy(np.load(data_folder() / "token_bytes.npy").astype(np.int64)).to(device)
    nats, text_bytes = 0.0, 0
    with torch.no_grad():
        for first in range(0, len(val), SCORE_ROWS):
            rows = torch.from_numpy(val[first : first + SCORE_ROWS].astype(np.int64)).to(device)
            x, y = rows[:, :-1].reshape(-1, seq_len), rows[:, 1:].reshape(-1)
            losses = cross_entropy(logits_of(x).float().flatten(0, 1), y, reduction="none")
            sizes = token_bytes[y]
            nats += losses[sizes > 0].cpu().double().sum().item()  # not every accelerator has float64
            text_bytes += int(sizes.sum())
    return nats / math.log(2) / text_bytes


def prepare(folder: Path) -> dict[str, object]:
    """Download what is missing, write the data into a folder, and return what is worth knowing about it."""
    from loader import best_fit
    from shards import TRAIN_SHARDS, VAL_SHARD, downloads_folder, fetch, texts

    started = time.perf_counter()
    *train, val = fetch([*TRAIN_SHARDS, VAL_SHARD], downloads_folder())
    fetched = time.perf_counter()
    tokenizer = learn(itertools.chain.from_iterable(texts(train)))
    learned = time.perf_counter()

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    # In byte-level BPE a token is written with one sign a byte.
    token_bytes = [0 if token in SPECIAL else len(token) for token, _ in vocabulary]
    np.save(folder / "token_bytes.npy", np.array(token_bytes, dtype=np.uint8))
    print("note: encoding the training text", flush=True)
    documents = [document for path in train for document in encoded(tokenizer, texts([path]))]
    np.save(folder / "train_starts.npy", np.cumsum([0, *map(len, documents)], dtype=np.int64))
    np.save(folder / "train.npy", np.concatenate(documents))
    rows = best_fit(encoded(tokenizer, texts([val])), MAX_SEQ_LEN + 1)
    val_rows = np.array(list(itertools.islice(rows, EVAL_TOKENS // MAX_SEQ_LEN)), dtype=np.uint16)
    np.save(folder / "val_rows.npy", val_rows)
    return {
        "download_seconds": fetched - started,
        "tokenizer_seconds": learned - fetched,
        "encode_seconds": time.perf_counter() - learned,
        "train_tokens": sum(map(len, documents)),
        "val_tokens": len(val_rows) * MAX_SEQ_LEN,
        "data_sha256": digest(folder),
    }


def learn(documents: Iterator[str]) -> Any:
    """A byte-level BPE of VOCAB_SIZE tokens, learnt from the first TOKENIZER_CHARS of the documents."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    def cut() -> Iterator[str]:
        left = TOKENIZER_CHARS
        for document in documents:
            yield document[:DOCUMENT_CHARS]
            left -= min(len(document), DOCUMENT_CHARS)
            if left <= 0:
                return

    print("note: learning the tokenizer", flush=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(cut(), trainer)
    if tokenizer.get_vocab_size() != VOCAB_SIZE:
        sys.exit(
            f"the text gives a vocabulary of {tokenizer.get_vocab_size()} tokens, not {VOCAB_SIZE}: too little text"
        )
    return tokenizer


def encoded(tokenizer: Any, batches: Iterator[list[str]]) -> Iterator["np.ndarray[tuple[int], np.dtype[np.uint16]]"]:
    """Each document's tokens, begun by BOS. What a document writes of special tokens is text like any other."""
    tokenizer.encode_special_tokens = True
    for batch in batches:
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield np.array([BOS, *encoding.ids], dtype=np.uint16)


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of the arrays, in the order of their names.

    tokenizer.json is left out: its layout belongs to the version of the library, its content is in the arrays.
    """
    sha = hashlib.sha256()
    for path in sorted(folder.glob("*.npy")):
        sha.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while piece := file.read(1 << 24):
                sha.update(piece)
    return sha.hexdigest()


if __name__ == "__main__":
    facts = prepare(data_folder())
    print("---")
    for key, value in facts.items():
        print(f"{key}: {value}")
