"""The evaluator: what is asked of a predictor, and what its answers are worth. Pure, numpy only, outside of sandboxes.

It holds the held-out tokens and gives out windows of them; logits come back. It normalises them itself, so nothing is
gained by odds that do not add up to one. That a prediction used nothing but the past is found out by asking again:
`probes` asks for some tokens with the text that follows them replaced by random tokens, and `changed` compares.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from trainer.errors import DataError
from trainer.task import Evaluate

Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Logits: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Bits: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

PASS_LOGITS: Final = 1 << 21
"""Logits of one request at most, where a single row has not more: 8 MiB of float32."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out text. tokens: document after document; starts: where each begins, and the end; token_bytes: bytes of
    text of each token of the vocabulary."""

    tokens: Integers
    starts: Integers
    token_bytes: Integers

    @property
    def vocabulary(self) -> int:
        return len(self.token_bytes)

    @property
    def text_bytes(self) -> int:
        """Bytes of the whole text."""
        return int(self.token_bytes[self.tokens].sum())


@dataclass(frozen=True)
class Window:
    """tokens[first:last] of a document, which predict tokens[first + 1:last + 1]."""

    document: int
    first: int
    last: int


@dataclass(frozen=True)
class Request:
    """What a predictor is given, and what its answer predicts.

    tokens: (rows, length). asked: the one position in each row whose logits are wanted, (rows,); None for all of them.
    targets: indices among the held-out tokens of what the logits predict, -1 for padding; (rows, length) or (rows, 1).
    """

    tokens: Integers
    asked: Integers | None
    targets: Integers


class Refused(Exception):
    """Predictions that cannot be scored; the message says why, in one line."""


def read_held_out(folder: Path, how: Evaluate) -> HeldOut:
    """The held-out text among a task's data. Raises DataError where it is not what the task file says."""
    arrays = []
    for name in (how.tokens, how.starts, how.token_bytes):
        try:
            array = np.load(folder / name, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"the held-out text cannot be read: {name}: {error}") from error
        if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array):
            raise DataError(f"the held-out text cannot be read: {name} is no list of integers")
        arrays.append(array.astype(np.int64))
    held_out = HeldOut(*arrays)
    tokens, starts = held_out.tokens, held_out.starts
    if starts[0] != 0 or starts[-1] != len(tokens) or (np.diff(starts) < 1).any():
        raise DataError(f"{how.starts} must rise from 0 to {len(tokens)}, the number of tokens in {how.tokens}")
    if tokens.min() < 0 or tokens.max() >= held_out.vocabulary:
        raise DataError(f"{how.tokens} has tokens beyond the {held_out.vocabulary} of {how.token_bytes}")
    if held_out.text_bytes < 1:
        raise DataError(f"the held-out text is empty by {how.token_bytes}")
    return held_out


def windows_of(held_out: HeldOut, length: int) -> list[Window]:
    """Every document in windows of at most that many tokens; each of its tokens but the first is predicted once."""
    return [
        Window(document, first, min(first + length, end - 1))
        for document, (start, end) in enumerate(
            zip(held_out.starts[:-1].tolist(), held_out.starts[1:].tolist(), strict=True)
        )
        for first in range(start, end - 1, length)
    ]


def questions(held_out: HeldOut, windows: Sequence[Window]) -> Iterator[Request]:
    """Requests for every window, the longest first, with rows of about one length together."""
    left = sorted(windows, key=lambda window: window.last - window.first)
    while left:
        length = left[-1].last - left[-1].first
        rows = _rows(held_out, length)
        batch, left = left[-rows:], left[:-rows]
        tokens = np.zeros((len(batch), length), dtype=np.int64)
        targets = np.full((len(batch), length), -1, dtype=np.int64)
        for row, window in enumerate(batch):
            size = window.last - window.first
            tokens[row, :size] = held_out.tokens[window.first : window.last]
            targets[row, :size] = np.arange(window.first + 1, window.last + 1)
        yield Request(tokens, None, targets)


def probes(
    held_out: HeldOut, windows: Sequence[Window], count: int, length: int, rng: np.random.Generator
) -> Iterator[Request]:
    """Requests for `count` random tokens with the text that follows each replaced by random tokens.

    Whoever remembers what was asked before still cannot know a target: a document is asked about at rising positions,
    and never twice in one request.
    """
    of = {target: window for window in windows for target in range(window.first + 1, window.last + 1)}
    everything = np.fromiter(of, dtype=np.int64, count=len(of))
    chosen = np.sort(rng.choice(everything, size=min(count, len(of)), replace=False)).tolist()
    rounds: list[list[int]] = []
    seen: dict[int, int] = {}
    for target in chosen:
        document = of[target].document
        number = seen[document] = seen.get(document, -1) + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(target)
    for targets in rounds:
        left = sorted(targets, key=lambda target: target - of[target].first)
        while left:
            shown = min(left[-1] - of[left[-1]].first + 1, length)
            rows = _rows(held_out, shown)
            batch, left = left[-rows:], left[:-rows]
            tokens = rng.integers(0, held_out.vocabulary, (len(batch), shown))
            for row, target in enumerate(batch):
                tokens[row, : target - of[target].first] = held_out.tokens[of[target].first : target]
            asked = np.array([target - of[target].first - 1 for target in batch])
            yield Request(tokens, asked, np.array(batch)[:, None])


def bits_of(logits: Logits, targets: Integers) -> Bits:
    """-log2 of the softmax of logits (..., vocabulary) at targets (...). Raises Refused if one is not finite."""
    broken = int((~np.isfinite(logits)).any(axis=-1).sum())
    if broken:
        raise Refused(f"{broken} of {targets.size} predictions are not finite")
    z = logits.astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    at_targets = np.take_along_axis(z, targets[..., None], axis=-1)[..., 0]
    bits: Bits = (np.log(np.exp(z).sum(axis=-1)) - at_targets) / math.log(2)
    return bits


def note(scored: Bits, held_out: HeldOut, request: Request, logits: Logits) -> None:
    """Write the bits of every token that the answer predicts into `scored`, at the token's index. Raises Refused."""
    wanted = request.targets >= 0
    tokens = held_out.tokens[np.where(wanted, request.targets, 0)]
    scored[request.targets[wanted]] = bits_of(logits, tokens)[wanted]


def bits_per_byte(scored: Bits, held_out: HeldOut) -> float:
    """The metric: bits of all predicted tokens (those that are not predicted are nan) over the bytes of the text."""
    return float(np.nansum(scored)) / held_out.text_bytes


def changed(scored: Bits, again: Bits, tolerance: float) -> tuple[int, int, float]:
    """How many of the tokens asked for again differ by more than `tolerance` bits, of how many; and the most bits."""
    differences = np.abs(again - scored)[~np.isnan(again)]
    return int((differences > tolerance).sum()), len(differences), float(differences.max(initial=0.0))


def _rows(held_out: HeldOut, length: int) -> int:
    return max(1, PASS_LOGITS // (held_out.vocabulary * length))
