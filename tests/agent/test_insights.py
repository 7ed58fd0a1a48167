"""Insights by rule: when each kind is said, in which words, and that nothing is said twice."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.entries import Insight
from agent.insights import MOST, findings
from agent.notebook import Notebook
from gossip.identity import Identity
from gossip.record import Record
from tests.agent.test_notebook import ANN, BOB, CAT, DAN, INIT, ME, TASK, Writer, many_records, notebook
from tests.agent.world import identity, make_result, make_task
from trainer.recipe import BASELINE, make_recipe

EVE = identity(6)


def of_kind(book: Notebook, kind: str) -> list[Insight]:
    return [found for found in findings(book) if found.kind == kind]


def seen(write: Writer, gains: Sequence[tuple[Identity, float]], **more: object) -> list[Record]:
    """Results of INIT=normal, one for each gain."""
    return [write.test(who, INIT, gain, "keep" if gain > 0 else "discard", **more) for who, gain in gains]


def test_what_holds_for_three_authors_is_said_with_size_interval_and_evidence() -> None:
    write = Writer()
    records = seen(write, [(ANN, 0.12), (BOB, 0.11), (CAT, 0.13)])
    assert of_kind(notebook(*records[:2]), "effect") == []
    (found,) = of_kind(notebook(*records), "effect")
    assert found.text == "INIT=normal lowers val_bpb by 0.12 (0.095 to 0.14) over 3 nodes"
    assert (found.about, found.authors, found.proposer) == (INIT, 3, "rule")
    assert sorted(found.evidence) == sorted(record.id for record in records)
    assert found.interval is not None
    assert found.interval[0] < found.effect < found.interval[1]


def test_harm_is_said_in_the_metrics_own_direction() -> None:
    (found,) = of_kind(notebook(*seen(Writer(), [(ANN, -0.12), (BOB, -0.11), (CAT, -0.13)])), "effect")
    assert found.text.startswith("INIT=normal raises val_bpb by 0.12")
    assert found.effect < 0


def test_a_number_stands_for_its_part_of_the_range() -> None:
    write = Writer()
    records = [
        write.test(who, {"LR": lr}, gain)
        for who, lr, gain in ((ANN, 0.003, 0.12), (BOB, 0.0031, 0.11), (CAT, 0.0029, 0.13))
    ]
    (found,) = of_kind(notebook(*records), "effect")
    assert found.text.startswith("LR≈0.00")


def test_a_keep_that_others_cannot_tell_from_nothing_is_within_the_noise() -> None:
    gains = [(ANN, 0.02), (BOB, -0.004), (CAT, 0.004), (DAN, -0.01)]
    (found,) = findings(notebook(*seen(Writer(), gains)))
    assert found.kind == "noise"
    assert "cannot be told from none" in found.text


def test_authors_who_contradict_each_other_are_told_with_both_sides() -> None:
    gains = [(ANN, 0.2), (BOB, 0.22), (CAT, -0.2), (DAN, -0.18)]
    (found,) = findings(notebook(*seen(Writer(), gains)))
    assert found.kind == "contradiction"
    assert found.text == (
        "nodes contradict each other on INIT=normal: val_bpb was better for 2 nodes by about 0.21, worse for 2 by "
        "about 0.19"
    )
    assert findings(notebook(*seen(Writer(), gains[:3]))) == []


def test_a_setting_that_pays_on_one_device_class_only_is_told_so() -> None:
    write = Writer()
    records = [
        *seen(write, [(ANN, 0.2), (BOB, 0.21)]),
        *seen(write, [(CAT, -0.1), (DAN, -0.11)], device_class="cuda-24g"),
    ]
    (found,) = of_kind(notebook(*records), "device")
    assert found.text.startswith("INIT=normal lowers val_bpb by 0.2")
    assert " on cpu (2 nodes), but raises val_bpb by 0.1" in found.text
    assert found.text.endswith(" on cuda-24g (2 nodes)")
    alike = [*seen(write, [(ANN, 0.2), (BOB, 0.21)]), *seen(write, [(CAT, 0.2), (DAN, 0.21)], device_class="cuda-24g")]
    (found,) = findings(notebook(*alike))
    assert found.kind == "effect"
    assert found.text.endswith("over 4 nodes, on cpu and cuda-24g")


def test_a_knob_that_never_changes_anything_is_inert() -> None:
    write = Writer()
    records = [
        write.test(who, {"SOFTCAP": cap}, 0.0, "discard") for who, cap in ((ANN, 30), (BOB, 15), (CAT, 30), (CAT, 50))
    ]
    assert findings(notebook(*records[:2])) == []
    (found,) = findings(notebook(*records))
    assert found.text == "SOFTCAP changes nothing worth having: 4 tests of 3 values by 3 nodes"
    assert found.about == {"SOFTCAP": None}


def test_an_author_most_of_whose_finds_fail_with_others_is_named() -> None:
    write = Writer()
    changes = [INIT, {"TIED": True}, {"DEPTH": 4}, {"POSITIONS": "rope"}]
    records = []
    for change in changes:
        found = write.test(ANN, change, 0.1)
        records += [found, *(write.test(who, change, -0.01, "discard", replicates=found.id) for who in (BOB, CAT))]
    (said,) = of_kind(notebook(*records), "author")
    assert said.text == f"4 of 4 discoveries of {ANN.author.hex()[:8]} did not hold with others"
    assert of_kind(notebook(*records[:6]), "author") == []


def test_whom_this_node_does_not_believe_has_no_say() -> None:
    write = Writer()
    lies: list[Record] = []
    for depth in (1, 2, 4, 5, 6, 7):
        lie = write.test(ANN, {"DEPTH": depth}, 0.1)
        lies += [lie, write.test(ME, {"DEPTH": depth}, -0.01, "discard", replicates=lie.id)]
    said = seen(write, [(ANN, 0.12), (BOB, 0.11), (CAT, 0.13)])
    assert len(of_kind(notebook(*said), "effect")) == 1
    assert [found for found in of_kind(notebook(*lies, *said), "effect") if found.about == INIT] == []


def test_what_was_said_is_said_again_only_when_the_evidence_says_something_else() -> None:
    write = Writer()
    records = seen(write, [(ANN, 0.12), (BOB, 0.11), (CAT, 0.13)])
    (found,) = findings(notebook(*records))
    records.append(write(BOB, found))  # whoever says it
    assert findings(notebook(*records)) == []
    records += seen(write, [(DAN, 0.115)])
    assert findings(notebook(*records)) == []
    more = [*records, *(write.test(identity(n), INIT, 0.12) for n in range(20, 24))]
    (again,) = findings(notebook(*more))
    assert again.authors == 8
    turned = [*records, *seen(write, [(EVE, 0.3)])]
    assert [f.kind for f in findings(notebook(*turned))] == ["effect"]


def test_a_false_insight_does_not_silence_the_true_one() -> None:
    write = Writer()
    records = seen(write, [(ANN, 0.12), (BOB, 0.11), (CAT, 0.13)])
    (found,) = findings(notebook(*records))
    false = found.model_copy(update={"effect": -0.12, "interval": (-0.2, -0.1), "authors": 1000})
    assert findings(notebook(*records, write(EVE, false))) == [found]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_findings_published_one_after_another_come_to_an_end(seed: int) -> None:
    records = list(many_records())
    random.Random(seed).shuffle(records)
    book = notebook(*records)
    write = Writer()
    for _ in range(100):
        new = findings(book)
        assert len(new) <= MOST
        if not new:
            return
        for found in new:
            book.add(write(ME, found))
    pytest.fail("the same is said again and again")


def test_more_is_better_where_the_task_maximises() -> None:
    task = make_task().model_copy(update={"metric": TASK.metric.model_copy(update={"direction": "maximize"})})
    book = Notebook(task, ME.author, "cpu")
    write = Writer()
    for who in (ANN, BOB, CAT):
        result = make_result(task, BASELINE, make_recipe(task, INIT), {0: (1.1, 1.0)}, "keep", effect=0.1)
        book.add(write(who, result, task.fingerprint))
    (found,) = findings(book)
    assert found.text.startswith("INIT=normal raises val_bpb by 0.1")
