from agent.judge import MAX_SEEDS
from agent.seeds import seed_of, seeds
from tests.agent.test_notebook import ANN, ME, TASK, Writer, notebook
from trainer.recipe import BASELINE, Recipe, make_recipe

KEPT = make_recipe(TASK, {"TIED": True})


def test_seeds_differ_by_author_parent_and_number_and_are_stable() -> None:
    other = Recipe({"DEPTH": 3})
    seeds = {
        seed_of(author, parent, n)
        for author in (b"a" * 32, b"b" * 32)
        for parent in (BASELINE, other)
        for n in range(4)
    }
    assert len(seeds) == 16
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_of(b"a" * 32, BASELINE, 0) == 130354336


def test_the_children_of_a_recipe_that_won_by_far_are_tested_on_the_seeds_of_its_keep_first() -> None:
    write = Writer()
    assert seeds(notebook(write.test(ME, {"TIED": True}, 0.2)), KEPT, MAX_SEEDS) == [
        0,  # where the trial of the new parent is known
        *(seed_of(ME.author, KEPT, number) for number in range(MAX_SEEDS - 1)),
    ]


def test_the_children_of_one_that_won_narrowly_or_that_others_kept_are_tested_on_fresh_seeds() -> None:
    write = Writer()
    fresh = [seed_of(ME.author, KEPT, number) for number in range(MAX_SEEDS)]
    assert seeds(notebook(write.test(ME, {"TIED": True}, 0.02)), KEPT, MAX_SEEDS) == fresh
    assert seeds(notebook(write.test(ANN, {"TIED": True}, 0.2)), KEPT, MAX_SEEDS) == fresh
    assert seeds(notebook(), BASELINE, 2) == [seed_of(ME.author, BASELINE, 0), seed_of(ME.author, BASELINE, 1)]
