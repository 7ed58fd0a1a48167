"""Whom a node believes: by its own tests first, by the word of whom these make credible second."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.credit import STRANGER, credit_of_all
from agent.discoveries import BELIEVED, SameChange
from agent.notebook import Notebook
from gossip.identity import Identity
from gossip.record import Record
from tests.agent.test_notebook import ANN, BOB, CAT, DAN, ME, TASK, Writer, notebook
from tests.agent.world import identity
from trainer.recipe import make_recipe


def found(write: Writer, who: Identity, number: int) -> Record:
    return write.test(who, {"BATCH": 300 + number}, 0.03)


def by(write: Writer, who: Identity, of: Record, number: int, held: bool) -> Record:
    gain, verdict = (0.03, "keep") if held else (-0.03, "discard")
    return write.test(who, {"BATCH": 300 + number}, gain, verdict, replicates=of.id)


def credit(book: Notebook, who: Identity) -> float:
    return book.credibility(who.author)


def test_own_tests_that_failed_count_most() -> None:
    write = Writer()
    finds = [found(write, ANN, number) for number in range(4)]
    held = notebook(*finds, *(by(write, ME, finds[n], n, True) for n in range(2)))
    mixed = notebook(*finds, *(by(write, ME, finds[n], n, n == 0) for n in range(2)))
    failed = notebook(*finds, *(by(write, ME, finds[n], n, False) for n in range(2)))
    assert credit(notebook(*finds), ANN) == 0.5
    assert credit(failed, ANN) < 0.2 < credit(mixed, ANN) < 0.5 < credit(held, ANN)


def test_liars_who_confirm_each_other_gain_nothing_from_it() -> None:
    write = Writer()
    lies = [found(write, ANN, number) for number in range(4)]
    own = [by(write, ME, lies[0], 0, False)]
    praise = [by(write, who, lies[n], n, True) for n in range(4) for who in (BOB, CAT, DAN)]
    alone, praised = notebook(*lies, *own), notebook(*lies, *own, *praise)
    assert credit(praised, ANN) == credit(alone, ANN)
    # who praised what this node refuted is believed less
    assert all(credit(praised, who) < 0.5 for who in (BOB, CAT, DAN))


def test_strangers_however_many_say_nothing_about_others() -> None:
    write = Writer()
    find = found(write, ANN, 0)
    crowd = [by(write, identity(100 + n), find, 0, held) for held in (True, False) for n in range(10)]
    assert credit(notebook(find, *crowd[:10]), ANN) == credit(notebook(find, *crowd[10:]), ANN) == 0.5


def test_who_denies_what_this_node_found_true_loses_credit() -> None:
    write = Writer()
    finds = [found(write, ANN, number) for number in range(8)]
    own = [by(write, ME, find, n, True) for n, find in enumerate(finds)]
    denied = [by(write, BOB, find, n, False) for n, find in enumerate(finds)]
    agreed = [by(write, CAT, find, n, True) for n, find in enumerate(finds)]
    book = notebook(*finds, *own, *denied, *agreed)
    assert credit(book, BOB) < 0.2
    assert credit(book, CAT) > 0.5


def test_the_word_of_who_agreed_with_this_node_counts_for_what_it_has_not_tested() -> None:
    write = Writer()
    proven = [found(write, ANN, number) for number in range(4)]
    shared = [by(write, who, find, n, True) for n, find in enumerate(proven) for who in (ME, BOB)]
    lies = [found(write, DAN, number) for number in range(10, 16)]
    refuted = [by(write, BOB, lie, 10 + n, False) for n, lie in enumerate(lies)]
    assert credit(notebook(*proven, *shared, *lies, *refuted), DAN) < 0.35
    assert credit(notebook(*lies, *refuted), DAN) == 0.5


def test_who_lies_in_what_it_finds_earns_nothing_back_by_testing_honestly() -> None:
    write = Writer()
    lies = [found(write, ANN, number) for number in range(3)]
    proven = [found(write, BOB, number) for number in range(10, 20)]
    own = [by(write, ME, lie, n, False) for n, lie in enumerate(lies)]
    own += [by(write, ME, find, 10 + n, True) for n, find in enumerate(proven)]
    honest = [by(write, ANN, find, 10 + n, True) for n, find in enumerate(proven)]
    assert credit(notebook(*lies, *proven, *own, *honest), ANN) < BELIEVED
    assert credit(notebook(*lies, *proven, *own[3:], *honest), ANN) > 0.8


def test_what_no_longer_holds_on_a_recipe_that_moved_is_no_failure_of_the_finder() -> None:
    write = Writer()
    mine = write.test(ME, {"BATCH": 512}, 0.05)
    moved = make_recipe(TASK, {"BATCH": 512})
    finds = [found(write, ANN, number) for number in range(4)]
    others = [
        write.test(who, {"BATCH": 300 + n}, -0.03, "discard", moved, replicates=find.id)
        for n, find in enumerate(finds)
        for who in (ME, BOB, CAT)
    ]
    book = notebook(mine, *finds, *others)
    assert credit(book, ANN) == STRANGER
    assert {found.status for found in book.discoveries()} == {"open"}
    there = [by(write, who, find, n, False) for n, find in enumerate(finds) for who in (BOB, CAT)]
    assert [d.status for d in notebook(mine, *finds, *there).discoveries() if d.author == ANN.author] == ["refuted"] * 4


def test_a_change_counts_for_one_however_many_tested_it() -> None:
    write = Writer()
    proven = [found(write, ANN, number) for number in range(6)]
    crowd = [identity(100 + n) for n in range(10)]
    shared = [by(write, who, find, n, True) for n, find in enumerate(proven) for who in (ME, *crowd)]
    error = found(write, DAN, 20)
    refuted = [by(write, who, error, 20, False) for who in crowd]
    few, many = notebook(*proven, *shared, error, *refuted[:3]), notebook(*proven, *shared, error, *refuted)
    assert credit(few, DAN) == credit(many, DAN) < STRANGER


def test_to_miss_a_small_effect_costs_less_than_to_miss_a_large_one() -> None:
    write = Writer()
    small, large = (write.test(who, {"BATCH": 300}, gain) for who, gain in ((ANN, 0.01), (ANN, 0.1)))
    missed = by(write, ME, small, 0, False)
    assert credit(notebook(large, missed), ANN) < credit(notebook(small, missed), ANN) < STRANGER


AUTHORS = [bytes([number]) * 32 for number in range(7)]
NODE = AUTHORS[0]
FELLOWS = AUTHORS[5:]
"""Fellows of whom the node has never seen an own test."""


@st.composite
def a_change(draw: st.DrawFn, authors: list[bytes], least: int = 1) -> SameChange:
    """A change that one of the authors found, and some of them tested."""
    testers = draw(st.lists(st.sampled_from(authors), min_size=least, unique=True))
    finder, *others = testers
    held = {finder: True} | {author: draw(st.booleans()) for author in others}
    return SameChange(frozenset(), frozenset(), held, frozenset([finder]), draw(st.floats(0.001, 0.2)))


def known_credit(changes: list[SameChange]) -> dict[bytes, float]:
    known = credit_of_all(changes, NODE, 0.01)
    return {author: known.get(author, STRANGER) for author in AUTHORS[1:]}


@given(st.lists(a_change(AUTHORS[:5]), max_size=12), st.lists(a_change(FELLOWS), max_size=12))
@settings(max_examples=50, deadline=None)
def test_nobody_gains_by_confirming_itself_or_by_the_praise_of_fellows(
    public: list[SameChange], among_fellows: list[SameChange]
) -> None:
    assert known_credit(public + among_fellows) == known_credit(public)


@given(st.lists(a_change(AUTHORS), max_size=12), a_change(AUTHORS[1:6], least=2))
@settings(max_examples=50, deadline=None)
def test_a_confirmation_lowers_nobody_who_kept_the_change(others: list[SameChange], change: SameChange) -> None:
    confirmed = replace(change, held={**change.held, AUTHORS[6]: True})
    before, after = known_credit([*others, change]), known_credit([*others, confirmed])
    for author, held in change.held.items():
        assert not held or after[author] >= before[author] - 1e-12


@given(st.lists(a_change(AUTHORS), max_size=12), st.data())
@settings(max_examples=50, deadline=None)
def test_an_own_test_that_held_does_not_lower_the_finder(others: list[SameChange], data: st.DataObject) -> None:
    finder = data.draw(st.sampled_from(AUTHORS[1:]))
    find = SameChange(frozenset(), frozenset(), {finder: True}, frozenset([finder]), 0.1)
    held = replace(find, held={finder: True, NODE: True})
    assert known_credit([*others, held])[finder] >= known_credit([*others, find])[finder]


@given(st.lists(a_change(AUTHORS), max_size=12), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_the_changes_does_not_matter(changes: list[SameChange], random: Random) -> None:
    shuffled = random.sample(changes, len(changes))
    assert known_credit(shuffled) == pytest.approx(known_credit(changes))
