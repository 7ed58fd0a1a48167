"""Laws of the evaluator: what is asked, what an answer is worth, and that an audit never gives away what it asks."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluator import (
    HeldOut,
    Refused,
    bits_of,
    bits_per_byte,
    changed,
    note,
    probes,
    questions,
    windows_of,
)


@st.composite
def held_out_texts(draw: st.DrawFn) -> HeldOut:
    vocabulary = draw(st.integers(2, 20))
    sizes = draw(st.lists(st.integers(1, 30), min_size=1, max_size=12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return HeldOut(rng.integers(0, vocabulary, starts[-1]), starts, rng.integers(1, 4, vocabulary))


def logits_of(seed: int, rows: int, vocabulary: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.random.default_rng(seed).normal(0, 5, (rows, vocabulary)).astype(np.float32)


@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(2, 40), st.integers(-1000, 1000))
def test_a_constant_added_at_a_position_changes_nothing(seed: int, rows: int, vocabulary: int, constant: int) -> None:
    logits = logits_of(seed, rows, vocabulary).round(3)
    targets = np.random.default_rng(seed).integers(0, vocabulary, rows)
    shifts = np.arange(rows, dtype=np.float64)[:, None] * constant
    assert bits_of(logits + shifts, targets) == pytest.approx(bits_of(logits, targets), abs=1e-6)


@given(st.integers(0, 2**32), st.integers(2, 40), st.sampled_from([1e-3, 1.0, 1e3, 1e30]))
def test_odds_always_add_up_to_one(seed: int, vocabulary: int, scale: float) -> None:
    logits = np.repeat(logits_of(seed, 1, vocabulary) * np.float32(scale), vocabulary, axis=0)
    bits = bits_of(logits, np.arange(vocabulary))
    assert (bits >= 0).all()
    assert (2.0**-bits).sum() == pytest.approx(1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_wherever_it_stands(value: float) -> None:
    logits = np.zeros((2, 3, 4), dtype=np.float32)
    logits[1, 2, 3] = value
    with pytest.raises(Refused, match="1 of 6 predictions are not finite"):
        bits_of(logits, np.zeros((2, 3), dtype=np.int64))


@given(held_out_texts(), st.integers(1, 40))
def test_every_token_but_a_documents_first_is_asked_for_once_after_the_text_before_it(
    text: HeldOut, length: int
) -> None:
    asked: list[int] = []
    for request in questions(text, windows_of(text, length)):
        assert request.tokens.shape == request.targets.shape
        assert request.tokens.shape[1] <= length
        for row, targets in zip(request.tokens, request.targets, strict=True):
            wanted = targets[targets >= 0].tolist()
            assert row[: len(wanted)].tolist() == text.tokens[[target - 1 for target in wanted]].tolist()
            asked += wanted
    within = [target for start, end in pairwise(text.starts.tolist()) for target in range(start + 1, end)]
    assert sorted(asked) == within


@given(held_out_texts(), st.integers(1, 40))
def test_equal_odds_cost_the_logarithm_of_the_vocabulary(text: HeldOut, length: int) -> None:
    scored = np.full(len(text.tokens), np.nan)
    for request in questions(text, windows_of(text, length)):
        note(scored, text, request, np.zeros((*request.tokens.shape, text.vocabulary), dtype=np.float32))
    tokens = len(text.tokens) - len(text.starts) + 1
    expected = tokens * math.log2(text.vocabulary) / text.token_bytes[text.tokens].sum()
    assert bits_per_byte(scored, text) == pytest.approx(expected)


@given(held_out_texts(), st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**32))
def test_an_audit_asks_distinct_tokens_and_never_showed_one_before_it_was_asked(
    text: HeldOut, length: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    document = np.searchsorted(text.starts, np.arange(len(text.tokens)), side="right") - 1
    shown: set[int] = set()
    asked: list[int] = []
    for request in probes(text, windows_of(text, length), count, length, rng):
        assert request.asked is not None
        targets = request.targets[:, 0]
        assert len(set(document[targets])) == len(targets), "one question about a document at a time"
        for row, position, target in zip(request.tokens, request.asked, targets.tolist(), strict=True):
            first = target - 1 - position
            assert (first - text.starts[document[target]]) % length == 0, "the window is that of the question"
            assert row[: position + 1].tolist() == text.tokens[first:target].tolist()
            assert position + 1 < len(row) or len(row) == length, "something follows, where the window has room"
            shown.update(range(first, target))
        assert shown.isdisjoint(targets.tolist())
        asked += targets.tolist()
    assert len(asked) == len(set(asked)) == min(count, len(text.tokens) - len(text.starts) + 1)


def test_a_change_is_counted_beyond_the_tolerance_and_only_where_it_was_audited() -> None:
    scored = np.array([np.nan, 1.0, 2.0, 3.0, 4.0])
    again = np.array([np.nan, 1.0005, np.nan, 3.5, 3.0])
    assert changed(scored, again, 0.001) == (2, 3, 1.0)
    assert changed(scored, again, 1.0) == (0, 3, 1.0)
