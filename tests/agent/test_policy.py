import math
import random
from collections import Counter
from collections.abc import Mapping

import pytest

from agent import policy
from agent.claims import Claim, Claimed
from agent.entries import Calibration, Hypothesis, RecipeBody
from agent.judge import MAX_SEEDS
from agent.notebook import Notebook
from agent.outlook import Outlook
from agent.policy import Calibrate, Decision, Explore, Replicate, Synthesise, choose, choose_without_ideas
from gossip.identity import Identity
from gossip.record import Record
from tests.agent.test_notebook import ANN, BOB, CAT, DAN, INIT, ME, TASK, Writer, notebook
from tests.agent.world import BUDGET, DEVICE_CLASS, make_result
from trainer.knobs import Scalar
from trainer.recipe import BASELINE, make_recipe

NOW = 1_700_000_500_000


def decide(book: Notebook, *claims: Claim, seed: int = 1) -> Decision:
    return choose(book, claims=claims, now_ms=NOW, rng=random.Random(seed))


def replicating(book: Notebook, *claims: Claim, draws: int = 200) -> float:
    """How often the node replicates something."""
    return sum(isinstance(decide(book, *claims, seed=seed), Replicate) for seed in range(draws)) / draws


def claim(who: Identity, change: Mapping[str, Scalar], expires_ms: int = NOW + 1000) -> Claim:
    return Claim(who.author, change, expires_ms)


def test_an_empty_notebook_explores() -> None:
    assert decide(notebook()) == Explore("nothing to replicate")


def test_a_large_discovery_is_replicated_soon_and_a_tiny_one_hardly_ever() -> None:
    assert replicating(notebook(Writer().test(ANN, INIT, 0.1))) > 0.9
    assert replicating(notebook(Writer().test(ANN, INIT, 0.001))) < 0.1


def test_the_larger_of_two_discoveries_goes_first() -> None:
    write = Writer()
    book = notebook(write.test(ANN, INIT, 0.06), write.test(BOB, {"TIED": True}, 0.02))
    drawn = Counter(
        next(iter(decision.discovery.new_values))
        for seed in range(200)
        if isinstance(decision := decide(book, seed=seed), Replicate)
    )
    assert drawn["INIT"] > 3 * drawn["TIED"] > 0


def test_claims_of_peers_send_the_others_elsewhere_until_they_expire() -> None:
    book = notebook(Writer().test(ANN, INIT, 0.03))
    alone = replicating(book)
    busy = replicating(book, claim(BOB, INIT), claim(CAT, INIT))
    assert busy < alone / 3
    assert replicating(book, claim(BOB, INIT, NOW - 1), claim(CAT, INIT, NOW - 1)) == alone
    assert replicating(book, claim(ME, INIT)) == alone


def test_a_claim_of_the_part_that_a_peer_lacks_counts_too() -> None:
    book = notebook(Writer().test(ANN, {**INIT, "TIED": True}, 0.03))
    assert replicating(book, claim(BOB, INIT), claim(CAT, INIT)) < replicating(book, claim(BOB, {"DEPTH": 4})) / 3


def test_once_confirmed_everybody_adopts_whatever_is_claimed() -> None:
    write = Writer()
    found = write.test(ANN, INIT, 0.1)
    book = notebook(found, *(write.test(who, INIT, 0.1, replicates=found.id) for who in (BOB, CAT)))
    (confirmed,) = book.open_replications()
    outlook = Outlook(book)
    claimed = policy.replication_value(outlook, confirmed, Claimed([claim(DAN, INIT)]))
    assert claimed == policy.replication_value(outlook, confirmed, Claimed([]))
    assert replicating(book, claim(DAN, INIT)) > 0.9


def test_the_chance_that_a_discovery_holds_follows_the_tests_of_others() -> None:
    write = Writer()
    found = write.test(ANN, INIT, 0.1)
    yes = write.test(BOB, INIT, 0.1, replicates=found.id)
    no = write.test(CAT, INIT, 0.0, "discard", replicates=found.id)

    def chance(*records: Record) -> float:
        book = notebook(*records)
        return policy.chance(Outlook(book), book.discoveries()[0])

    assert chance(found) == chance(found, yes, no) == pytest.approx(0.5)
    assert chance(found, no) < 0.5 < chance(found, yes)


def test_a_finder_whose_credit_is_used_up_is_not_replicated_however_much_is_promised() -> None:
    write = Writer()
    false = [write.test(ANN, {"DEPTH": depth}, 0.3) for depth in (4, 5, 6, 7, 8)]
    mine = [write.test(ME, {"DEPTH": 4 + i}, -0.01, "discard", replicates=f.id) for i, f in enumerate(false)]
    book = notebook(*false, *mine, write.test(ANN, INIT, 0.99))
    (promise,) = book.open_replications()
    assert policy.chance(Outlook(book), promise) < policy.LEAST_CHANCE
    assert policy.replication_value(Outlook(book), promise, Claimed([])) == 0
    assert decide(book) == Explore("nothing to replicate")


def test_lying_more_gains_nothing() -> None:
    book = notebook(Writer().test(ANN, INIT, 0.5))
    more = notebook(Writer().test(ANN, INIT, 1e9))
    (one,), (other,) = book.open_replications(), more.open_replications()
    assert policy.replication_value(Outlook(book), one, Claimed([])) == policy.replication_value(
        Outlook(more), other, Claimed([])
    )


