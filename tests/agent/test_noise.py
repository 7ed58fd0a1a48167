import random
import statistics

import pytest

from agent.noise import PEER_RANGE, PRIOR_DEGREES, Noise, Spread, paired, pool, recipe_degrees, weighted_median


def spreads(sd: float, count: int, rng: random.Random, seeds: int = 3) -> list[Spread]:
    return [Spread.of([rng.gauss(0, sd) for _ in range(seeds)]) for _ in range(count)]


def test_without_trials_the_prior_stands() -> None:
    assert pool(0.005, [], {}) == Noise(0.005, PRIOR_DEGREES, 0.0)


def test_own_trials_outweigh_a_wrong_prior() -> None:
    noise = pool(0.005, spreads(0.01, 40, random.Random(1)), {})
    assert noise.sd == pytest.approx(0.01, rel=0.15)
    assert noise.measured == 80


def test_one_diverging_recipe_does_not_dominate() -> None:
    rng = random.Random(2)
    calm = pool(0.005, spreads(0.005, 20, rng), {})
    shaken = pool(0.005, [*spreads(0.005, 20, random.Random(2)), Spread(4.0, 3)], {})
    assert shaken.sd < 1.5 * calm.sd


@pytest.mark.parametrize("claimed", [0.0, 1e6])
def test_a_lying_peer_moves_the_variance_by_a_bounded_factor(claimed: float) -> None:
    liar = {b"liar": [Spread(claimed, 3)] * 1000}
    honest = pool(0.005, spreads(0.005, 4, random.Random(3)), {})
    lied_to = pool(0.005, spreads(0.005, 4, random.Random(3)), liar)
    assert 1 / PEER_RANGE < lied_to.variance / honest.variance < PEER_RANGE


def test_honest_peers_outvote_a_liar_with_many_records() -> None:
    rng = random.Random(4)
    peers = {bytes([i]): spreads(0.005, 3, rng) for i in range(3)}
    without = pool(0.005, [], peers)
    lied_to = pool(0.005, [], {**peers, b"liar": [Spread(1e6, 3)] * 1000})
    assert lied_to.sd < 1.5 * without.sd


def test_a_difference_is_never_assumed_to_be_quieter_than_two_independent_trials() -> None:
    assert paired(Noise(0.005, 60, 50)).sd == pytest.approx(2**0.5 * 0.005)


def test_what_other_recipes_say_is_worth_few_degrees_and_the_parents_own_spread_moves_it() -> None:
    noisy_parent = Spread(0.01**2, 3)
    alone, informed = paired(Noise(0.005, 60, 50)), paired(Noise(0.005, 60, 50), noisy_parent)
    assert alone.degrees == informed.degrees == 2
    assert informed.sd > 1.2 * alone.sd


def noisy(d: int, rng: random.Random, seeds: int) -> list[float]:
    """Values of a recipe whose variance follows Smyth's model."""
    sd = (d / sum(rng.gauss(0, 1) ** 2 for _ in range(d))) ** 0.5
    return [rng.gauss(0, sd) for _ in range(seeds)]


def test_how_much_recipes_differ_in_noise_is_learned_from_own_trials() -> None:
    rng = random.Random(5)
    alike, unlike = spreads(1.0, 60, rng, seeds=4), [Spread.of(noisy(1, rng, 4)) for _ in range(60)]
    assert recipe_degrees([], 1.0) == 2
    assert pool(1.0, alike, {}).recipe == 4
    assert pool(1.0, unlike, {}).recipe == 1
    assert pool(1.0, [], {b"liar": alike}).recipe == 2


def test_recipes_without_any_noise_say_nothing_about_how_much_they_differ() -> None:
    assert recipe_degrees([Spread(0.0, 3)] * 50, 1.0) == 2


def test_spread_is_the_sample_variance() -> None:
    values = [0.61, 0.64, 0.66, 0.7]
    assert Spread.of(values).variance == pytest.approx(statistics.variance(values))
    assert Spread.of(values).degrees == 3


def test_weighted_median_takes_the_larger_of_two_middles() -> None:
    assert weighted_median([(1.0, 1.0), (2.0, 1.0)]) == 2.0
    assert weighted_median([(1.0, 3.0), (2.0, 1.0), (9.0, 1.0)]) == 1.0
