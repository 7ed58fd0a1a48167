import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.entries import kept
from agent.judge import ERROR, MAX_SEEDS, Judgement, ignores_seed, judge, smallest_worth
from agent.noise import Noise, PairedNoise

PAIRED_SD = 2**0.5  # in deviations of one trial
KNOWN = PairedNoise(PAIRED_SD, 2)
POOLED_DEGREES = 30


def run(
    effect: float,
    degrees: int,
    rng: random.Random,
    *,
    correlation: float = 0.0,
    parent_sd: float = 1.0,
    candidate_sd: float = 1.0,
    simpler: bool = False,
) -> tuple[Judgement, int]:
    """One experiment. The judge knows the usual noise, 1 for one trial, well, and counts it for those degrees."""
    sd = statistics.fmean(rng.gauss(0, 1) ** 2 for _ in range(POOLED_DEGREES)) ** 0.5
    improvements: list[float] = []
    while True:
        shared, own = correlation**0.5, (1 - correlation) ** 0.5
        seed = rng.gauss(0, 1)
        candidate, parent = (shared * seed + own * rng.gauss(0, 1) for _ in range(2))
        improvements.append(effect + candidate_sd * candidate - parent_sd * parent)
        known = PairedNoise(PAIRED_SD * sd, degrees)
        judgement = judge(improvements, known, minimum=0.5 * sd, simpler=simpler)
        if judgement.verdict is not None:
            return judgement, len(improvements)


def share(verdict: str, effect: float, degrees: int, runs: int, seed: int, **more: float) -> float:
    rng = random.Random(seed)
    return statistics.fmean(run(effect, degrees, rng, **more)[0].verdict == verdict for _ in range(runs))  # type: ignore[arg-type]


@pytest.mark.parametrize("degrees", [1, 2, 4, 40])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_fewer_identical_candidates_are_kept_than_error_says(degrees: int, correlation: float) -> None:
    assert share("keep", 0.0, degrees, 2500, seed=degrees, correlation=correlation) <= ERROR


@pytest.mark.parametrize(
    ("parent_sd", "candidate_sd"), [(1.7, 1.0), (1.0, 1.7), (1.7, 1.7), (0.58, 1.0), (1.0, 0.58), (0.58, 0.58)]
)
def test_at_most_one_in_twenty_is_kept_where_recipes_are_noisier_or_calmer_than_the_task(
    parent_sd: float, candidate_sd: float
) -> None:
    assert share("keep", 0.0, 4, 2500, seed=7, parent_sd=parent_sd, candidate_sd=candidate_sd) <= 0.05


@pytest.mark.parametrize("degrees", [1, 2, 4])
def test_effects_of_three_deviations_are_found_nine_times_in_ten(degrees: int) -> None:
    assert share("keep", 3.0, degrees, 2500, seed=1) >= 0.9


def test_a_worse_candidate_is_practically_never_kept() -> None:
    assert share("keep", -1.0, 4, 3000, seed=2) < 0.002


def test_of_simpler_candidates_that_are_worse_by_the_minimum_one_in_twenty_is_kept_and_of_equal_ones_more() -> None:
    worse, equal = (share("simpler", effect, 4, 2000, seed=3, simpler=True) for effect in (-0.5, 0.0))
    assert worse <= 0.05
    assert equal > 2 * worse


@pytest.mark.parametrize("degrees", [1, 2, 4])
def test_clear_losses_are_decided_after_one_seed_and_clear_gains_after_two(degrees: int) -> None:
    known = PairedNoise(PAIRED_SD, degrees)
    assert judge([-8.0], known, minimum=0.5).verdict == "discard"
    assert judge([1000.0], known, minimum=0.5).verdict is None
    assert judge([30.0, 31.0], known, minimum=0.5).verdict == "keep"


def test_one_lucky_seed_of_a_recipe_that_varies_twenty_times_as_much_as_others_is_no_discovery() -> None:
    first, second = 70.0, -10.0
    assert judge([first, second], KNOWN, minimum=0.5).verdict != "keep"


def test_few_seeds_suffice_on_a_mix_of_effects() -> None:
    rng = random.Random(3)
    mix = [0.0, 0.0, 0.0, -20.0, -3.0, 1.0, 3.0, 20.0]
    assert statistics.fmean(run(effect, 2, rng)[1] for effect in mix * 300) < 2.5


def test_published_effects_of_weak_discoveries_are_not_much_too_large() -> None:
    rng = random.Random(4)
    judgements = [run(3.0, 2, rng)[0] for _ in range(3000)]
    published = [judgement.effect for judgement in judgements if judgement.verdict == "keep"]
    raw = [(judgement.low + judgement.high) / 2 for judgement in judgements if judgement.verdict == "keep"]
    assert abs(statistics.fmean(published) - 3) < 0.3
    assert statistics.fmean(published) - 3 < 0.6 * (statistics.fmean(raw) - 3)


def test_large_effects_are_hardly_shrunk() -> None:
    assert judge([30.0, 30.0], KNOWN, minimum=0.5).effect == pytest.approx(30, rel=0.01)


def test_the_bounds_hold_at_every_look_at_once() -> None:
    rng = random.Random(5)
    missed = 0
    for _ in range(3000):
        improvements = [rng.gauss(2, PAIRED_SD) for _ in range(MAX_SEEDS)]
        looks = [judge(improvements[:k], KNOWN, minimum=0.5) for k in range(1, MAX_SEEDS + 1)]
        missed += any(look.low > 2 for look in looks)
    assert missed / 3000 <= 0.05


def test_an_open_question_after_the_last_seed_is_inconclusive() -> None:
    assert judge([1.2, 0.0, 2.4, 1.2, 0.2, 2.2], KNOWN, minimum=0.5).verdict == "inconclusive"


