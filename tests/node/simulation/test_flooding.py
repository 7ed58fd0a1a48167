"""Laws of the model of GossipSub's delivery."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.mesh import STORE_EVERY_SECONDS
from gossip.outgoing import LINGER_SECONDS
from gossip.router import DEGREE_HIGH, DEGREE_LOW
from node.simulation.flooding.flood import Conditions, flood
from node.simulation.flooding.grafting import Grafting
from node.simulation.flooding.overlay import Overlay, overlay, random_overlay
from node.simulation.flooding.spread import Spread

IDEAL = Conditions()


def spread(nodes: int, records: int, conditions: Conditions, seed: int = 1, rate: float = 5.0) -> Spread:
    rng = np.random.default_rng(seed)
    said = np.cumsum(rng.exponential(1 / rate, records))
    return flood(random_overlay(nodes, rng), rng.integers(nodes, size=records), said, conditions, seed)


def line(nodes: int, seconds: float) -> Overlay:
    return overlay(nodes, [(number, number + 1) for number in range(nodes - 1)], [seconds] * (nodes - 1))


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 80), st.integers(1, 6), st.integers(0, 2**32))
def test_without_loss_every_record_is_at_every_node_once(nodes: int, records: int, seed: int) -> None:
    run = spread(nodes, records, IDEAL, seed)
    assert run.share == 1.0
    assert np.isfinite(run.after).all()
    assert len(run.seconds) == records * (nodes - 1)


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 60), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 2**32))
def test_more_loss_never_helps_anyone(nodes: int, one: float, other: float, seed: int) -> None:
    little, much = (spread(nodes, 3, Conditions(loss=loss), seed) for loss in sorted((one, other)))
    assert not (np.isfinite(much.after) & np.isinf(little.after)).any()


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 2**32))
def test_every_copy_that_is_sent_arrives_and_bytes_are_what_was_sent(nodes: int, records: int, seed: int) -> None:
    run = spread(nodes, records, IDEAL, seed)
    sent = run.sent
    assert run.copies.sum() == sent.messages.sum() + sent.answers.sum()
    assert sent.requested.sum() == sent.answers.sum()
    assert run.redundancy >= 1
    small, large = sent.sent_bytes(1000), sent.sent_bytes(3000)
    assert ((large - small) == 2000 * (sent.messages + sent.answers)).all()
    assert (small >= 1000 * sent.messages).all()


def test_lost_copies_are_as_many_as_the_chance_says() -> None:
    run = spread(200, 15, Conditions(loss=0.1))
    assert run.copies.sum() / (run.sent.messages.sum() + run.sent.answers.sum()) == pytest.approx(0.9, abs=0.01)
    assert run.share > 0.999  # ids announced to the others find nearly all


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    first, again, other = (spread(120, 5, Conditions(loss=0.1, leave=0.5), seed) for seed in (3, 3, 4))
    assert (first.after == again.after).all()
    assert (first.sent.sent_bytes(1000) == again.sent.sent_bytes(1000)).all()
    assert (first.hops == again.hops).all()
    assert not (first.after == other.after).all()


@settings(max_examples=8, deadline=None)
@given(st.integers(10, 200), st.integers(0, 2**32))
def test_the_mesh_is_mutual_and_keeps_its_bounds(nodes: int, seed: int) -> None:
    graph = random_overlay(nodes, np.random.default_rng(seed))
    mesh = Grafting(graph, random.Random(seed))
    assert (mesh.member == mesh.member[graph.back]).all()
    sizes = np.bincount(graph.source[mesh.member], minlength=nodes)
    assert sizes.max() <= DEGREE_HIGH
    assert np.mean(sizes >= DEGREE_LOW) > 0.9  # the peers of a few may be full, or barred for a minute


def test_hops_and_times_on_a_line_are_its_distances() -> None:
    run = flood(line(5, 0.02), [0], [1.0], IDEAL)
    assert run.hops[0].tolist() == [0, 1, 2, 3, 4]
    for hops in range(1, 5):
        assert 0.02 * hops <= run.after[0, hops] - STORE_EVERY_SECONDS <= (0.02 + LINGER_SECONDS) * hops


def test_a_node_judges_one_record_after_the_other() -> None:
    run = flood(line(2, 0.02), [0] * 10, [0.5] * 10, Conditions(judging_seconds=0.3))
    arrived = np.sort(run.after[:, 1])
    assert (np.diff(arrived) >= 0.3 - 1e-9).all()
    assert arrived[-1] >= 3.0


def test_who_is_away_gets_nothing_and_those_who_stay_get_nearly_all() -> None:
    run = spread(150, 20, Conditions(leave=2.0, away_seconds=10.0))
    assert not run.meant.all()
    assert np.isinf(run.after).any()
    assert run.share > 0.99
