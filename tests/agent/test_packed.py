"""Code in records: what fits, what comes back, and what a stranger's bytes may not do."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import entries, packed
from agent.entries import BadBody, Result
from agent.packed import MAX_TEXT_BYTES, check_fits, files_of, pack, recipe_body, unpack
from gossip.record import MAX_BYTES, Record, pack_body, parse, sign
from tests.agent.world import identity, make_result
from tests.trainer.toys import PROGRAM, toy_task
from trainer.errors import RecipeError
from trainer.recipe import BASELINE, Recipe, change_between, make_recipe

TASK = toy_task(PROGRAM)
ME = identity(1)


def noise(size: int) -> str:
    """A text that deflates to about three quarters of its size."""
    return "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", k=size))


@given(st.text(), st.text())
def test_a_text_comes_back_with_or_without_a_dictionary(text: str, like: str) -> None:
    assert unpack(pack(text)) == text
    assert unpack(pack(text, like=like), like=like) == text


def test_what_a_small_edit_replaced_takes_a_few_bytes() -> None:
    text = noise(32_000)
    assert len(pack(text.replace(text[500:540], "an edit"), like=text)) < 300


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zlib at all",
        pack("a text")[:-1],
        pack("a text") + b"more",
        zlib.compress(b"\xff\xfe"),
        pack("needs a dictionary", like="a dictionary"),
        zlib.compress(bytes(MAX_TEXT_BYTES + 1)),
        zlib.compress(bytes(100_000_000)),
    ],
    ids=["empty", "garbage", "cut", "more", "not UTF-8", "dictionary", "too large", "bomb"],
)
def test_what_is_no_packed_text_is_a_named_error(data: bytes) -> None:
    with pytest.raises(RecipeError):
        unpack(data)


def test_the_largest_code_fits_in_a_record_and_more_is_refused_before_it_is_run() -> None:
    parent = make_recipe(TASK, {}, {"train.py": noise(60_000)})
    candidate = make_recipe(TASK, {}, {"train.py": noise(60_000)[:30_000] + "x"})
    check_fits(parent, candidate, change_between(TASK, parent, candidate))
    result = make_result(TASK, parent, candidate, {0: (0.9, 1.0)}, "keep", effect=0.1)
    record = entries.write(ME, TASK.fingerprint, 1_700_000_000_000, result)
    assert len(record.raw) <= MAX_BYTES
    large = make_recipe(TASK, {}, {"train.py": noise(80_000)})
    with pytest.raises(RecipeError, match=r"59 KiB deflated, and a record carries at most 48"):
        recipe_body(large)
    with pytest.raises(RecipeError, match="deflated"):
        check_fits(
            parent, make_recipe(TASK, {}, {"train.py": noise(60_000)[::-1]}), change_between(TASK, parent, large)
        )


def test_a_record_with_too_much_code_is_refused_at_the_door() -> None:
    result = make_result(TASK, BASELINE, Recipe({}, {"train.py": "x\n"}), {0: (0.9, 1.0)}, "keep", effect=0.1)
    for forged in (
        {"candidate": {"knobs": {}, "files": {"a": bytes(30_000), "b": bytes(20_000)}}},
        {"edits": {"train.py": bytes(49_200)}},
        {"candidate": {"knobs": {}, "files": {"a": bytes(30_000)}}, "edits": {"a": bytes(20_000)}},
        {"candidate": {"knobs": {}, "files": {"train.py": "a text that is not packed"}}},
    ):
        record = sign(ME, "result", TASK.fingerprint, 1_700_000_000_000, pack_body(result.model_dump() | forged))
        with pytest.raises(BadBody):
            entries.check(record)


def test_the_same_text_of_many_records_is_held_once() -> None:
    body = recipe_body(Recipe({}, {"train.py": noise(1000)}))
    assert files_of(body)["train.py"] is files_of(body)["train.py"]


def test_records_without_edits_are_read_as_before() -> None:
    result = make_result(TASK, BASELINE, Recipe({}, {"train.py": "x\n"}), {0: (0.9, 1.0)}, "keep", effect=0.1)
    body = result.model_dump() | {"candidate": {"knobs": {}, "files": {}}}
    del body["edits"]
    record = Record("result", TASK.fingerprint, ME.author, 1_700_000_000_000, pack_body(body), bytes(64))
    read = entries.read(parse(record.raw))
    assert isinstance(read, Result)
    assert read.edits == {}
    assert packed.change_of(TASK, read).edits == {}