def test_nothing_worth_having_after_the_last_seed_is_discarded() -> None:
    assert judge([-1.0, -1.2, -0.8, -1.0, -1.0, -1.0], KNOWN, minimum=0.5).verdict == "discard"


def test_a_certain_but_worthless_improvement_is_not_kept() -> None:
    assert judge([0.5] * MAX_SEEDS, PairedNoise(0.01, 50), minimum=1.0).verdict == "discard"


def test_differences_noisier_than_expected_raise_the_bar() -> None:
    calm, wild = [6.0, 6.1, 5.9], [18.0, -9.0, 9.0]
    assert judge(calm, KNOWN, minimum=0.5).verdict == "keep"
    assert judge(wild, KNOWN, minimum=0.5).verdict != "keep"


IMPROVEMENTS = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=1, max_size=MAX_SEEDS)


@given(IMPROVEMENTS, st.floats(1e-6, 1e3), st.integers(1, 100), st.floats(0, 10), st.booleans())
def test_laws_of_every_judgement(
    improvements: list[float], sd: float, degrees: int, minimum: float, simpler: bool
) -> None:
    judgement = judge(improvements, PairedNoise(sd, degrees), minimum=minimum, simpler=simpler)
    assert judgement.low <= judgement.effect <= judgement.high
    if judgement.verdict == "keep":
        assert judgement.low > 0
        assert judgement.effect >= minimum
    if judgement.verdict == "simpler":
        assert simpler
        assert sum(improvements) / len(improvements) >= -minimum
    if len(improvements) == MAX_SEEDS:
        assert judgement.verdict is not None
    if max(improvements) <= 0:
        assert judgement.verdict != "keep"


@given(IMPROVEMENTS, st.sampled_from([2.0**n for n in range(-20, 21)]), st.booleans(), st.randoms())
def test_neither_the_unit_of_the_metric_nor_the_order_of_the_seeds_matters(
    improvements: list[float], unit: float, simpler: bool, rng: random.Random
) -> None:
    plain = judge(improvements, KNOWN, minimum=0.5, simpler=simpler)
    others = [unit * value for value in improvements]
    rng.shuffle(others)
    scaled = judge(others, PairedNoise(unit * PAIRED_SD, 2), minimum=unit * 0.5, simpler=simpler)
    assert scaled.verdict == plain.verdict
    assert scaled.effect == pytest.approx(unit * plain.effect, abs=1e-9 * unit)


@given(IMPROVEMENTS)
def test_the_worse_mirrors_the_better(improvements: list[float]) -> None:
    there = judge(improvements, KNOWN, minimum=0.5)
    back = judge([-value for value in improvements], KNOWN, minimum=0.5)
    assert (back.low, back.effect, back.high) == (-there.high, -there.effect, -there.low)
    assert "keep" not in (there.verdict, back.verdict) or there.verdict != back.verdict


@given(IMPROVEMENTS, st.floats(0, 100))
def test_a_candidate_that_did_better_on_every_seed_by_the_same_is_judged_no_worse(
    improvements: list[float], more: float
) -> None:
    order = {"discard": 0, "inconclusive": 1, None: 1, "keep": 2}
    there = judge(improvements, KNOWN, minimum=0.5)
    better = judge([value + more for value in improvements], KNOWN, minimum=0.5)
    assert better.low >= there.low - 1e-6
    if any(improvements):  # nothing but zeros are no matter of noise
        assert order[better.verdict] >= order[there.verdict]


@given(IMPROVEMENTS, st.floats(0, 10))
def test_what_costs_more_is_not_kept_more_easily(improvements: list[float], price: float) -> None:
    if judge(improvements, KNOWN, minimum=0.5 + price).verdict == "keep":
        assert judge(improvements, KNOWN, minimum=0.5).verdict == "keep"


@pytest.mark.parametrize(("simpler", "verdict"), [(True, "simpler"), (False, "discard")])
def test_values_that_are_the_same_to_the_last_bit_are_no_matter_of_noise(simpler: bool, verdict: str) -> None:
    assert judge([0.0, 0.0], KNOWN, minimum=0.5, simpler=simpler).verdict == verdict


def test_a_simpler_candidate_that_is_much_worse_is_discarded_at_once() -> None:
    assert judge([-15.0], KNOWN, minimum=0.5, simpler=True).verdict == "discard"


def test_a_simpler_candidate_that_is_better_is_an_ordinary_keep() -> None:
    judgement = judge([30.0, 30.0], KNOWN, minimum=0.5, simpler=True)
    assert judgement.verdict == "keep"
    assert kept(judgement.verdict)


@pytest.mark.parametrize(
    ("candidate", "parent", "ignores"),
    [
        ([0.5, 0.5], [0.9, 0.8], None),
        ([0.5, 0.5, 0.5], [0.9, 0.8, 0.9], True),
        ([0.5, 0.5, 0.5], [0.9, 0.9, 0.9], False),
        ([0.5, 0.6], [0.9, 0.9], False),
        ([0.5, 0.6], [0.9, 0.8], False),
    ],
)
def test_a_program_whose_value_does_not_depend_on_the_seed_is_told_by_three_seeds(
    candidate: list[float], parent: list[float], ignores: bool | None
) -> None:
    assert ignores_seed(candidate, parent) is ignores


@pytest.mark.parametrize("count", [0, MAX_SEEDS + 1])
def test_a_number_of_seeds_that_was_not_planned_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="improvements; the judge looks"):
        judge([1.0] * count, KNOWN, minimum=0.5)


def test_the_smallest_worth_follows_the_noise() -> None:
    assert smallest_worth(Noise(0.006, 10)) == pytest.approx(0.003)
