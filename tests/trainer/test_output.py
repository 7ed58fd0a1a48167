import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.output import Output, Progress, clean, read_progress


@given(st.text(st.characters(), max_size=700))
def test_what_is_shown_is_short_and_printable(text: str) -> None:
    shown = clean(text)
    assert len(shown) <= 500
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in shown)


def test_colours_and_titles_vanish_and_text_stays() -> None:
    assert clean("\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain") == "red and plain"
    assert clean("  indented é 中") == "  indented é 中"
    assert clean("turn\u202eround \x07bell") == "turn\ufffdround \ufffdbell"


def test_the_last_summary_counts_and_what_stands_before_it_does_not() -> None:
    output = Output()
    for line in [
        "val_bpb: 9.0",
        "---",
        "val_bpb:   1.5",
        "a sentence: with words",
        "---",
        "val_bpb: 0.25",
        "depth:  8",
    ]:
        output.take(line)
    output.take("val_bpb: 7.0", error=True)
    assert output.summary == {"val_bpb": "0.25", "depth": "8"}
    assert output.numbers == {"val_bpb": 0.25, "depth": 8.0}


def test_numbers_are_finite() -> None:
    output = Output()
    for line in ["---", "a: nan", "b: inf", "c: 1e999", "d: word", "e: 0x10", "f: -1e-3"]:
        output.take(line)
    assert output.numbers == {"f": -0.001}


def test_a_flood_of_lines_leaves_a_bounded_tail_and_summary() -> None:
    output = Output()
    output.take("---")
    for number in range(10_000):
        output.take(f"name_{number}: 1.0")
    assert len(output.summary) == 64
    assert len(output.tail) <= 8000
    assert output.tail.endswith("name_9999: 1.0")


def test_progress_is_read() -> None:
    line = 'progress: {"fraction": 0.25, "loss": 3.5, "tokens_per_second": 21000}'
    assert read_progress(line) == Progress(0.25, 3.5, 21000.0)
    assert read_progress('progress: {"fraction": 7}') == Progress(1.0, None, None)
    assert read_progress('progress: {"fraction": 0.5, "loss": NaN}') == Progress(0.5, None, None)


@pytest.mark.parametrize(
    "line",
    ["progress", "progress: ", "progress: 3", "progress: []", "progress: {}", 'progress: {"fraction": "x"}',
     'progress: {"fraction": NaN}', 'progress: {"fraction": true}', "progress: " + "[" * 100_000, "val_bpb: 3"],
)  # fmt: skip
def test_anything_else_is_no_progress(line: str) -> None:
    assert read_progress(line) is None


def test_an_integer_too_large_for_a_float_is_left_out() -> None:
    assert read_progress(f'progress: {{"fraction": 0.5, "loss": 1{"0" * 400}}}') == Progress(0.5, None, None)
