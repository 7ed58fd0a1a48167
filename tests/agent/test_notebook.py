import random
import statistics
from collections.abc import Mapping
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import entries
from agent.entries import NO_TASK, Calibration, Entry, Profile, RecipeBody, Result
from agent.evidence import Outcome
from agent.frontier import own_frontier, swarm_frontier
from agent.hypotheses import ideas, open_ideas, takeable
from agent.insights import findings
from agent.lineage import ancestors, descendants
from agent.never import never_again
from agent.notebook import Notebook
from agent.packed import pack
from gossip.identity import Identity
from gossip.record import Record
from tests.agent.world import BUDGET, DEVICE_CLASS, identity, make_result, make_swarm, make_task
from trainer.knobs import Scalar
from trainer.recipe import BASELINE, Recipe, make_recipe, recipe_id

TASK = make_task()
ME, ANN, BOB, CAT, DAN = (identity(i) for i in range(1, 6))
INIT = {"INIT": "normal"}


class Writer:
    """Writes records for tests; the clock advances by a second with each."""

    def __init__(self) -> None:
        self.time_ms = 1_700_000_000_000

    def __call__(self, who: Identity, entry: Entry, task: bytes = TASK.fingerprint) -> Record:
        self.time_ms += 1000
        record = entries.write(who, task, self.time_ms, entry)
        entries.check(record)
        return record

    def test(
        self,
        who: Identity,
        change: Mapping[str, Scalar],
        gain: float,
        verdict: str = "keep",
        parent: Recipe = BASELINE,
        **more: object,
    ) -> Record:
        """A result whose one pair shows that improvement."""
        candidate = make_recipe(TASK, {**parent.knobs, **change})
        pairs = {0: (None if verdict == "crash" else 1.0 - gain, 1.0)}
        effect = None if verdict == "crash" else gain
        return self(who, make_result(TASK, parent, candidate, pairs, verdict, effect=effect, **more))


def notebook(*records: Record) -> Notebook:
    book = Notebook(TASK, ME.author, DEVICE_CLASS)
    for record in records:
        book.add(record)
    return book


def views(book: Notebook) -> dict[str, object]:
    """Everything that a notebook says, in a form that compares."""
    recipes = sorted({e.candidate_id for e in book.experiments()} | {recipe_id(BASELINE)})
    authors = sorted({e.author for e in book.experiments()})
    return {
        "best": book.best(),
        "best_result": book.best_result(),
        "values": [book.values(recipe) for recipe in recipes],
        "noise": book.noise(),
        "paired_noise": book.paired_noise(),
        "tried": book.tried,
        "effects": sorted(book.effects().items(), key=repr),
        "discoveries": book.discoveries(),
        "credibility": [book.credibility(author) for author in authors],
        "open": book.open_replications(),
        "board": book.board(),
        "baseline": book.baseline(),
        "profiles": [book.profile(author) for author in authors],
        "by_record": [book.discovery(e.record_id) for e in book.experiments()],
        "experiments": book.experiments(),
        "keeps": book.keeps(),
        "near": [book.near(e.candidate) for e in book.experiments()],
        "frontier": (own_frontier(book), swarm_frontier(book)),
        "lineage": [(ancestors(book, e), descendants(book, e)) for e in book.keeps()],
        "never": never_again(book),
        "insights": book.insights(),
        "findings": findings(book),
        "ideas": ideas(book),
        "open ideas": open_ideas(book),
        "takeable": takeable(book),
    }


@cache
def many_records() -> list[Record]:
    """What four nodes found in some minutes, and records of every odd sort."""
    swarm = make_swarm(4)
    swarm.run(minutes=4)
    write = Writer()
    found = next(record for record in swarm.records if isinstance(entries.read(record), Result))
    odd = [
        write.test(ANN, {"DEPTH": 8}, 0, "crash", reason="out of memory"),
        write.test(BOB, INIT, 0.1, replicates=found.id),
        write.test(CAT, INIT, 0.1, replicates=bytes(32)),
        write(ANN, Profile(alias="ann", device_class="cpu", device="old"), NO_TASK),
        write(ANN, Profile(alias="anna", device_class="cpu", device="new"), NO_TASK),
        write(BOB, calibration({"1": 1.0, "01": 2.0, "2": 1.1})),
        write(BOB, calibration({"1": 1.5, "2": 1.2})),
    ]
    return [*swarm.records, *odd]


