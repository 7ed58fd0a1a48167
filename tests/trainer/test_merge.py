"""Merges of edits: what both sides keep, what they may not do, and what a stranger's text may cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.merge import MAX_LINES, MergeConflict, lines_changed, merge

lines = st.lists(st.sampled_from(["a = 1\n", "b = 2\n", "c = 3\n", "d = 4\n", "\n"]), max_size=12)
texts = lines.map("".join)


@given(texts, texts, texts)
def test_a_merge_is_the_same_from_either_side_or_a_conflict_from_both(base: str, one: str, other: str) -> None:
    def merged(theirs: str, ours: str) -> str | None:
        try:
            return merge("f", base, theirs, ours)
        except MergeConflict:
            return None

    assert merged(one, other) == merged(other, one)


@given(texts, texts)
def test_a_side_that_changed_nothing_takes_the_others_text(base: str, other: str) -> None:
    assert merge("f", base, other, base) == merge("f", base, base, other) == merge("f", base, other, other) == other


@given(lines, lines, texts, texts)
def test_edits_of_different_places_both_stand(head: list[str], tail: list[str], one: str, other: str) -> None:
    wall = [f"kept {number}\n" for number in range(3)]
    middle = "".join(wall)
    base = "".join([*head, *wall, *tail])
    assert merge("f", base, one + middle + "".join(tail), "".join(head) + middle + other) == one + middle + other


def test_the_last_line_may_lack_its_end_and_only_newlines_end_a_line() -> None:
    assert merge("f", "a\nb\u2028\x0c\nc\nd", "A\nb\u2028\x0c\nc\nd", "a\nb\u2028\x0c\nc\nD") == "A\nb\u2028\x0c\nc\nD"


def test_a_conflict_names_the_lines_of_the_own_version() -> None:
    base = [f"{number}\n" for number in range(20)]
    mine, theirs = ["new\n", *base], list(base)
    for at in (4, 12):
        mine[at + 1], theirs[at] = "mine\n", "theirs\n"
    with pytest.raises(MergeConflict, match=r"changes it\.py where it was changed already \(line 6, 14\)"):
        merge("it.py", "".join(base), "".join(theirs), "".join(mine))


def test_a_text_too_long_to_be_compared_is_not_merged() -> None:
    long = "x\n" * (MAX_LINES + 1)
    with pytest.raises(MergeConflict, match="more than 5000 lines"):
        merge("f", "a\n", long, "b\n")


def test_lines_are_counted_wherever_they_stand() -> None:
    assert lines_changed("a\nb\n", "a\nc\nd\n") == (2, 1)
    assert lines_changed("a\nb\n", "b\na\n") == (0, 0)
