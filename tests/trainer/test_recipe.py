import hashlib
import json
import subprocess
from itertools import permutations
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.toys import KNOB_TASK, KNOBS, PROGRAM, toy_task
from trainer.errors import KnobError, RecipeError
from trainer.knobs import Scalar
from trainer.merge import MergeConflict
from trainer.recipe import (
    BASELINE,
    Recipe,
    apply_change,
    change_between,
    make_recipe,
    materialise,
    program_sha256,
    recipe_from_data,
    recipe_from_program,
    recipe_id,
    recipe_to_data,
    unified_diff,
)

settings: st.SearchStrategy[dict[str, Scalar]] = st.fixed_dictionaries(
    {},
    optional={
        "SIZE": st.integers(1, 1024),
        "RATE": st.floats(0, 1),
        "NAME": st.sampled_from(KNOBS[2].choices),
        "FAST": st.booleans(),
    },
)
recipes = settings.map(lambda values: make_recipe(KNOB_TASK, values))


@given(settings)
def test_a_recipe_holds_only_what_differs_in_sorted_order(values: dict[str, Scalar]) -> None:
    recipe = make_recipe(KNOB_TASK, values)
    defaults = {name: knob.default for name, knob in KNOB_TASK.knobs.items()}
    assert recipe.knobs == {name: value for name, value in values.items() if value != defaults[name]}
    assert list(recipe.knobs) == sorted(recipe.knobs)
    assert recipe == make_recipe(KNOB_TASK, defaults | values)


@given(recipes, recipes)
def test_two_recipes_have_one_id_exactly_when_they_make_one_program(a: Recipe, b: Recipe) -> None:
    same = program_sha256(materialise(KNOB_TASK, a)) == program_sha256(materialise(KNOB_TASK, b))
    assert (recipe_id(a) == recipe_id(b)) == same == (a == b)
    assert len(recipe_id(a)) == 32


@given(recipes, recipes)
def test_a_change_leads_from_the_parent_to_the_candidate(parent: Recipe, candidate: Recipe) -> None:
    change = change_between(KNOB_TASK, parent, candidate)
    assert apply_change(KNOB_TASK, parent, change) == candidate
    assert bool(change) == (parent != candidate)
    assert all(old != new for old, new in change.knobs.values())


@given(recipes)
def test_the_program_of_a_recipe_leads_back_to_it(recipe: Recipe) -> None:
    assert recipe_from_program(KNOB_TASK, materialise(KNOB_TASK, recipe)) == recipe


@given(recipes)
def test_a_recipe_survives_msgpack_and_json(recipe: Recipe) -> None:
    data = recipe_to_data(recipe)
    for back in (msgpack.unpackb(msgpack.packb(data)), json.loads(json.dumps(data))):
        assert recipe_from_data(back) == recipe
        assert recipe_id(recipe_from_data(back)) == recipe_id(recipe)


def test_the_baseline_is_the_program_itself() -> None:
    assert make_recipe(KNOB_TASK, {}) == BASELINE
    assert materialise(KNOB_TASK, BASELINE) == KNOB_TASK.files


def test_the_id_of_a_recipe_never_changes() -> None:
    # Records in the world name recipes by this hash: another encoding would orphan them. These bytes are
    # msgpack by hand: maps of 2, 0 and 0 or 1 entries, short strings, a 64-bit float.
    empty = b"\x82\xa5files\x80\xa5knobs\x80"
    one = b"\x82\xa5files\x80\xa5knobs\x81\xa4RATE\xcb\x3f\xe0\0\0\0\0\0\0"
    assert recipe_id(BASELINE) == hashlib.sha256(empty).digest()
    assert recipe_id(make_recipe(KNOB_TASK, {"RATE": 0.5})) == hashlib.sha256(one).digest()