def calibration(values: dict[str, float]) -> Calibration:
    return Calibration(
        recipe=RecipeBody(), values=values, budget=BUDGET, device_class=DEVICE_CLASS, device="d", seconds=1.0
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_no_view_depends_on_the_order_or_repetition_of_records(seed: int, data: st.DataObject) -> None:
    records = many_records()
    kept = data.draw(st.integers(1, len(records)))
    rng = random.Random(seed)
    some = rng.sample(records, kept)
    shuffled = some + rng.choices(some, k=kept // 3)
    rng.shuffle(shuffled)
    mixed = Notebook(TASK, ME.author, DEVICE_CLASS)
    for record in shuffled:
        mixed.add(record)
        if rng.random() < 0.2:
            views(mixed)  # a view asked for early must not linger
    assert views(mixed) == views(notebook(*some))


knob_values = st.one_of(
    st.booleans(), st.integers(-10, 10**6), st.floats(-1e3, 1e3), st.sampled_from(["normal", "nonsense", ""])
)
measured = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*TASK.knobs, "NO_SUCH_KNOB"]), knob_values, max_size=3),
    st.dictionaries(st.sampled_from([*TASK.knobs, "NO_SUCH_KNOB"]), st.tuples(knob_values, knob_values), max_size=2),
    st.lists(st.tuples(measured, measured), min_size=1, max_size=4),
    st.sampled_from(["keep", "discard", "inconclusive", "crash"]),
    st.booleans(),
)
def test_no_record_that_passed_the_check_raises(
    knobs: dict[str, Scalar],
    change: dict[str, tuple[Scalar, Scalar]],
    values: list[tuple[float | None, float | None]],
    verdict: str,
    honest: bool,
) -> None:
    template = make_result(TASK, BASELINE, make_recipe(TASK, INIT), {0: (0.9, 1.0)}, "keep", effect=0.1)
    pairs = [entries.Pair(seed=i, candidate=c, parent=p) for i, (c, p) in enumerate(values)]
    forged: dict[str, object] = {"pairs": pairs, "verdict": verdict, "effect": 1.0}
    if not honest:
        forged |= {"candidate": RecipeBody(knobs=knobs), "change": change}
    try:
        record = Writer()(ANN, template.model_copy(update=forged))
    except entries.BadBody:
        return
    views(notebook(record))


# Own recipes and trials


def test_the_best_recipe_is_the_latest_own_keep_and_nothing_that_was_only_heard() -> None:
    write = Writer()
    first = write.test(ME, INIT, 0.1)
    heard = write.test(ANN, {"TIED": True}, 0.5)
    second = write.test(ME, {"LR": 0.003}, 0.05, parent=make_recipe(TASK, INIT))
    discarded = write.test(ME, {"DEPTH": 7}, -0.2, "discard")
    assert notebook(heard).best() == BASELINE
    assert notebook(heard).best_result() is None
    book = notebook(second, discarded, heard, first)
    assert book.best() == make_recipe(TASK, {**INIT, "LR": 0.003})
    kept = entries.read(second)
    assert isinstance(kept, Result)
    assert book.best_result() == Outcome.of(kept)


def test_own_trials_are_found_again_for_candidate_and_parent_and_others_are_not() -> None:
    write = Writer()
    book = notebook(write.test(ME, INIT, 0.1), write.test(ANN, {"TIED": True}, 0.1))
    assert book.own_trials(BASELINE, 0) == 1.0
    assert book.own_trials(make_recipe(TASK, INIT), 0) == 0.9
    assert book.own_trials(make_recipe(TASK, INIT), 1) is None
    assert book.own_trials(make_recipe(TASK, {"TIED": True}), 0) is None


def test_tried_counts_own_verdicts_or_anyones_when_asked() -> None:
    write = Writer()
    book = notebook(write.test(ME, INIT, -0.1, "discard"), write.test(ANN, {"TIED": True}, 0.1))
    mine, theirs = make_recipe(TASK, INIT), make_recipe(TASK, {"TIED": True})
    assert book.tried == {recipe_id(mine)}
    assert book.was_tried(mine)
    assert not book.was_tried(theirs)
    assert book.was_tried(theirs, by_anyone=True)
    assert book.was_tried(BASELINE)


