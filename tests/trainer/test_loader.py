"""Packing loses nothing it need not, and batches made ahead are those made on demand."""

import importlib.util
import threading
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

CPU = torch.device("cpu")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("loader", Path(__file__).parents[2] / "trainer/gpt/loader.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


loader = _load()


def documents(lengths: list[int]) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Document i is 0 and then 1000 * i + 1, 2, ...: every token but the first tells where it is from."""
    return [np.array([0, *range(1000 * i + 1, 1000 * i + n)]) for i, n in enumerate(lengths)]


def packed(lengths: list[int], length: int) -> list[list[int]]:
    return [row.tolist() for row in loader.best_fit(iter(documents(lengths)), length)]


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(2, 30))
def test_rows_are_full_begin_with_a_document_and_hold_each_piece_once(lengths: list[int], length: int) -> None:
    rows = packed(lengths, length)
    assert all(len(row) == length and row[0] == 0 for row in rows)
    seen = Counter(token for row in rows for token in row if token)
    assert max(seen.values(), default=1) == 1
    for row in rows:
        starts = [i for i, token in enumerate(row) if token == 0]
        for start, end in zip(starts, [*starts[1:], length], strict=True):
            piece = row[start + 1 : end]
            assert piece == list(range(piece[0], piece[0] + len(piece))) if piece else True
            if piece and end < length:
                assert len(piece) + 1 == lengths[piece[0] // 1000], "only the last document of a row may be cut"
    assert sum(lengths) - length * len(rows) < length + sum(max(0, n - 1) for n in lengths)


def test_the_largest_that_fits_goes_first_and_the_shortest_is_cut_to_fill() -> None:
    first, second = packed([12, 6, 5, 3, 2], 10)
    # 6 of 10, 3 of the 4 left, and for the 1 left nothing fits: the shortest, 2, is cut.
    assert first == [0, 1001, 1002, 1003, 1004, 1005, 0, 3001, 3002, 0]
    assert second == [0, 2001, 2002, 2003, 2004, 0, 1, 2, 3, 4]


def test_documents_of_one_length_waste_nothing() -> None:
    rows = packed([8] * 64, 32)
    assert len(rows) == 16


def test_batches_made_ahead_are_those_made_on_demand() -> None:
    def counting():  # type: ignore[no-untyped-def]  # noqa: ANN202
        numbers = iter(range(100))
        return lambda fraction: (torch.tensor([next(numbers)]), torch.tensor([0]))

    asked, ahead = loader.Batches(counting(), CPU, ahead=False), loader.Batches(counting(), CPU, ahead=True)
    assert [int(asked.next(0.0)[0]) for _ in range(10)] == [int(ahead.next(0.0)[0]) for _ in range(10)] == [*range(10)]
    before = threading.active_count()
    for batches in (asked, ahead):
        batches.close()
    assert threading.active_count() == before - 1


def test_what_making_a_batch_raised_reaches_the_training() -> None:
    def fail(fraction: float) -> tuple[torch.Tensor, torch.Tensor]:
        raise ValueError("no more text")

    batches = loader.Batches(fail, CPU, ahead=True)
    with pytest.raises(ValueError, match="no more text"):
        batches.next(0.0)
    batches.close()