def test_unknown_knobs_wrong_values_and_fixed_files_are_refused() -> None:
    task = toy_task(PROGRAM, knobs=KNOBS, fixed={"score.py": "x = 1\n"})
    with pytest.raises(KnobError, match=r"no knob 'DEPTH'; its knobs are SIZE, RATE"):
        make_recipe(task, {"DEPTH": 2})
    with pytest.raises(KnobError, match="SIZE = 0"):
        make_recipe(task, {"SIZE": 0})
    with pytest.raises(RecipeError, match=r"score\.py is not editable"):
        make_recipe(task, {}, {"score.py": "x = 2\n"})
    with pytest.raises(RecipeError, match=r"score\.py is fixed"):
        recipe_from_program(task, {"score.py": "x = 2\n"})
    with pytest.raises(RecipeError, match=r"other\.py is no file"):
        recipe_from_program(task, {"other.py": ""})


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"knobs": {}},
        {"knobs": {}, "files": {}, "more": {}},
        {"knobs": [], "files": {}},
        {"knobs": {"A": None}, "files": {}},
        {"knobs": {"A": [1]}, "files": {}},
        {"knobs": {"A": float("nan")}, "files": {}},
        {"knobs": {"A": 2**63}, "files": {}},
        {"knobs": {"": 1}, "files": {}},
        {"knobs": {1: 1}, "files": {}},
        {"knobs": {"A": "x" * 2000}, "files": {}},
        {"knobs": {"A": "\ud800"}, "files": {}},
        {"knobs": {f"K{n}": n for n in range(300)}, "files": {}},
        {"knobs": {}, "files": {"train.py": 1}},
        {"knobs": {}, "files": {"train.py": "x" * 300_000}},
    ],
)
def test_what_is_no_recipe_is_a_named_error(data: object) -> None:
    with pytest.raises(RecipeError):
        recipe_from_data(data)


def test_another_spelling_of_a_value_is_the_same_recipe() -> None:
    respelled = PROGRAM.replace("2**4", "8 * 2")
    assert recipe_from_program(KNOB_TASK, {"train.py": respelled}) == BASELINE
    changed = PROGRAM.replace("2**4", "2**5")
    assert recipe_from_program(KNOB_TASK, {"train.py": changed}) == make_recipe(KNOB_TASK, {"SIZE": 32})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SIZE * RATE", "SIZE + RATE"),
        ("# a toy", "# my"),
        ("2**4", "4096"),
        ("FAST = False\n", ""),
        ("print(", "print(("),
    ],
)
def test_any_other_edit_is_a_recipe_of_files(old: str, new: str) -> None:
    text = PROGRAM.replace(old, new, 1)
    recipe = recipe_from_program(KNOB_TASK, {"train.py": text})
    assert recipe == Recipe(files={"train.py": text})
    assert materialise(KNOB_TASK, recipe)["train.py"] == text
    assert recipe_id(recipe) != recipe_id(BASELINE)


def test_knobs_are_set_in_the_edited_file() -> None:
    edited = PROGRAM.replace("SIZE * RATE", "SIZE + RATE")
    recipe = make_recipe(KNOB_TASK, {"SIZE": 3}, {"train.py": edited})
    assert materialise(KNOB_TASK, recipe)["train.py"] == edited.replace("2**4", "3")
    without = make_recipe(KNOB_TASK, {"SIZE": 3}, {"train.py": "print(1)\n"})
    with pytest.raises(KnobError, match="edited program has no module-level constant SIZE"):
        materialise(KNOB_TASK, without)


EDITS = (
    PROGRAM,
    PROGRAM.replace("SIZE * RATE", "SIZE + RATE"),
    PROGRAM.replace("# a toy program", "import math"),
    PROGRAM.replace("# a toy program", "import math").replace("SIZE * RATE", "math.sqrt(SIZE) * RATE"),
    "print(1)\n",
)
coded = st.builds(
    lambda values, text: make_recipe(KNOB_TASK, values, {"train.py": text}), settings, st.sampled_from(EDITS)
)