def test_noise_comes_from_seeds_within_recipes_calibrations_included() -> None:
    rng = random.Random(1)
    write = Writer()
    values = {str(seed): 1 + rng.gauss(0, 0.02) for seed in range(40)}
    book = notebook(write(ME, calibration(values)))
    assert book.noise().sd == pytest.approx(statistics.stdev(values.values()), rel=0.05)
    assert book.noise().measured == 39


# What is usable


def test_records_of_other_tasks_and_budgets_are_ignored() -> None:
    write = Writer()
    other_budget = make_result(TASK, BASELINE, make_recipe(TASK, INIT), {0: (0.9, 1.0)}, "keep", effect=0.1).model_copy(
        update={"budget": entries.BudgetBody(kind="flops", amount=2e12)}
    )
    elsewhere = make_result(TASK, BASELINE, make_recipe(TASK, INIT), {0: (0.9, 1.0)}, "keep", effect=0.1)
    book = notebook(write(ANN, other_budget), write(ANN, elsewhere, bytes([7]) * 32))
    assert book.experiments() == []
    assert book.values(recipe_id(BASELINE)) == {}


@pytest.mark.parametrize(("device_class", "usable"), [("cpu", True), ("cuda-24g", False)])
def test_budgets_of_seconds_compare_only_inside_a_device_class(device_class: str, usable: bool) -> None:
    task = make_task(kind="seconds", amount=10.0)
    result = make_result(
        task,
        BASELINE,
        make_recipe(task, INIT),
        {0: (0.9, 1.0)},
        "keep",
        effect=0.1,
        device_class=device_class,
        budget=entries.BudgetBody(kind="seconds", amount=10.0),
    )
    book = Notebook(task, ME.author, "cpu")
    book.add(Writer()(ANN, result, task.fingerprint))
    assert bool(book.discoveries()) == usable


@pytest.mark.parametrize(
    "forged",
    [
        {"parent": bytes(32)},
        {"change": {"INIT": ("xavier", "normal")}},
        {"change": {"INIT": ("default", "xavier")}},
        {"change": {"NO_SUCH_KNOB": (1, 2)}},
        {"change": {}},
        {"candidate": RecipeBody(knobs={"INIT": "nonsense"})},
        {"candidate": RecipeBody(files={"evaluate.py": pack("cheat")})},
        {"pairs": [entries.Pair(seed=0, candidate=1.1, parent=1.0)]},
        {"pairs": [entries.Pair(seed=0, candidate=-1e300, parent=1.0)]},
    ],
    ids=["parent", "old value", "new value", "unknown knob", "no change", "bad value", "fixed file", "no gain", "huge"],
)
def test_results_that_do_not_hang_together_are_ignored(forged: dict[str, object]) -> None:
    sound = make_result(TASK, BASELINE, make_recipe(TASK, INIT), {0: (0.9, 1.0)}, "keep", effect=0.1)
    write = Writer()
    assert len(notebook(write(ANN, sound)).discoveries()) == 1
    assert notebook(write(ANN, sound.model_copy(update=forged))).experiments() == []


# Discoveries


def test_a_discovery_is_confirmed_by_two_other_authors() -> None:
    write = Writer()
    found = write.test(ANN, INIT, 0.1)
    by_bob = write.test(BOB, INIT, 0.1, replicates=found.id)
    by_cat = write.test(CAT, INIT, 0.1, replicates=found.id)
    (first,) = notebook(found, by_bob).discoveries()
    assert (first.author, first.status, first.adopters) == (ANN.author, "open", tuple(sorted([ANN.author, BOB.author])))
    (then,) = notebook(by_cat, found, by_bob).discoveries()
    assert then.status == "confirmed"
    assert dict(then.replications) == {BOB.author: "keep", CAT.author: "keep"}


