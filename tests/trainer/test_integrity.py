"""How far a value can be believed, and what of the way it is scored belongs to a task."""

import pytest

from tests.trainer.toys import KNOB_TASK
from trainer.integrity import level
from trainer.recipe import BASELINE, make_recipe
from trainer.schema import Evaluate

EVALUATE = Evaluate(tokens="val.npy", starts="starts.npy", token_bytes="bytes.npy", window=8)
AUDITED_TASK = KNOB_TASK.model_copy(update={"evaluate": EVALUATE})
EDITED = make_recipe(KNOB_TASK, {}, {"train.py": "print('---')\nprint('score: 1')\n"})


def test_the_level_follows_from_what_was_changed_and_how_the_task_scores() -> None:
    knobs = make_recipe(KNOB_TASK, {"SIZE": 2})
    assert [level(KNOB_TASK, recipe) for recipe in (BASELINE, knobs, EDITED)] == ["trusted", "trusted", "reported"]
    assert [level(AUDITED_TASK, recipe) for recipe in (BASELINE, knobs, EDITED)] == ["trusted", "trusted", "audited"]
    foreign = AUDITED_TASK.model_copy(update={"reported": True})
    assert {level(foreign, recipe) for recipe in (BASELINE, knobs, EDITED)} == {"reported"}


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [("tokens", "test.npy", False), ("window", 9, False), ("hidden", ("a.py",), False), ("positions", 3, True)],
)
def test_the_way_of_scoring_is_part_of_the_fingerprint_and_the_closeness_of_the_audit_is_not(
    key: str, value: object, same: bool
) -> None:
    other = AUDITED_TASK.model_copy(update={"evaluate": EVALUATE.model_copy(update={key: value})})
    assert (other.fingerprint == AUDITED_TASK.fingerprint) is same
    assert AUDITED_TASK.fingerprint != KNOB_TASK.fingerprint
