"""Edits of code in the notebook: discovered, merged, replicated, adopted; and what is not to be run."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import entries
from agent.best import Code
from agent.claims import Claim, Claimed
from agent.credit import STRANGER
from agent.entries import Integrity, Result
from agent.evidence import claim_of
from agent.notebook import Notebook
from agent.outlook import Outlook
from agent.packed import edit_sizes, edits_body, pack, recipe_body
from agent.policy import Replicate, choose, replication_value
from agent.search import Search
from gossip.identity import Identity
from gossip.record import Record
from tests.agent.world import DEVICE_CLASS, identity, knob, make_result, make_task
from trainer.errors import RecipeError
from trainer.merge import MergeConflict
from trainer.recipe import BASELINE, Recipe, apply_change, change_between, make_recipe, recipe_id
from trainer.schema import Evaluate
from trainer.task import Task

PROGRAM = "WIDTH = 8\nlayers = 1\nstep = 2\nwarm = 3\ncool = 4\nend = 5\n"
EVALUATE = Evaluate(tokens="tokens.npy", starts="starts.npy", token_bytes="bytes.npy", window=16)
ME, ANN, BOB, CAT = (identity(number) for number in range(1, 5))


def code_task(evaluate: Evaluate | None = EVALUATE) -> Task:
    task = make_task([knob("WIDTH", "int", 8, low=1, high=64)])
    return task.model_copy(update={"files": {"train.py": PROGRAM}, "evaluate": evaluate})


TASK = code_task()
clock = iter(range(1_700_000_000_000, 1_800_000_000_000, 1000))


def edited(*steps: tuple[str, str], base: Recipe = BASELINE) -> Recipe:
    """The recipe with these texts of its program replaced."""
    text = base.files.get("train.py", PROGRAM)
    for old, new in steps:
        assert old in text
        text = text.replace(old, new)
    return make_recipe(TASK, base.knobs, {"train.py": text})


FASTER = edited(("step = 2", "step = 20"))
WARMER = edited(("warm = 3", "warm = 30\nwarmer = 1"))
ENDED = edited(("end = 5", "end = 50"))


def found(
    who: Identity,
    candidate: Recipe,
    gain: float = 0.1,
    *,
    parent: Recipe = BASELINE,
    verdict: str = "keep",
    replicates: Record | None = None,
    integrity: Integrity = "audited",
    task: Task = TASK,
) -> Record:
    """A result whose one pair shows that gain."""
    pairs = {0: (None if verdict == "crash" else 1.0 - gain, 1.0)}
    more: dict[str, object] = {"replicates": replicates.id if replicates else None, "integrity": integrity}
    effect = None if verdict == "crash" else gain
    result = make_result(task, parent, candidate, pairs, verdict, effect=effect, **more)
    record = entries.write(who, task.fingerprint, next(clock), result)
    entries.check(record)
    return record


def notebook(*records: Record, code: Code = "all", task: Task = TASK) -> Notebook:
    book = Notebook(task, ME.author, DEVICE_CLASS)
    for record in records:
        book.add(record)
    book.accept(code)
    return book


def open_ids(book: Notebook) -> list[bytes]:
    return [discovery.record_id for discovery in book.open_replications()]


def test_a_stranger_rebuilds_parent_and_candidate_of_an_edit_on_an_edit() -> None:
    parent = make_recipe(TASK, {"WIDTH": 16}, dict(WARMER.files))
    candidate = make_recipe(TASK, {"WIDTH": 32}, dict(edited(("step = 2", "step = 20"), base=WARMER).files))
    (experiment,) = notebook(found(ANN, candidate, parent=parent)).experiments()
    assert (experiment.parent, experiment.candidate) == (parent, candidate)
    assert experiment.change.knobs == {"WIDTH": (16, 32)}
    assert experiment.change.edits == {"train.py": (parent.files["train.py"], candidate.files["train.py"])}


def test_going_back_to_the_tasks_own_text_is_an_edit_too() -> None:
    (experiment,) = notebook(found(ANN, BASELINE, parent=FASTER)).experiments()
    assert (experiment.parent, experiment.candidate) == (FASTER, BASELINE)


@pytest.mark.parametrize(
    "forged",
    [
        {"edits": {}},
        {"edits": {"train.py": b"nonsense"}},
        {"edits": {"other.py": None}},
        {"edits": {"train.py": edits_body(WARMER, change_between(TASK, WARMER, FASTER))["train.py"]}},
        {"parent": bytes(32)},
        {"candidate": recipe_body(FASTER).model_copy(update={"files": {"train.py": b"nonsense"}})},
    ],
    ids=["no edits", "garbage", "other file", "other text", "other parent", "garbage candidate"],
)
def test_edits_that_do_not_hang_together_are_no_evidence(forged: dict[str, object]) -> None:
    sound = make_result(TASK, BASELINE, FASTER, {0: (0.9, 1.0)}, "keep", effect=0.1, integrity="audited")
    record = entries.write(ANN, TASK.fingerprint, next(clock), sound.model_copy(update=forged))
    assert notebook(record).experiments() == []


texts = st.sampled_from([PROGRAM, FASTER.files["train.py"], "WIDTH = 9\n", "x = (", ""])
packed = st.binary(max_size=30) | texts.map(pack) | texts.map(lambda text: pack(text, like=FASTER.files["train.py"]))
files = st.sampled_from(["train.py", "other.py"])


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(files, packed, max_size=2), st.dictionaries(files, st.none() | packed, max_size=2), st.booleans()
)
def test_no_code_that_passed_the_check_raises(
    candidate: dict[str, bytes], edits: dict[str, bytes | None], of_baseline: bool
) -> None:
    sound = make_result(TASK, BASELINE, FASTER, {0: (0.9, 1.0)}, "keep", effect=0.1, integrity="audited")
    body = sound.candidate.model_copy(update={"files": candidate})
    forged = {"candidate": body, "edits": edits, "parent": recipe_id(BASELINE if of_baseline else FASTER)}
    record = entries.write(ANN, TASK.fingerprint, next(clock), sound.model_copy(update=forged))
    entries.check(record)
    book = notebook(record, found(ME, ENDED))
    assert {discovery.edits_code for discovery in book.open_replications()} <= {True}
    assert all(isinstance(why, RecipeError) for _, why in book.misfits())
    Search(1).propose(book, TASK)


def test_a_peers_edit_is_replicated_on_the_own_best_by_merging() -> None:
    mine = found(ME, ENDED)
    theirs = found(ANN, FASTER)
    book = notebook(mine, theirs)
    (promise,) = book.open_replications()
    merged = edited(("step = 2", "step = 20"), base=ENDED)
    assert book.onto_best(promise) == merged
    drawn = [choose(book, claims=(), now_ms=next(clock), rng=random.Random(seed)) for seed in range(20)]
    assert {d.discovery.record_id for d in drawn if isinstance(d, Replicate)} == {theirs.id}

    book.add(found(ME, merged, 0.08, parent=ENDED, replicates=theirs))
    assert book.best() == merged
    assert open_ids(book) == []
    discovery = book.discovery(theirs.id)
    assert discovery is not None
    assert dict(discovery.replications) == {ME.author: "keep"}
    assert book.credibility(ANN.author) > 0.5


def test_an_edit_is_the_same_discovery_from_whatever_recipe_it_was_found() -> None:
    first = found(ANN, FASTER)
    again = found(BOB, edited(("step = 2", "step = 20"), base=WARMER), 0.2, parent=WARMER)
    other = found(CAT, WARMER)
    assert {d.finders for d in notebook(first, again, other).discoveries()} == {
        tuple(sorted([ANN.author, BOB.author])),
        (CAT.author,),
    }


def test_a_replication_of_the_part_that_was_new_counts() -> None:
    both = edited(("warm = 3", "warm = 30\nwarmer = 1"), base=FASTER)
    theirs = found(ANN, both)
    part = found(BOB, both, parent=FASTER, replicates=theirs)
    stray = found(CAT, ENDED, replicates=theirs)
    (discovery,) = notebook(theirs, part, stray).discoveries()
    assert dict(discovery.replications) == {BOB.author: "keep"}


def test_lines_that_only_change_places_are_a_change() -> None:
    moved = edited(("layers = 1\nstep = 2\n", "step = 2\nlayers = 1\n"))
    other = edited(("warm = 3\ncool = 4\n", "cool = 4\nwarm = 3\n"))
    assert len(notebook(found(ANN, moved), found(BOB, other)).discoveries()) == 2


def test_an_edit_of_what_this_node_edited_otherwise_is_left_and_its_reason_known() -> None:
    mine, theirs = found(ME, edited(("step = 2", "step = 3"))), found(ANN, FASTER)
    book = notebook(mine, theirs)
    assert open_ids(book) == []
    ((discovery, why),) = book.misfits()
    assert discovery.record_id == theirs.id
    assert isinstance(why, MergeConflict)
    assert (why.file, why.lines) == ("train.py", (3,))
    assert notebook(theirs).misfits() == []


@pytest.mark.parametrize(("code", "replicated"), [("none", False), ("own", False), ("all", True)])
def test_peers_code_is_replicated_only_where_it_is_accepted(code: Code, replicated: bool) -> None:
    theirs, knob_of_theirs = (
        found(ANN, FASTER),
        found(ANN, make_recipe(TASK, {"WIDTH": 16}, dict(FASTER.files)), parent=FASTER),
    )
    book = notebook(theirs, knob_of_theirs, code=code)
    assert (theirs.id in open_ids(book)) == replicated
    assert knob_of_theirs.id in open_ids(book)  # only the knob is set, on the own best recipe
    assert len(book.discoveries()) == 2
    assert {row.author for row in book.board()} == {ANN.author}


def test_without_a_sandbox_the_best_recipe_is_the_last_that_can_be_run() -> None:
    wide = make_recipe(TASK, {"WIDTH": 16})
    own_code = edited(("end = 5", "end = 50"), base=wide)
    theirs = found(ANN, FASTER)
    adopted = edited(("step = 2", "step = 20"), base=own_code)
    tuned = make_recipe(TASK, {"WIDTH": 32}, dict(adopted.files))
    mine = [
        found(ME, wide, integrity="trusted"),
        found(ME, own_code, parent=wide),
        found(ME, adopted, parent=own_code, replicates=theirs),
        found(ME, tuned, parent=adopted),
    ]
    best = {code: notebook(theirs, *mine, code=code).best() for code in ("none", "own", "all")}  # type: ignore[arg-type]
    assert best == {"none": wide, "own": own_code, "all": tuned}


def test_what_only_its_program_reported_is_not_adopted_whatever_its_author_says() -> None:
    unaudited = code_task(evaluate=None)
    for integrity in ("trusted", "audited", "reported"):
        claimed = found(ANN, FASTER, integrity=integrity, task=unaudited)  # type: ignore[arg-type]
        book = notebook(claimed, task=unaudited)
        assert [d.integrity for d in book.discoveries()] == ["reported"]
        assert open_ids(book) == []
    assert open_ids(notebook(found(ANN, FASTER, integrity="reported"))) == []


def test_a_claim_of_the_same_edit_sends_others_elsewhere() -> None:
    book = notebook(found(ANN, FASTER))
    (discovery,) = book.open_replications()
    now = next(clock)

    def value(recipe: Recipe) -> float:
        claim = claim_of(change_between(TASK, BASELINE, recipe))
        entries.Presence(alias="bob", activity="replicating", claim=claim)  # it fits in one
        return replication_value(Outlook(book), discovery, Claimed([Claim(BOB.author, claim, now + 1000)]))

    assert value(FASTER) < value(WARMER)
    merged = apply_change(TASK, ENDED, discovery.change)
    assert claim_of(change_between(TASK, ENDED, merged)) == claim_of(discovery.change)


def test_a_knob_that_helps_in_an_edited_program_only_tells_nothing_against_its_finder() -> None:
    wider = make_recipe(TASK, {"WIDTH": 16}, dict(FASTER.files))
    edit, knob_change = found(ANN, FASTER), found(ANN, wider, parent=FASTER)
    refuting = found(ME, make_recipe(TASK, {"WIDTH": 16}), -0.1, verdict="discard", replicates=knob_change)
    book = notebook(edit, knob_change, refuting)
    assert book.credibility(ANN.author) == STRANGER
    (discovery,) = book.open_replications()
    assert discovery.record_id == edit.id
    assert replication_value(Outlook(book), discovery, Claimed([])) > 0

    adopted, there = found(ME, FASTER, replicates=edit), make_recipe(TASK, {"WIDTH": 16}, dict(FASTER.files))
    same = found(ME, there, -0.1, parent=FASTER, verdict="discard", replicates=knob_change)
    assert notebook(edit, knob_change, adopted, same).credibility(ANN.author) < STRANGER, "in the same program it does"


def test_a_knobs_promise_is_what_its_finder_saw_where_the_program_is_the_same() -> None:
    wider = make_recipe(TASK, {"WIDTH": 16}, dict(FASTER.files))
    edit, knob_change = found(ANN, FASTER), found(ANN, wider, parent=FASTER)

    def promise(*records: Record) -> float:
        book = notebook(edit, knob_change, *records)
        (discovery,) = (one for one in book.open_replications() if one.record_id == knob_change.id)
        return Outlook(book).gain(discovery)

    assert promise(found(ME, FASTER, replicates=edit)) == pytest.approx(0.1)
    assert promise() < 0.1


def test_the_search_goes_on_with_knobs_on_top_of_edited_code() -> None:
    book = notebook(found(ME, FASTER), found(ANN, WARMER))
    proposal = Search(1).propose(book, TASK)
    candidate = book.on_best(proposal.change, proposal.edits)
    assert candidate.files == FASTER.files
    assert set(proposal.change) == {"WIDTH"}


def test_a_proposal_of_text_may_change_knobs_too_and_keeps_those_of_the_best() -> None:
    best = make_recipe(TASK, {"WIDTH": 16})
    book = notebook(found(ME, best, integrity="trusted"))
    text = PROGRAM.replace("WIDTH = 8", "WIDTH = 16").replace("end = 5", "end = 6")
    assert book.on_best({}, {"train.py": text}) == make_recipe(
        TASK, {"WIDTH": 16}, {"train.py": PROGRAM.replace("end = 5", "end = 6")}
    )
    wider = book.on_best({}, {"train.py": text.replace("WIDTH = 16", "WIDTH = 17")})
    assert wider.knobs == {"WIDTH": 17}


def test_no_view_of_edits_depends_on_the_order_of_records() -> None:
    theirs = found(ANN, FASTER)
    merged = edited(("step = 2", "step = 20"), base=ENDED)
    records = [
        theirs,
        found(ME, ENDED),
        found(ME, merged, parent=ENDED, replicates=theirs),
        found(BOB, FASTER, replicates=theirs),
        found(CAT, WARMER),
        found(BOB, WARMER, 0.0, verdict="crash"),
        found(CAT, make_recipe(TASK, {"WIDTH": 9}, dict(WARMER.files)), parent=WARMER),
    ]

    def views(book: Notebook) -> object:
        authors = (ANN.author, BOB.author, CAT.author)
        return (
            recipe_id(book.best()), book.discoveries(), open_ids(book), book.board(), book.effects(),
            [str(why) for _, why in book.misfits()], [book.credibility(author) for author in authors],
            [e.result for e in book.experiments()],
        )  # fmt: skip

    wanted = views(notebook(*records))
    rng = random.Random(3)
    for _ in range(20):
        rng.shuffle(records)
        mixed = Notebook(TASK, ME.author, DEVICE_CLASS)
        for record in records:
            mixed.add(record)
            if rng.random() < 0.3:
                views(mixed)
        assert views(mixed) == wanted


def test_a_result_says_how_many_lines_it_edited() -> None:
    result = entries.read(found(ANN, WARMER))
    assert isinstance(result, Result)
    assert edit_sizes(TASK, result) == {"train.py": (2, 1)}
    assert edit_sizes(TASK, result.model_copy(update={"edits": {"train.py": b"x"}})) == {"train.py": None}