def test_a_discovery_is_refuted_by_two_others_whom_nobody_contradicts() -> None:
    write = Writer()
    found = write.test(ANN, INIT, 0.1)
    no_bob = write.test(BOB, INIT, 0.0, "discard", replicates=found.id)
    no_cat = write.test(CAT, INIT, 0.0, "discard", replicates=found.id)
    yes_dan = write.test(DAN, INIT, 0.1, replicates=found.id)
    assert [d.status for d in notebook(found, no_bob, no_cat).discoveries()] == ["refuted"]
    assert [d.status for d in notebook(found, no_bob, no_cat, yes_dan).discoveries()] == ["open"]


def test_identical_changes_of_several_finders_are_one_discovery_from_whatever_recipe() -> None:
    write = Writer()
    found = write.test(ANN, INIT, 0.1)
    again = write.test(BOB, INIT, 0.2, parent=make_recipe(TASK, {"INIT": "xavier"}))
    (discovery,) = notebook(again, found).discoveries()
    assert discovery.record_id == found.id
    assert discovery.finders == tuple(sorted([ANN.author, BOB.author]))
    assert discovery.expected == pytest.approx(0.15)


def test_a_replication_of_something_else_is_not_evidence() -> None:
    write = Writer()
    found = write.test(ANN, INIT, 0.1)
    stray = write.test(BOB, {"TIED": True}, 0.1, replicates=found.id)
    (discovery,) = notebook(found, stray).discoveries()
    assert discovery.replications == ()


def test_a_replication_of_the_part_that_was_new_counts() -> None:
    write = Writer()
    found = write.test(ANN, {**INIT, "TIED": True}, 0.1)
    part = write.test(BOB, {"TIED": True}, 0.1, parent=make_recipe(TASK, INIT), replicates=found.id)
    book = notebook(found)
    assert [d.replications for d in book.discoveries()] == [()]
    book.add(part)
    assert [dict(d.replications) for d in book.discoveries()] == [{BOB.author: "keep"}]


def test_open_replications_are_those_that_can_still_improve_the_own_best() -> None:
    write = Writer()
    mine = write.test(ME, {"TIED": True}, 0.05)
    small = write.test(ANN, {"DEPTH": 4}, 0.02)
    large = write.test(ANN, INIT, 0.1)
    held = write.test(BOB, {"TIED": True}, 0.1)
    reported = write.test(BOB, {"QK_NORM": True}, 0.3, integrity="reported")
    book = notebook(mine, small, large, held, reported)
    assert [dict(d.new_values) for d in book.open_replications()] == [INIT, {"DEPTH": 4}]


def test_what_is_simpler_and_no_worse_is_a_discovery_that_others_replicate_and_adopt() -> None:
    write = Writer()
    fewer = {"parameters": 90, "parent_parameters": 100}
    found = write.test(ANN, INIT, -0.001, "simpler", **fewer)
    book = notebook(found, write.test(BOB, INIT, 0.0, "simpler", replicates=found.id, **fewer))
    (discovery,) = book.open_replications()
    assert discovery.simpler
    assert discovery.adopters == tuple(sorted([ANN.author, BOB.author]))
    assert 0 < book.gain(discovery) < book.noise().sd
    book.add(write.test(ME, INIT, 0.0, "simpler", replicates=found.id, **fewer))
    assert book.best() == make_recipe(TASK, INIT)
    assert [d.status for d in book.discoveries()] == ["confirmed"]
    assert book.open_replications() == []
    assert book.credibility(ANN.author) > 0.5


def test_what_is_not_simpler_by_its_own_record_is_no_evidence() -> None:
    write = Writer()
    more = write.test(ANN, INIT, 0.001, "simpler", parameters=100, parent_parameters=90)
    set_for_nothing = write.test(ANN, INIT, 0.001, "simpler")
    back = write.test(ANN, {"INIT": "default"}, 0.001, "simpler", parent=make_recipe(TASK, INIT))
    assert [test.record_id for test in notebook(more, set_for_nothing, back).experiments()] == [back.id]


