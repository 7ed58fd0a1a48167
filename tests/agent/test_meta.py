import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.meta import chi_square_tail, random_effects

numbers = st.floats(-1e6, 1e6)
sources = st.lists(st.tuples(numbers, st.floats(1e-6, 1e6)), min_size=1, max_size=8)


def test_the_published_example_of_the_bcg_vaccine_comes_out() -> None:
    # 13 log risk ratios and their variances: dat.bcg of metafor (Viechtbauer 2010, "Conducting meta-analyses in R")
    log_ratios = [
        *(-0.8893, -1.5854, -1.3481, -1.4416, -0.2175, -0.7861, -1.6209),
        *(0.0120, -0.4694, -1.3713, -0.3394, 0.4459, -0.0173),
    ]
    variances = [
        *(0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230),
        *(0.0040, 0.0564, 0.0730, 0.0124, 0.5325, 0.0714),
    ]
    pooled = random_effects(log_ratios, variances, degrees=100)
    assert pooled.mean == pytest.approx(-0.7141, abs=0.001)
    assert pooled.between == pytest.approx(math.sqrt(0.3088), abs=0.002)
    assert pooled.disagreement == pytest.approx(0.9212, abs=0.001)
    assert pooled.chance < 1e-20
    assert pooled.interval == pytest.approx((-1.1094, -0.3189), abs=0.006)  # Hartung and Knapp


@pytest.mark.parametrize(
    ("degrees", "q"), [(1, 3.841), (2, 5.991), (3, 7.815), (4, 9.488), (11, 19.675), (100, 124.342)]
)
def test_the_tail_of_chi_square_is_that_of_the_tables(degrees: int, q: float) -> None:
    assert chi_square_tail(q, degrees) == pytest.approx(0.05, abs=1e-4)


@given(sources, st.randoms())
def test_the_mean_lies_among_the_sources_and_no_order_matters(found: list[tuple[float, float]], rng: object) -> None:
    pooled = random_effects(*zip(*found, strict=True), degrees=5)
    means = [mean for mean, _ in found]
    slack = 1e-9 * (1 + max(map(abs, means)))
    assert min(means) - slack <= pooled.mean <= max(means) + slack
    assert pooled.interval[0] <= pooled.mean <= pooled.interval[1]
    rng.shuffle(found)  # type: ignore[attr-defined]
    assert random_effects(*zip(*found, strict=True), degrees=5) == pooled


def test_sources_that_agree_are_known_better_than_sources_that_do_not() -> None:
    agreeing = random_effects([0.1, 0.11, 0.09], [1e-4] * 3, degrees=5)
    torn = random_effects([0.4, 0.1, -0.2], [1e-4] * 3, degrees=5)
    assert agreeing.mean == pytest.approx(torn.mean)
    assert agreeing.interval[0] > 0 > torn.interval[0]
    assert agreeing.disagreement == pytest.approx(0.0)
    assert torn.disagreement > 0.9
    assert torn.between == pytest.approx(0.3, rel=0.01)
