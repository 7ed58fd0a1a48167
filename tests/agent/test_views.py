"""Views of the notebook: near-duplicates, the frontier, lineage, and what never to try again."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cells import WIDTH, cell, near_class
from agent.frontier import own_frontier, swarm_frontier
from agent.insights import findings
from agent.lineage import ancestors, descendants
from agent.never import never_again
from agent.notebook import Notebook
from agent.similar import distance, most_similar
from agent.span import Span
from gossip.record import Record
from tests.agent.test_notebook import ANN, BOB, CAT, INIT, ME, TASK, Writer, many_records, notebook
from trainer.knobs import Scalar
from trainer.recipe import BASELINE, make_recipe

SPANS = {name: span for name, knob in TASK.knobs.items() if (span := Span.of(knob))}


# Near-duplicates


@given(st.sampled_from(sorted(SPANS)), st.floats(0, 1), st.floats(0, 1))
def test_values_in_one_cell_are_close_and_far_values_never_share_one(name: str, here: float, there: float) -> None:
    knob, span = TASK.knobs[name], SPANS[name]
    a, b = (knob.check(span.value(position)) for position in (here, there))
    distance = abs(span.position(a) - span.position(b))
    # a whole number stands for what lies around it, so its cell may be as wide as a step
    step = max(WIDTH, *(abs(span.position(v) - span.position(v + 1)) for v in (a, b))) if span.whole else WIDTH
    if distance > step + 1e-6:
        assert cell(knob, a) != cell(knob, b)
    assert cell(knob, a) == cell(knob, a)
    assert cell(knob, knob.default) == (name, knob.default)


def test_a_near_duplicate_counts_and_another_choice_or_file_does_not() -> None:
    write = Writer()
    tests = [write.test(who, {"LR": lr}, 0.0, "discard") for who, lr in ((ANN, 0.003), (BOB, 0.00301), (ME, 0.02))]
    book = notebook(*reversed(tests))
    assert [e.record_id for e in book.near(make_recipe(TASK, {"LR": 0.00302}))] == [tests[0].id, tests[1].id]
    assert book.near(make_recipe(TASK, {"LR": 0.00302, **INIT})) == []
    assert book.near(make_recipe(TASK, {"LR": 0.00302}, {"train.py": "x = 1\n"})) == []


def test_a_recipe_that_hardly_leaves_the_default_is_near_the_baseline() -> None:
    assert near_class(TASK, make_recipe(TASK, {"LR": 0.00101})) == near_class(TASK, BASELINE)
    assert near_class(TASK, make_recipe(TASK, {"LR": 0.002})) != near_class(TASK, BASELINE)


# The frontier and lineage


def test_the_own_frontier_moves_with_each_own_keep_and_the_swarms_with_what_is_believed() -> None:
    write = Writer()
    mine = [write.test(ME, {"DEPTH": 4}, 0.1), write.test(ME, {"TIED": True}, 0.05)]
    theirs = [write.test(ANN, INIT, 0.2), write.test(BOB, {"POSITIONS": "rope"}, 0.15)]
    refuted = write.test(CAT, {"INIT": "xavier"}, 0.5)
    against = [write.test(who, {"INIT": "xavier"}, -0.1, "discard", replicates=refuted.id) for who in (ANN, BOB)]
    book = notebook(*theirs, refuted, *against, *mine)
    assert [(s.test.record_id, s.value) for s in own_frontier(book)] == [(mine[0].id, 0.9), (mine[1].id, 0.95)]
    assert [s.test.record_id for s in swarm_frontier(book)] == [mine[0].id, theirs[0].id]
    assert refuted.id in {s.test.record_id for s in swarm_frontier(notebook(refuted))}


def test_lineage_follows_recipes_and_what_was_named() -> None:
    write = Writer()
    first = write.test(ANN, INIT, 0.1)
    one = make_recipe(TASK, INIT)
    second = write.test(BOB, {"TIED": True}, 0.1, parent=one)
    two = make_recipe(TASK, {**INIT, "TIED": True})
    third = write.test(CAT, {"DEPTH": 4}, 0.1, parent=two)
    named = write.test(ME, {"LR": 0.003}, 0.1, inspired_by=[first.id])
    repeated = write.test(CAT, {"TIED": True}, 0.1, parent=one, replicates=second.id)
    book = notebook(third, named, repeated, second, first)

    def of(record: Record) -> tuple[list[bytes], list[bytes]]:
        test = book.experiment(record.id)
        assert test is not None
        return [e.record_id for e in ancestors(book, test)], [e.record_id for e in descendants(book, test)]

    assert of(first) == ([], [second.id, named.id])
    assert of(second) == ([first.id], [third.id])
    assert of(third) == ([second.id, first.id], [])


# Never again


def crash(write: Writer, who: object, **more: object) -> Record:
    return write.test(who, {"NORM": "none"}, 0.0, "crash", reason="loss is nan", **more)  # type: ignore[arg-type]


def test_what_crashes_for_two_authors_or_twice_here_is_barred_with_the_reason() -> None:
    write = Writer()
    by_ann, by_bob = crash(write, ANN), crash(write, BOB)
    assert never_again(notebook(by_ann)) == []
    (barred,) = never_again(notebook(by_ann, by_bob))
    assert barred.why == "NORM=none crashes on cpu: loss is nan (2 nodes)"
    assert (barred.knob, barred.value, barred.crashes) == ("NORM", "none", True)
    assert set(barred.evidence) == {by_ann.id, by_bob.id}
    twice_here = [crash(write, ME), crash(write, ME)]
    assert len(never_again(notebook(*twice_here))) == 1
    twice_there = [crash(write, ANN), crash(write, ANN)]
    assert never_again(notebook(*twice_there)) == []
    (said,) = findings(notebook(by_ann, by_bob))
    assert (said.kind, said.text) == ("crash", barred.why)


def test_crashes_elsewhere_or_together_with_other_changes_or_where_it_worked_bar_nothing() -> None:
    write = Writer()
    elsewhere = [crash(write, who, device_class="cuda-24g") for who in (ANN, BOB)]
    together = [
        write.test(who, {"NORM": "none", "DEPTH": 8}, 0.0, "crash", reason="out of memory") for who in (ANN, BOB)
    ]
    assert never_again(notebook(*elsewhere)) == []
    assert never_again(notebook(*together)) == []
    worked = write.test(CAT, {"NORM": "none"}, 0.01, "inconclusive")
    assert never_again(notebook(crash(write, ANN), crash(write, BOB), worked)) == []


@pytest.mark.parametrize(("gains", "barred"), [([-0.4, -0.41], True), ([-0.4], False), ([-0.4, 0.3], False)])
def test_what_surely_harms_over_several_authors_is_barred(gains: list[float], barred: bool) -> None:
    write = Writer()
    tests = [
        write.test(who, {"NORM": "none"}, gain, "keep" if gain > 0 else "discard")
        for who, gain in zip((ANN, BOB), gains, strict=False)
    ]
    found = never_again(notebook(*tests))
    assert bool(found) == barred
    if barred:
        assert found[0].why.startswith("NORM=none makes val_bpb worse by 0.4, at least 0.")
        assert found[0].why.endswith("(2 nodes)")


# Similar recipes


@cache
def whole_book() -> Notebook:
    return notebook(*many_records())


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.sampled_from([{}, INIT, {**INIT, "LR": 0.003}, {"TIED": True, "DEPTH": 4}]))
def test_the_most_similar_are_those_that_a_look_at_all_of_them_finds(most: int, knobs: dict[str, Scalar]) -> None:
    book, origin = whole_book(), make_recipe(TASK, knobs)
    usable = [e for e in book.experiments() if not e.edits_code and (e.effect is not None or e.verdict == "crash")]
    slowly = sorted(((distance(origin, e.parent), e) for e in usable), key=lambda pair: (pair[0], pair[1].moment))
    assert most_similar(book, origin, most) == slowly[:most]
