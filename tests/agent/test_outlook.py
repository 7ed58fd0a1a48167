"""What a discovery promises on a node's own best recipe: all of it, or what is left of it there."""

import statistics

import pytest

from agent.belief import draw, mean, place
from agent.notebook import Notebook
from agent.outlook import Outlook
from agent.policy import chance
from agent.steps import steps_around
from tests.agent.test_notebook import ANN, BOB, CAT, DAN, INIT, ME, TASK, Writer, notebook
from trainer.recipe import BASELINE, make_recipe


def promised(book: Notebook, index: int = 0) -> float:
    return Outlook(book).gain(book.open_replications()[index])


def test_where_the_finder_started_it_promises_what_was_seen() -> None:
    write = Writer()
    book = notebook(write.test(ANN, {"INIT": "normal", "DEPTH": 4}, 0.1))
    assert promised(book) == pytest.approx(0.1)


def test_what_this_node_holds_already_promises_nothing_more() -> None:
    write = Writer()
    together = write.test(ANN, {"INIT": "normal", "DEPTH": 4}, 0.1)
    alone = [write.test(who, INIT, 0.1) for who in (BOB, CAT)]
    # the own keep came with much else, so that what it brought says little of any one knob
    mine = write.test(ME, {**INIT, "TIED": True, "QK_NORM": True, "WARMUP": 0.2}, 0.11)
    book = notebook(together, *alone, mine)
    found = next(one for one in book.open_replications() if one.author == ANN.author)
    assert book.gain(found) > 0.04
    assert Outlook(book).gain(found) < 0.02


def test_the_most_likely_truth_is_the_middle_of_what_is_drawn() -> None:
    write = Writer()
    book = notebook(write.test(ANN, INIT, 0.1), write.test(BOB, {"DEPTH": 4, "TIED": True}, -0.05, "discard"))
    steps = steps_around(book, BASELINE)
    knobs = TASK.knobs
    likely = mean(knobs, "cpu", steps)["INIT"]
    here, there = place(knobs["INIT"], "default"), place(knobs["INIT"], "normal")
    drawn = [one["INIT"][there] - one["INIT"][here] for one in draw(knobs, "cpu", steps, seed=1, count=2000)]
    assert likely[there] - likely[here] == pytest.approx(statistics.fmean(drawn), abs=0.2)


def test_others_tests_of_the_same_change_move_the_chance_and_those_from_elsewhere_do_not() -> None:
    write = Writer()
    find = write.test(ANN, {"BATCH": 300}, 0.05)
    proven = [write.test(DAN, {"DEPTH": 1 + n}, 0.05) for n in range(4)]
    shared = [write.test(who, {"DEPTH": 1 + n}, 0.05, replicates=proven[n].id) for n in range(4) for who in (ME, BOB)]
    moved = make_recipe(TASK, {"BATCH": 512})
    start = notebook(*proven, *shared, find)
    elsewhere = notebook(
        *proven, *shared, find, write.test(BOB, {"BATCH": 300}, -0.05, "discard", moved, replicates=find.id)
    )
    same = notebook(*proven, *shared, find, write.test(BOB, {"BATCH": 300}, -0.05, "discard", replicates=find.id))

    def likely(book: Notebook) -> float:
        (found,) = (one for one in book.discoveries() if one.author == ANN.author)
        return chance(Outlook(book), found)

    assert likely(elsewhere) == likely(start) == 0.5
    assert likely(same) < 0.3
