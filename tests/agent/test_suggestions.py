"""Hypotheses by rule: what the records suggest to test, said once."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.suggestions import MOST, suggestions
from gossip.record import Record
from tests.agent.test_notebook import ANN, BOB, CAT, DAN, INIT, ME, TASK, Writer, many_records, notebook
from trainer.knobs import Scalar
from trainer.recipe import make_recipe

TIED = {"TIED": True}


def confirmed(write: Writer, change: Mapping[str, Scalar], gain: float, **more: object) -> list[Record]:
    """A find of ANN's that BOB and CAT kept too."""
    found = write.test(ANN, change, gain, **more)
    return [found, *(write.test(who, change, gain, replicates=found.id, **more) for who in (BOB, CAT))]


def test_two_confirmed_discoveries_that_nobody_has_together_are_combined() -> None:
    write = Writer()
    records = [*confirmed(write, INIT, 0.1), *confirmed(write, TIED, 0.05)]
    (found,) = suggestions(notebook(*records))
    assert found.text == (
        "INIT=normal and TIED=True were each confirmed, and nobody has both: together they may improve val_bpb by 0.15"
    )
    assert found.change == {**INIT, **TIED}
    assert set(found.evidence) == {records[0].id, records[3].id}
    assert 0.5 < found.priority < 1
    assert found.proposer == "rule"


def test_what_somebody_has_together_or_tested_together_is_not_combined() -> None:
    write = Writer()
    records = [*confirmed(write, INIT, 0.1), *confirmed(write, TIED, 0.05)]
    held = write.test(DAN, TIED, 0.05, parent=make_recipe(TASK, INIT), replicates=records[3].id)
    tested = write.test(DAN, {**INIT, **TIED}, -0.1, "discard")
    assert suggestions(notebook(*records, held)) == []
    assert suggestions(notebook(*records, tested)) == []


def test_values_of_one_knob_are_not_combined() -> None:
    write = Writer()
    assert suggestions(notebook(*confirmed(write, INIT, 0.1), *confirmed(write, {"INIT": "xavier"}, 0.05))) == []


def test_what_holds_on_one_device_class_is_suggested_to_the_others() -> None:
    write = Writer()
    records = confirmed(write, INIT, 0.1)
    elsewhere = write.test(DAN, {"DEPTH": 4}, -0.1, "discard", device_class="cuda-24g")
    assert suggestions(notebook(*records)) == []
    (found,) = suggestions(notebook(*records, elsewhere))
    assert found.text == "INIT=normal is confirmed on cpu by 3 nodes, and nobody has tested it on cuda-24g"
    assert set(found.evidence) == {record.id for record in records}
    there = write.test(DAN, INIT, -0.1, "discard", device_class="cuda-24g", replicates=records[0].id)
    assert suggestions(notebook(*records, elsewhere, there)) == []


def test_a_promising_value_whose_interval_holds_zero_is_worth_another_test() -> None:
    write = Writer()
    records = [write.test(ANN, INIT, 0.12), write.test(BOB, INIT, 0.02, "inconclusive")]
    (found,) = suggestions(notebook(*records))
    assert found.text.startswith("INIT=normal may improve val_bpb by 0.07, but over 2 nodes that is not certain (-")
    assert (found.change, set(found.evidence)) == (INIT, {record.id for record in records})
    assert found.priority < 0.5
    clear = [write.test(who, INIT, 0.07) for who in (CAT, DAN)]
    assert [one for one in suggestions(notebook(*records, *clear)) if "not certain" in one.text] == []


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(len(many_records()))))
def test_suggestions_come_to_an_end_and_no_order_matters(order: list[int]) -> None:
    records = many_records()
    book = notebook(*records)
    assert suggestions(book) == suggestions(notebook(*(records[index] for index in order)))
    write = Writer()
    told = set()
    while new := suggestions(book):
        assert len(new) <= MOST
        changes = {frozenset(one.change.items()) for one in new}
        assert not changes & told
        told |= changes
        for one in new:
            book.add(write(ME, one))