@pytest.mark.parametrize(
    ("verdicts", "still_open"),
    [
        ([], True),
        (["keep"], False),
        (["simpler"], False),
        (["discard"], False),
        (["inconclusive"], True),
        (["crash"], True),
        (["inconclusive", "inconclusive"], False),
        (["crash", "crash"], False),
    ],
)
def test_a_clear_own_verdict_settles_a_replication_and_anything_else_allows_one_more(
    verdicts: list[str], still_open: bool
) -> None:
    write = Writer()
    found = write.test(ANN, INIT, 0.1)
    own = [
        write.test(
            ME,
            INIT,
            0.05,
            verdict,
            parent=make_recipe(TASK, {"DEPTH": 4 + i}),
            replicates=found.id,
            parameters=90,
            parent_parameters=100,
        )
        for i, verdict in enumerate(verdicts)
    ]
    since = write.test(ME, {"TIED": True}, 0.1)
    assert found.id in {d.record_id for d in notebook(found).open_replications()}
    assert (found.id in {d.record_id for d in notebook(found, *own, since).open_replications()}) == still_open


def test_an_inconclusive_replication_is_not_repeated_on_the_same_recipe() -> None:
    write = Writer()
    found = write.test(ANN, INIT, 0.1)
    unsure = write.test(ME, INIT, 0.01, "inconclusive", replicates=found.id)
    assert notebook(found, unsure).open_replications() == []


def test_a_discovery_is_weighed_against_what_this_node_gained_on_the_same_knob() -> None:
    write = Writer()
    mine = write.test(ME, {"LR": 0.004}, 0.06)
    worse, better = write.test(ANN, {"LR": 0.002}, 0.05), write.test(BOB, {"LR": 0.003}, 0.08)
    book = notebook(mine, worse, better)
    (promising,) = book.open_replications()
    assert promising.author == BOB.author
    assert book.gain(promising) == pytest.approx(0.02)


def test_credibility_follows_own_replications_only() -> None:
    write = Writer()
    changes: list[dict[str, Scalar]] = [{"DEPTH": depth} for depth in (4, 5, 6, 7)]
    false = [write.test(ANN, change, 0.5) for change in changes]
    true = write.test(BOB, INIT, 0.1)
    mine = [
        write.test(ME, change, 0.0, "discard", replicates=found.id)
        for change, found in zip(changes, false, strict=True)
    ]
    mine.append(write.test(ME, INIT, 0.1, replicates=true.id))
    heard = [write.test(CAT, INIT, 0.0, "discard", replicates=true.id)]
    book = notebook(*false, true, *heard)
    assert book.credibility(ANN.author) == book.credibility(BOB.author) == 0.5
    book = notebook(*false, true, *heard, *mine)
    assert book.credibility(ANN.author) < 0.2
    assert book.credibility(BOB.author) > 0.6


# Effects, board, people


def test_effects_are_pooled_over_authors_not_over_records() -> None:
    write = Writer()
    records = [write.test(ANN, {"LR": 0.003}, 0.04, parent=make_recipe(TASK, {"DEPTH": d})) for d in (4, 5, 6)]
    records += [write.test(BOB, {"LR": 0.003}, 0.08), write.test(CAT, {"LR": 0.003}, 0, "crash")]
    effect = notebook(*records).effect("LR", 0.003)
    assert effect is not None
    assert effect.mean == pytest.approx(0.06, abs=0.001)
    assert (effect.weight, effect.crashes, effect.authors) == (4.0, 1, 2)
    assert notebook(*records).effect("LR", 0.01) is None


def test_the_board_has_the_best_author_first_and_counts_what_they_did() -> None:
    write = Writer()
    by_ann = write.test(ANN, INIT, 0.1)
    records = [by_ann, *(write.test(who, INIT, 0.09, replicates=by_ann.id) for who in (ME, BOB))]
    records += [write.test(CAT, {"DEPTH": 7}, -0.1, "discard")]
    rows = notebook(*records).board()
    assert rows[0].author == ANN.author
    assert rows[-1].author == CAT.author
    assert (rows[0].value, rows[0].seeds, rows[0].changes, rows[0].keeps, rows[0].confirmed) == (0.9, 1, 1, 1, 1)
    assert (rows[-1].value, rows[-1].experiments, rows[-1].keeps) == (None, 1, 0)
    assert notebook(*records).baseline() == 1.0


def test_a_newer_profile_replaces_an_older_one() -> None:
    write = Writer()
    old = write(ANN, Profile(alias="ann", device_class="cpu", device="laptop"), NO_TASK)
    new = write(ANN, Profile(alias="anna", device_class="cpu", device="laptop"), NO_TASK)
    assert notebook(new, old).profile(ANN.author).alias == "anna"
