import pytest

from agent.student import cdf, quantile

# Fisher and Yates' table of t, as printed in most textbooks: (one-sided probability, degrees, t)
TABLE = [
    (0.95, 1, 6.314),
    (0.95, 2, 2.920),
    (0.95, 5, 2.015),
    (0.975, 1, 12.706),
    (0.975, 3, 3.182),
    (0.975, 4, 2.776),
    (0.975, 10, 2.228),
    (0.975, 30, 2.042),
    (0.99, 2, 6.965),
    (0.99, 7, 2.998),
    (0.995, 4, 4.604),
    (0.995, 9, 3.250),
    (0.995, 120, 2.617),
    (0.9995, 6, 5.959),
]


@pytest.mark.parametrize(("probability", "degrees", "t"), TABLE)
def test_quantiles_agree_with_the_published_table(probability: float, degrees: int, t: float) -> None:
    assert quantile(probability, degrees) == pytest.approx(t, abs=0.0006)


def test_many_degrees_approach_the_normal_distribution() -> None:
    assert quantile(0.975, 1e9) == pytest.approx(1.960, abs=0.007)


def test_fractional_degrees_round_towards_the_wider_distribution() -> None:
    assert quantile(0.975, 4.9) == quantile(0.975, 4)


@pytest.mark.parametrize("degrees", [1, 2, 3, 8, 25])
def test_cdf_is_symmetric_and_inverts_the_quantile(degrees: int) -> None:
    t = quantile(0.9, degrees)
    assert cdf(t, degrees) == pytest.approx(0.9)
    assert cdf(-t, degrees) == pytest.approx(0.1)
    assert cdf(0.0, degrees) == 0.5


@pytest.mark.parametrize(("probability", "degrees"), [(0.3, 4), (1.0, 4), (0.9, 0.5)])
def test_impossible_questions_are_refused(probability: float, degrees: float) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        quantile(probability, degrees)