@given(coded, coded)
def test_a_change_with_edits_leads_from_the_parent_to_the_candidate(parent: Recipe, candidate: Recipe) -> None:
    change = change_between(KNOB_TASK, parent, candidate)
    assert apply_change(KNOB_TASK, parent, change) == candidate
    assert bool(change) == (parent != candidate)
    assert bool(change.edits) == (parent.files != candidate.files)


@given(settings, st.sampled_from(EDITS[:-1]))
def test_an_edit_and_knob_values_in_one_program_are_told_apart(values: dict[str, Scalar], text: str) -> None:
    recipe = make_recipe(KNOB_TASK, values, {"train.py": text})
    assert recipe_from_program(KNOB_TASK, materialise(KNOB_TASK, recipe)) == recipe


def test_edits_of_different_places_and_knob_changes_go_together_in_any_order() -> None:
    steps = [
        change_between(KNOB_TASK, BASELINE, recipe)
        for recipe in (
            make_recipe(KNOB_TASK, {}, {"train.py": EDITS[1]}),
            make_recipe(KNOB_TASK, {}, {"train.py": EDITS[2]}),
            make_recipe(KNOB_TASK, {"SIZE": 64}),
        )
    ]
    made = set()
    for order in permutations(steps):
        recipe = BASELINE
        for step in order:
            recipe = apply_change(KNOB_TASK, recipe, step)
        made.add(materialise(KNOB_TASK, recipe)["train.py"])
    (program,) = made
    assert program == EDITS[1].replace("# a toy program", "import math").replace("2**4", "64")


def test_an_edit_of_what_was_edited_otherwise_is_a_conflict_that_names_file_and_line() -> None:
    mine = make_recipe(KNOB_TASK, {}, {"train.py": PROGRAM.replace("SIZE * RATE", "SIZE - RATE")})
    theirs = change_between(KNOB_TASK, BASELINE, make_recipe(KNOB_TASK, {}, {"train.py": EDITS[1]}))
    with pytest.raises(MergeConflict, match=r"changes train\.py where it was changed already \(line 8\)") as caught:
        apply_change(KNOB_TASK, mine, theirs)
    assert (caught.value.file, caught.value.lines) == ("train.py", (8,))


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("place", ["an empty folder", "a subfolder of a repository"])
@pytest.mark.parametrize("unended", [False, True])
def test_git_applies_the_patch(tmp_path: Path, place: str, unended: bool) -> None:
    # Neither a form feed nor a line separator ends a line for git.
    program = f"{PROGRAM}# form feed \x0c and line separator \u2028 here\nFAST"
    task = toy_task(program if unended else program + "\n", knobs=KNOBS)
    parent, candidate = make_recipe(task, {"FAST": True}), make_recipe(task, {"SIZE": 99, "NAME": "üñí"})
    patch = tmp_path / "change.patch"
    patch.write_text(unified_diff(task, parent, candidate), encoding="utf-8", newline="\n")
    folder = tmp_path / "work"
    if place == "a subfolder of a repository":
        git(tmp_path, "init", "-q", "repository")
        folder = tmp_path / "repository" / "deep" / "down"
    folder.mkdir(parents=True)
    for name, text in materialise(task, parent).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    git(folder, "apply", str(patch))
    assert {path.name: path.read_text() for path in folder.iterdir()} == materialise(task, candidate)


def test_the_patch_between_equal_programs_is_empty() -> None:
    assert unified_diff(KNOB_TASK, BASELINE, BASELINE) == ""


def test_the_patch_of_a_knob_is_its_line() -> None:
    patch = unified_diff(KNOB_TASK, BASELINE, make_recipe(KNOB_TASK, {"RATE": 0.5}))
    assert patch.startswith("--- a/train.py\n+++ b/train.py\n@@ ")
    assert [line for line in patch.splitlines()[2:] if line[0] in "+-"] == ["-RATE = 1e-3", "+RATE = 0.5"]
