"""Whom a node believes: by its own tests first, by agreement with them second, by hearsay last."""

from agent.notebook import Notebook
from gossip.identity import Identity
from gossip.record import Record
from tests.agent.test_notebook import ANN, BOB, CAT, DAN, ME, Writer, notebook
from tests.agent.world import identity


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