def test_a_node_that_has_replicated_its_share_of_the_time_explores_again() -> None:
    write = Writer()
    records = []
    for number in range(math.ceil(policy.REPLICATING * policy.WINDOW)):
        found = write.test(ANN, {"SOFTCAP": 1 + number}, 0.1)
        records += [found, write.test(ME, {"SOFTCAP": 1 + number}, 0.1, replicates=found.id)]
    waiting = write.test(BOB, INIT, 0.5)
    assert replicating(notebook(*records[:-2], waiting)) > 0
    book = notebook(*records, waiting)
    assert policy.replication_share(book) >= policy.REPLICATING
    assert replicating(book) == 0
    instead = choose_without_ideas(book, claims=[], now_ms=NOW, rng=random.Random(1))
    assert isinstance(instead, Replicate), "where nothing is left to explore, no share is kept free for it"


def test_without_ideas_and_without_peers_there_is_nothing_to_do() -> None:
    assert choose_without_ideas(notebook(), claims=[], now_ms=NOW, rng=random.Random(1)) is None


def test_a_slow_node_that_does_a_dozen_experiments_a_night_explores_as_well() -> None:
    """Though something waits to be replicated at all times."""
    write = Writer()
    book = notebook()
    replicated = 0
    for number in range(12):
        found = write.test(ANN, {"SOFTCAP": 1 + number}, 0.1)
        book.add(found)
        if policy.replication_share(book) < policy.REPLICATING:
            replicated += 1
            book.add(write.test(ME, {"SOFTCAP": 1 + number}, 0.1, replicates=found.id))
        else:
            book.add(write.test(ME, {"BATCH": 300 + number}, -0.1, "discard"))
    assert 2 <= replicated <= 4


def test_exploring_is_worth_what_it_lately_brought_and_never_nothing() -> None:
    write = Writer()
    failures = [write.test(ME, {"BATCH": 300 + i}, -0.1, "discard") for i in range(30)]
    fresh, tired = notebook(), notebook(*failures)
    assert 0 < policy.exploration_value(tired) < policy.exploration_value(fresh)
    lucky = notebook(*failures, write.test(ME, INIT, 0.2))
    assert policy.exploration_value(lucky) > policy.exploration_value(tired) + 0.01


def two_seeds(write: Writer, depth: int) -> Record:
    """An experiment of two seeds that stayed open."""
    candidate = make_recipe(TASK, {"DEPTH": depth})
    pairs = {0: (1.0 - depth / 1000, 1.0), 1: (1.001, 1.001)}
    return write(ME, make_result(TASK, BASELINE, candidate, pairs, "inconclusive", effect=0.0))


def calibration(seeds: int) -> Calibration:
    return Calibration(
        recipe=RecipeBody(),
        values={str(seed): 1.0 + seed / 1000 for seed in range(seeds)},
        budget=BUDGET,
        device_class=DEVICE_CLASS,
        device="d",
        seconds=1.0,
    )


def test_experiments_that_take_many_seeds_under_hardly_known_noise_lead_to_one_calibration() -> None:
    write = Writer()
    unsure = notebook(two_seeds(write, 4), two_seeds(write, 5))
    drawn = [decide(unsure, seed=seed) for seed in range(200)]
    assert any(isinstance(decision, Calibrate) and decision.recipe == BASELINE for decision in drawn)
    unsure.add(write(ME, calibration(MAX_SEEDS)))
    assert policy.calibration_value(unsure) == 0
    assert not any(isinstance(decide(unsure, seed=seed), Calibrate) for seed in range(200))


def test_what_others_measured_makes_a_calibration_worth_less() -> None:
    write = Writer()
    own = [two_seeds(write, 4), two_seeds(write, 5)]
    alone = policy.calibration_value(notebook(*own))
    assert (
        0
        < policy.calibration_value(
            notebook(*own, write(ANN, calibration(MAX_SEEDS)), write(BOB, calibration(MAX_SEEDS)))
        )
        < alone
    )
    assert policy.calibration_value(notebook()) == 0


def test_one_of_the_nodes_at_work_synthesises_what_many_results_say_and_then_nobody_again() -> None:
    write = Writer()
    authors = (ME, ANN, BOB, CAT)
    records = [write.test(who, {"DEPTH": depth}, -0.1, "discard") for depth in range(4, 9) for who in authors]
    assert policy.synthesis_chance(notebook(*records[:-1])) == 0
    book = notebook(*records)
    assert policy.synthesis_chance(book) == 1 / 4
    done = [decision for seed in range(200) if isinstance(decision := decide(book, seed=seed), Synthesise)]
    assert 30 < len(done) < 75
    assert "DEPTH" in done[0].entries[0].text
    for entry in done[0].entries:
        book.add(write(ANN, entry))
    assert policy.synthesis_chance(book) == 0


def test_an_open_hypothesis_is_taken_the_sooner_the_more_it_promises() -> None:
    def taken(priority: float) -> int:
        write = Writer()
        idea = write(ANN, Hypothesis(text="try it", change={"TIED": True}, priority=priority, proposer="rule"))
        book = notebook(idea)
        drawn = [decide(book, seed=seed) for seed in range(200)]
        return sum(isinstance(d, Explore) and d.idea is not None and d.idea.record_id == idea.id for d in drawn)

    assert 0 < taken(0.3) < taken(0.8)
    assert taken(0.0) == 0


def test_the_same_random_stream_gives_the_same_decision() -> None:
    book = notebook(Writer().test(ANN, INIT, 0.01))
    assert [decide(book, seed=s) for s in range(30)] == [decide(book, seed=s) for s in range(30)]
    assert {type(decide(book, seed=s)) for s in range(30)} == {Explore, Replicate}
