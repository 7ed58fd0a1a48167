"""The mathematical tasks: verdicts without tolerance, and trials that give the same valid value again."""

import importlib
import math
import random
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from trainer.task import Budget, load_task
from trainer.trial import Trial, run_trial

PROGRAM = Path(__file__).parents[2] / "configs" / "tasks" / "math"
NAMES = ["circles-square", "circles-rectangle", "heilbronn-triangle", "heilbronn-convex"]
NAMES += ["distances-plane", "distances-space"]


@pytest.fixture(scope="module")
def exact() -> Iterator[ModuleType]:
    sys.path.insert(0, str(PROGRAM))
    yield importlib.import_module("exact")
    sys.path.remove(str(PROGRAM))
    del sys.modules["exact"]


def grid(count: int, width: int, radius: float, across: int = 6) -> list[list[float]]:
    """Circles in rows of `across`, all exact in binary."""
    return [[radius * (2 * (k % across) + 1), radius * (2 * (k // across) + 1), radius][:width] for k in range(count)]


def known(name: str) -> tuple[dict[str, Any], Fraction]:
    """A solution that is valid, and what it is worth by another way of reckoning."""
    match name:
        case "circles-square":  # touching each other and the edges
            return {"circles": grid(26, 3, 1 / 16)}, Fraction(26, 16)
        case "circles-rectangle":  # 0.5 wide, 1.5 high
            return {"width": 0.5, "circles": grid(21, 3, 1 / 16, across=4)}, Fraction(21, 16)
        case "heilbronn-triangle":
            return {"points": curve(11)}, Fraction(least_of_curve(11)) * 2
        case "heilbronn-convex":  # corners of a convex curve, so that the hull holds all of them
            points = curve(13)
            hull = abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1], strict=True))) / 2
            return {"points": points}, Fraction(least_of_curve(13)) / Fraction(hull)
        case "distances-plane":
            return {"points": [[float(k % 4), float(k // 4)] for k in range(16)]}, Fraction(18)
        case _:
            return {"points": [[float(k % 3), float(k // 3 % 3), float(k // 9)] for k in range(14)]}, Fraction(9)


def curve(count: int) -> list[list[float]]:
    """Points on a parabola, of which no three are in line; the area of i < j < k is (j-i)(k-j)(k-i)/2 units."""
    return [[k / 32, k * k / 1024] for k in range(count)]


def least_of_curve(count: int) -> float:
    least = min((j - i) * (k - j) * (k - i) / 2 for i, j, k in combinations(range(count), 3))
    return least / 32 / 1024


@pytest.mark.parametrize("name", NAMES)
def test_a_known_solution_has_its_exact_value(exact: ModuleType, name: str) -> None:
    solution, value = known(name)
    assert exact.VALUES[name](solution) == value


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_points_does_not_matter(exact: ModuleType, name: str) -> None:
    solution, value = known(name)
    rows = next(held for held in solution.values() if isinstance(held, list))
    random.Random(0).shuffle(rows)
    assert exact.VALUES[name](solution) == value


@pytest.mark.parametrize("name", ["circles-square", "circles-rectangle"])
@pytest.mark.parametrize("entry", [0, 1, 2])
def test_circles_that_touch_may_not_overlap_by_one_bit(exact: ModuleType, name: str, entry: int) -> None:
    solution, _ = known(name)
    circle = solution["circles"][5]
    circle[entry] = math.nextafter(circle[entry], 0 if entry < 2 else 1)
    with pytest.raises(exact.Invalid, match=r"circles \d+ and 5|circles 5 and \d+|circle 5 reaches"):
        exact.VALUES[name](solution)


@pytest.mark.parametrize(
    ("name", "row", "entry", "towards", "why"),
    [
        ("circles-square", 0, 0, -1.0, "circle 0 reaches beyond the edge"),
        ("circles-square", 0, 1, -1.0, "circle 0 reaches beyond the edge"),
        ("circles-rectangle", 3, 0, 1.0, "circle 3 reaches beyond the edge"),
        ("heilbronn-triangle", 0, 0, -1.0, "point 0 lies outside the triangle"),
    ],
)
def test_one_bit_outside_is_outside(
    exact: ModuleType, name: str, row: int, entry: int, towards: float, why: str
) -> None:
    solution, _ = known(name)
    held = next(held for held in solution.values() if isinstance(held, list))[row]
    held[entry] = math.nextafter(held[entry], towards)
    with pytest.raises(exact.Invalid, match=why):
        exact.VALUES[name](solution)


def test_the_slanted_side_of_the_triangle_has_no_thickness(exact: ModuleType) -> None:
    solution, _ = known("heilbronn-triangle")
    solution["points"][3] = [0.75, 0.25]
    exact.heilbronn_triangle(solution)
    solution["points"][3] = [0.75, math.nextafter(0.25, 1)]
    with pytest.raises(exact.Invalid, match="point 3 lies outside"):
        exact.heilbronn_triangle(solution)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300, 10**400, None, "1.0", True, [1.0]])
def test_what_is_no_number_of_reasonable_size_is_refused(exact: ModuleType, name: str, bad: object) -> None:
    solution, _ = known(name)
    next(held for held in solution.values() if isinstance(held, list))[4][0] = bad
    with pytest.raises(exact.Invalid, match=r"\[4\]"):
        exact.VALUES[name](solution)


@pytest.mark.parametrize("name", NAMES)
def test_too_few_too_many_or_other_things_are_refused(exact: ModuleType, name: str) -> None:
    solution, _ = known(name)
    (key,) = (key for key, held in solution.items() if isinstance(held, list))
    rows = solution[key]
    for wrong in (rows[:-1], [*rows, rows[0]], [*rows[:-1], rows[0][:-1]], [*rows[:-1], 1.0], None, {}):
        with pytest.raises(exact.Invalid, match=key):
            exact.VALUES[name](solution | {key: wrong})


@pytest.mark.parametrize("name", NAMES[2:])
def test_a_point_given_twice_is_refused(exact: ModuleType, name: str) -> None:
    solution, _ = known(name)
    solution["points"][7] = solution["points"][2]
    with pytest.raises(exact.Invalid, match="points 2 and 7 are the same"):
        exact.VALUES[name](solution)


def test_a_rectangle_without_a_width_or_height_is_refused(exact: ModuleType) -> None:
    solution, _ = known("circles-rectangle")
    for width in (0.0, 2.0, -1.0, math.nan, None):
        with pytest.raises(exact.Invalid, match="width"):
            exact.circles_rectangle(solution | {"width": width})


def test_points_on_one_line_are_refused_or_worth_nothing(exact: ModuleType) -> None:
    with pytest.raises(exact.Invalid, match="one line"):
        exact.heilbronn_convex({"points": [[float(k), float(k)] for k in range(13)]})
    assert exact.heilbronn_triangle({"points": [[k / 32, k / 32] for k in range(11)]}) == 0


@pytest.mark.parametrize("name", NAMES)
async def test_a_trial_of_the_baseline_is_valid_and_not_above_the_best_known(name: str, tmp_path: Path) -> None:
    task = load_task(name)
    assert task.metric.known_best is not None
    trial = await run_trial(task, task.files, 1, workspace=tmp_path, data=None, budget=Budget(kind="steps", amount=12))
    assert trial.status == "ok", trial.reason
    assert trial.value is not None
    assert trial.metrics["num_steps"] <= 12
    gain = task.metric.improvement(task.metric.known_best.value, trial.value)
    assert gain < 1e-10, "the known values have ten digits"


async def test_one_seed_gives_the_same_value_and_the_log_holds_the_solution(exact: ModuleType, tmp_path: Path) -> None:
    task = load_task("distances-plane")

    async def run() -> Trial:
        return await run_trial(task, task.files, 7, workspace=tmp_path, data=None)

    first, again = await run(), await run()
    assert first.value == again.value
    rows = [line.split()[1:] for line in first.log_tail.splitlines() if line.startswith("points:")]
    assert float(exact.distances_plane({"points": [[float(word) for word in row] for row in rows]})) == first.value


def test_a_square_stays_a_square_when_a_step_widens_it(exact: ModuleType) -> None:
    square = importlib.import_module("problems").PROBLEMS["circles-square"]
    state = square.start(np.array(grid(26, 2, 1 / 16)))
    state[52:-1] = 1 / 16 + 1e-9
    state[-1] = 1 + 1e-7
    settled, value = square.settle(state)
    assert settled[-1] == 1.0
    assert float(exact.circles_square(square.solution(settled, 2.0**-50))) == pytest.approx(value)


FAKES = {
    "prints the metric itself": "print('---'); print('ratio_squared: 1.0')",
    "replaces the evaluator's rules": (
        "open('exact.py', 'w').write('VALUES = {\"distances-plane\": lambda s: 1}'); print('{}')"
    ),
    "hands over a value": "print('{\"ratio_squared\": 1.0}')",
    "ends well and says nothing": "",
    "fails": "raise SystemExit('no valid solution came of it')",
    "hands over nesting without end": "print('[' * 50000)",
}


@pytest.mark.parametrize("fake", FAKES)
async def test_a_solver_cannot_say_what_it_is_worth(fake: str, tmp_path: Path) -> None:
    task = load_task("distances-plane")
    trial = await run_trial(task, task.files | {"solve.py": FAKES[fake]}, 1, workspace=tmp_path, data=None)
    assert trial.status == "crash"
    assert "solution" in trial.reason
