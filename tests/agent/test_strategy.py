"""The rule for a plateau, and what a node does on one."""

from agent.strategy import CLIMB, HOPED, STAY, drought, strategy
from gossip.record import Record
from tests.agent.test_notebook import ANN, INIT, ME, TASK, Writer, notebook
from tests.agent.world import make_result
from trainer.recipe import BASELINE, Recipe, make_recipe


def misses(write: Writer, many: int, parent: Recipe = BASELINE, first: int = 0) -> list[Record]:
    return [write.test(ME, {"SOFTCAP": 1 + first + n}, -0.1, "discard", parent) for n in range(many)]


def test_a_plateau_is_as_many_misses_as_would_have_held_a_keep_with_95_percent() -> None:
    dry = drought(notebook())
    rate = HOPED[0] / sum(HOPED)
    assert (1 - rate) ** dry.patience <= 0.05 < (1 - rate) ** (dry.patience - 1)
    write = Writer()
    assert strategy(notebook(*misses(write, dry.patience - 1))) == CLIMB
    assert strategy(notebook(*misses(write, dry.patience))).kind == "leap"  # nothing to combine, nowhere to restart


def test_a_node_whose_ideas_used_to_work_is_impatient() -> None:
    write = Writer()
    recipe, lucky = BASELINE, []
    for change in (INIT, {"TIED": True}, {"POSITIONS": "rope"}, {"OPTIMIZER": "muon"}):
        lucky.append(write.test(ME, change, 0.1, parent=recipe))
        recipe = make_recipe(TASK, {**recipe.knobs, **change})
    fresh, used_to_luck = drought(notebook()), drought(notebook(*lucky))
    assert used_to_luck.patience < fresh.patience
    assert used_to_luck.explorations == 0
    assert not drought(notebook(*lucky, *misses(write, used_to_luck.patience - 1, recipe))).plateau


def test_adopting_ends_a_drought_and_replications_that_failed_do_not_count() -> None:
    write = Writer()
    dry = misses(write, 40)
    theirs = write.test(ANN, INIT, 0.1)
    assert (
        drought(notebook(*dry, theirs, write.test(ME, INIT, -0.1, "discard", replicates=theirs.id))).explorations == 40
    )
    assert drought(notebook(*dry, theirs, write.test(ME, INIT, 0.1, replicates=theirs.id))).explorations == 0


def test_near_misses_are_combined_first_and_no_pair_twice() -> None:
    write = Writer()
    near = [
        write.test(ME, change, gain, "inconclusive")
        for change, gain in (({"TIED": True}, 0.003), ({"DEPTH": 4}, 0.002), (INIT, 0.001))
    ]
    book = notebook(*near, *misses(write, drought(notebook()).patience - 3))
    tried = []
    for _ in range(3):
        now = strategy(book)
        assert now.kind == "combine"
        assert "near-misses" in now.reason
        tried.append(dict(now.change))
        book.add(write.test(ME, now.change, -0.1, "discard"))
    assert tried == [{"TIED": True, "DEPTH": 4}, {"TIED": True, **INIT}, {"DEPTH": 4, **INIT}]
    assert strategy(book).kind != "combine"


def test_it_restarts_from_a_peers_recipe_that_is_about_as_good_and_never_from_a_bad_one() -> None:
    write = Writer()
    own = misses(write, drought(notebook()).patience + STAY)
    good = write.test(ANN, {"TIED": True, "DEPTH": 4}, 0.001)
    now = strategy(notebook(*own, good))
    assert now.kind == "restart"
    assert now.start == make_recipe(TASK, {"TIED": True, "DEPTH": 4})
    bad = make_result(TASK, BASELINE, make_recipe(TASK, {"DEPTH": 7}), {0: (1.2, 1.3)}, "keep", effect=0.1)
    assert strategy(notebook(*own, write(ANN, bad))).kind == "leap"


def test_strategies_take_turns_until_the_best_recipe_moves() -> None:
    write = Writer()
    patience = drought(notebook()).patience
    good = write.test(ANN, {"TIED": True, "DEPTH": 4}, 0.001)
    near = [write.test(ME, change, 0.002, "inconclusive") for change in (INIT, {"POSITIONS": "rope"})]
    book = notebook(good, *near, *misses(write, patience - 2))
    kinds = []
    for number in range(4 * STAY):
        kinds.append(strategy(book).kind)
        book.add(write.test(ME, {"BATCH": 300 + number}, -0.1, "discard"))
    assert {"combine", "restart", "leap", "climb"} == set(kinds)
    assert [kind for kind, before in zip(kinds, ["", *kinds], strict=False) if kind != before][-2:] == ["leap", "climb"]
    book.add(write.test(ME, {"OPTIMIZER": "muon"}, 0.1))
    assert strategy(book) == CLIMB
