"""What is said of a figure against the baseline: planted changes are seen, noise is not."""

import io
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.baseline import BaselineError, Run, Summary, load, named, save
from bench.compare import Verdict, compare
from bench.figures import Better, Figure, Kind
from bench.report import closing, show


def run_of(
    values: Sequence[float],
    kind: Kind = "wall",
    better: Better = "lower",
    *,
    machine: str = "here",
    python: str = "3.11.7",
    speed: float = 10.0,
    others: float = 0.0,
) -> Run:
    """A run of one benchmark with the one figure `it`."""
    figures = {"it": Summary.of(Figure("it", "units", tuple(values), better, kind))}
    return Run("python -m bench.x", "abc", "2025-01-01", machine, python, speed, others, 1.0, figures)


def verdict(now: Run, base: Run) -> Verdict:
    return compare("it", now, base).verdict


BEFORE = [10.0, 10.2, 9.8, 10.1, 9.9]
SLOWER = [1.3 * value for value in BEFORE]


def test_a_planted_slowdown_of_three_tenths_is_worse_and_its_repair_is_better() -> None:
    found = compare("it", run_of(SLOWER), run_of(BEFORE))
    assert found.verdict == "worse"
    assert found.change == pytest.approx(0.3)
    assert verdict(run_of(BEFORE), run_of(SLOWER)) == "better"
    assert next(closing({"x": run_of(SLOWER)}, {"x": run_of(BEFORE)})).startswith("1 of 1 figures got worse")


def test_more_of_a_speed_is_better_and_of_what_has_no_direction_is_a_change() -> None:
    assert verdict(run_of(SLOWER, better="higher"), run_of(BEFORE, better="higher")) == "better"
    assert verdict(run_of(SLOWER, better="neither"), run_of(BEFORE, better="neither")) == "changed"


def test_one_more_message_of_twenty_is_worse_though_nothing_varies() -> None:
    assert verdict(run_of([21], "count"), run_of([20], "count")) == "worse"
    assert verdict(run_of([20], "count"), run_of([20], "count")) == "same"
    assert verdict(run_of([1], "count"), run_of([0], "count")) == "worse"


def test_steps_are_the_same_work_each_time_so_their_spread_excuses_nothing() -> None:
    before = [100.0, 200.0, 300.0]
    assert verdict(run_of([1.02 * value for value in before], "steps"), run_of(before, "steps")) == "worse"
    assert verdict(run_of([1.02 * value for value in before], "count"), run_of(before, "count")) == "same"


def test_a_difference_within_the_values_own_spread_is_noise_though_large() -> None:
    assert verdict(run_of([10, 30, 50]), run_of([8, 20, 30])) == "same"


def test_times_are_judged_on_the_same_machine_only_and_counts_everywhere() -> None:
    assert verdict(run_of(SLOWER, machine="there"), run_of(BEFORE)) == "another machine"
    assert verdict(run_of([21], "count", machine="there"), run_of([20], "count")) == "worse"


def test_bytecode_is_judged_in_one_minor_version_of_python_only() -> None:
    assert verdict(run_of([21], "steps", python="3.12.0"), run_of([20], "steps")) == "another Python"
    assert verdict(run_of([21], "steps", python="3.11.9"), run_of([20], "steps")) == "worse"


def test_wall_time_of_a_busy_machine_is_not_judged_and_processor_time_is() -> None:
    assert verdict(run_of(SLOWER, others=1.5), run_of(BEFORE)) == "busy"
    assert verdict(run_of(SLOWER, "cpu", others=1.5), run_of(BEFORE, "cpu")) == "worse"


def test_what_a_slower_machine_explains_is_no_change() -> None:
    assert verdict(run_of(SLOWER, speed=7.7), run_of(BEFORE)) == "same"
    rates = [100 / value for value in BEFORE], [100 / value for value in SLOWER]
    assert verdict(run_of(rates[1], better="higher", speed=7.7), run_of(rates[0], better="higher")) == "same"
    assert verdict(run_of(rates[1], better="higher"), run_of(rates[0], better="higher")) == "worse"


def test_two_single_times_are_not_judged_and_one_is_by_the_others_spread() -> None:
    assert verdict(run_of([13.0]), run_of([10.0])) == "one value"
    assert verdict(run_of([13.0]), run_of(BEFORE)) == "worse"
    assert verdict(run_of([13.0]), run_of([10.0, 12.0, 14.0, 9.0])) == "same"


def test_a_figure_that_the_baseline_lacks_or_has_in_another_unit_is_new() -> None:
    assert compare("it", run_of(BEFORE), None).verdict == "new"
    other = run_of(BEFORE)
    other = replace(other, figures={"it": replace(other.figures["it"], unit="else")})
    assert verdict(run_of(BEFORE), other) == "new"


def test_the_table_names_each_figure_with_its_change() -> None:
    text = io.StringIO()
    show(Console(file=text), {"x": run_of(SLOWER)}, {"x": run_of(BEFORE)})
    (line,) = [line for line in text.getvalue().splitlines() if line.startswith("  it ")]
    assert line.split() == ["it", "13", "units", "12.74", "to", "13.26", "10", "+30.0", "%", "WORSE"]


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=9), st.sampled_from(["count", "steps", "cpu", "wall", "memory"])
)
def test_nothing_is_ever_another_than_itself(values: list[float], kind: Kind) -> None:
    assert verdict(run_of(values, kind), run_of(values, kind)) in ("same", "one value")


def test_of_a_thousand_repeated_measurements_of_one_thing_at_most_four_are_called_another() -> None:
    rng = random.Random(1)

    def drawn(count: int) -> Run:
        return run_of([rng.lognormvariate(0, 0.3) for _ in range(count)], "cpu")

    found = [verdict(drawn(count), drawn(count)) for count in (2, 3, 5, 9) for _ in range(250)]
    assert len(found) - found.count("same") <= 4


def test_a_saved_baseline_is_read_as_it_was_and_other_benchmarks_stay(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    save({"a": run_of(BEFORE), "b": run_of([1, 2], "count")}, path)
    save({"a": run_of(SLOWER)}, path)
    assert load(path) == {"a": run_of(SLOWER), "b": run_of([1, 2], "count")}
    assert load(tmp_path / "none") == {}


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"figures": {}}}'])
def test_a_damaged_baseline_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "baseline.json").write_text(text)
    with pytest.raises(BaselineError, match="is no baseline"):
        load(tmp_path / "baseline.json")


def test_figures_that_go_on_from_another_have_whole_names_and_no_two_the_same() -> None:
    told = [Figure(name, "", (1.0,), "neither", "outcome") for name in ("a", "… b", "c", "… b", "c")]
    assert list(named(told)) == ["a", "a, b", "c", "c, b", "c (again 1)"]
