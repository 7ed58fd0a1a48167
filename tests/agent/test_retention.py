"""What a node forgets changes nothing that it computes: checked on a swarm's records and on odd ones."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import entries
from agent.entries import Hypothesis, Insight, Profile, Result, kept
from agent.evidence import Outcome
from agent.gist import gist_of, read_gist
from agent.insights import standing
from agent.notebook import Notebook
from agent.retention import rule
from gossip.record import Record
from tests.agent.test_notebook import ANN, BOB, INIT, ME, TASK, Writer, calibration, many_records, notebook, views
from tests.agent.world import DEVICE_CLASS, make_result
from trainer.recipe import BASELINE, make_recipe


def after_forgetting(records: list[Record], old: list[Record]) -> Notebook:
    """The notebook of a node that starts after it forgot what it could of the `old` ones among the records."""
    gist = rule(notebook(*records))
    gists = {record.id: left for record in old if (left := gist(record)) is not None}
    book = notebook(*(record for record in records if record.id not in gists))
    for record in old:
        if gists.get(record.id):
            book.add_gist((record.time_ms, record.id), record.author, record.task, gists[record.id])
    return book


def reckoned(book: Notebook) -> dict[str, object]:
    """Everything that a notebook computes; of insights those that stand."""
    said = views(book)
    del said["insights"], said["findings"]
    return said | {"standing": standing(book)}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_a_notebook_says_the_same_after_forgetting_whatever_is_old(seed: int) -> None:
    rng = random.Random(seed)
    records = many_records()
    old = rng.sample(records, rng.randint(1, len(records)))
    of = Outcome.of
    with pytest.MonkeyPatch.context() as patch:  # words are what is given up
        patch.setattr(Outcome, "of", lambda result: of(result.model_copy(update={"hypothesis": ""})))
        assert reckoned(after_forgetting(records, old)) == reckoned(notebook(*records))


def test_what_others_may_need_is_never_forgotten() -> None:
    write = Writer()
    edit = {"train.py": TASK.files["train.py"] + "# more\n"}
    found = write.test(ANN, INIT, 0.1)
    records = {
        "own discard": write.test(ME, {"DEPTH": 8}, -0.1, "discard"),
        "a keep": found,
        "a replication that held": write.test(BOB, INIT, 0.1, replicates=found.id),
        "a calibration": write(ANN, calibration({"1": 1.0, "2": 1.1})),
        "a hypothesis": write(ANN, Hypothesis(text="deeper", change={"DEPTH": 6})),
        "a profile": write(ANN, Profile(alias="ann", device_class="cpu", device="x"), entries.NO_TASK),
        "an insight in words": write(ANN, Insight(text="depth matters")),
        "the newest insight about a thing": write(ANN, Insight(text="more", kind="effect", about={"DEPTH": 8})),
        "a failed test of somebody's code": write(ANN, failed(edit, replicates=found.id)),
    }
    gist = rule(notebook(*records.values()))
    assert [name for name, record in records.items() if gist(record) is not None] == []


def failed(files: dict[str, str], replicates: bytes | None = None) -> Result:
    """A discarded edit."""
    candidate = make_recipe(TASK, {}, files)
    return make_result(TASK, BASELINE, candidate, {0: (1.1, 1.0)}, "discard", effect=-0.1, replicates=replicates)


def test_of_failed_code_that_nobody_kept_and_of_older_insights_nothing_is_left() -> None:
    write = Writer()
    code = write(ANN, failed({"train.py": TASK.files["train.py"] + "# more\n"}))
    older = write(ANN, Insight(text="some", kind="effect", about={"DEPTH": 8}))
    newer = write(ANN, Insight(text="more", kind="effect", about={"DEPTH": 8}))
    gist = rule(notebook(code, older, newer))
    assert [gist(record) for record in (code, older, newer)] == [b"", b"", None]


def test_a_gist_is_the_result_without_its_words() -> None:
    for record in many_records():
        result = entries.read(record)
        if isinstance(result, Result) and not kept(result.verdict):
            gone = {"hypothesis": "", "program": bytes(32), "versions": {}, "tokens": 0, "steps": 0}
            assert read_gist(gist_of(result)) == result.model_copy(update=gone | {"peak_memory_mb": 0.0})


@pytest.mark.parametrize("gist", [b"", b"nonsense", bytes(40)])
def test_bytes_that_are_no_gist_are_refused_by_name(gist: bytes) -> None:
    book = Notebook(TASK, ME.author, DEVICE_CLASS)
    with pytest.raises(ValueError, match="gist"):
        book.add_gist((1, bytes(32)), ANN.author, TASK.fingerprint, gist)
