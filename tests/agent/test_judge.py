import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.judge import MAX_SEEDS, Judgement, judge, smallest_worth
from agent.noise import Noise, PairedNoise

PAIRED_SD = 2**0.5  # in deviations of one trial
KNOWN = PairedNoise(PAIRED_SD, 8)


def run(effect: float, degrees: int, rng: random.Random, correlation: float = 0.0) -> tuple[Judgement, int]:
    """One experiment with unit noise, of which the judge knows an estimate with those degrees of freedom."""
    sd = statistics.fmean(rng.gauss(0, 1) ** 2 for _ in range(degrees)) ** 0.5
    improvements: list[float] = []
    while True:
        shared, own = correlation**0.5, (1 - correlation) ** 0.5
        seed = rng.gauss(0, 1)
        candidate, parent = (shared * seed + own * rng.gauss(0, 1) for _ in range(2))
        improvements.append(effect + candidate - parent)
        judgement = judge(improvements, PairedNoise(PAIRED_SD * sd, degrees), minimum=0.5 * sd)
        if judgement.verdict is not None:
            return judgement, len(improvements)


def kept(effect: float, degrees: int, runs: int, seed: int, correlation: float = 0.0) -> float:
    rng = random.Random(seed)
    return statistics.fmean(run(effect, degrees, rng, correlation)[0].verdict == "keep" for _ in range(runs))


@pytest.mark.parametrize("degrees", [3, 4, 8, 40])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_at_most_one_in_twenty_identical_candidates_is_kept(degrees: int, correlation: float) -> None:
    assert kept(0.0, degrees, 4000, seed=degrees, correlation=correlation) <= 0.05


def test_effects_of_three_deviations_are_found_nine_times_in_ten() -> None:
    assert kept(3.0, 8, 3000, seed=1) >= 0.9


def test_a_worse_candidate_is_practically_never_kept() -> None:
    assert kept(-1.0, 4, 4000, seed=2) < 0.01


@pytest.mark.parametrize(("effect", "verdict"), [(15.0, "keep"), (-15.0, "discard"), (-4.0, "discard")])
def test_clear_effects_are_decided_after_one_seed_even_with_little_known_noise(effect: float, verdict: str) -> None:
    assert judge([effect], PairedNoise(PAIRED_SD, 3), minimum=0.5).verdict == verdict


def test_few_seeds_suffice_on_a_mix_of_effects() -> None:
    rng = random.Random(3)
    mix = [0.0, 0.0, 0.0, -20.0, -3.0, 1.0, 3.0, 20.0]
    assert statistics.fmean(run(effect, 8, rng)[1] for effect in mix * 300) < 2.0


def test_published_effects_of_weak_discoveries_are_not_much_too_large() -> None:
    rng = random.Random(4)
    judgements = [run(3.0, 8, rng)[0] for _ in range(3000)]
    published = [judgement.effect for judgement in judgements if judgement.verdict == "keep"]
    raw = [(judgement.low + judgement.high) / 2 for judgement in judgements if judgement.verdict == "keep"]
    assert statistics.fmean(published) < 3.3
    assert statistics.fmean(published) - 3 < 0.6 * (statistics.fmean(raw) - 3)


def test_large_effects_are_hardly_shrunk() -> None:
    assert judge([30.0], KNOWN, minimum=0.5).effect == pytest.approx(30, rel=0.01)


def test_the_bounds_hold_at_every_look_at_once() -> None:
    rng = random.Random(5)
    missed = 0
    for _ in range(3000):
        improvements = [rng.gauss(2, PAIRED_SD) for _ in range(MAX_SEEDS)]
        looks = [judge(improvements[:k], KNOWN, minimum=0.5) for k in range(1, MAX_SEEDS + 1)]
        missed += any(look.low > 2 for look in looks)
    assert missed / 3000 <= 0.05


def test_an_open_question_after_the_last_seed_is_inconclusive() -> None:
    assert judge([1.5, 1.4, 1.6, 1.5], KNOWN, minimum=0.5).verdict == "inconclusive"


def test_nothing_worth_having_after_the_last_seed_is_discarded() -> None:
    assert judge([-1.0, -1.2, -0.8, -1.0], KNOWN, minimum=0.5).verdict == "discard"


def test_a_certain_but_worthless_improvement_is_not_kept() -> None:
    assert judge([0.5] * MAX_SEEDS, PairedNoise(0.01, 50), minimum=1.0).verdict == "discard"


def test_differences_noisier_than_expected_raise_the_bar() -> None:
    calm, wild = [4.0, 4.1, 3.9], [12.0, -6.0, 6.0]
    assert judge(calm, KNOWN, minimum=0.5).verdict == "keep"
    assert judge(wild, KNOWN, minimum=0.5).verdict is None


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=MAX_SEEDS),
    st.floats(1e-6, 1e3),
    st.integers(1, 100),
    st.floats(0, 10),
)
def test_laws_of_every_judgement(improvements: list[float], sd: float, degrees: int, minimum: float) -> None:
    judgement = judge(improvements, PairedNoise(sd, degrees), minimum=minimum)
    assert judgement.low <= judgement.effect <= judgement.high
    if judgement.verdict == "keep":
        assert judgement.low > 0
        assert judgement.effect >= minimum
    if len(improvements) == MAX_SEEDS:
        assert judgement.verdict is not None
    if max(improvements) <= 0:
        assert judgement.verdict != "keep"


@pytest.mark.parametrize("count", [0, MAX_SEEDS + 1])
def test_a_number_of_seeds_that_was_not_planned_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="improvements; the judge looks"):
        judge([1.0] * count, KNOWN, minimum=0.5)


def test_the_smallest_worth_follows_the_noise() -> None:
    assert smallest_worth(Noise(0.006, 10)) == pytest.approx(0.003)
