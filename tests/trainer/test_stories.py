"""The stories: the same bytes everywhere, and an entropy that is neither too low nor too high."""

import hashlib
import importlib
import itertools
import lzma
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.task import load_task

PROGRAM = Path(__file__).parents[2] / "trainer" / "gpt"
SIBLINGS = ("stories", "words", "prepare")
SEEDS = st.integers(min_value=0, max_value=2**64 - 1)

CORPUS_SHA256 = "b085818d028bcf0c0766a20321330e24166f1a5ca680020833cc4efbb39245ca"  # stories of seeds 0 to 2999


@pytest.fixture(scope="module")
def stories() -> Iterator[ModuleType]:
    sys.path.insert(0, str(PROGRAM))
    yield importlib.import_module("stories")
    sys.path.remove(str(PROGRAM))
    for name in SIBLINGS:
        sys.modules.pop(name, None)


def words_by_form(slots: list[tuple[Any, int]], form: str) -> dict[str, list[tuple[Any, int]]]:
    """What a draw may say in one form, with the entries that say it and their bits."""
    distinct = {id(entry): (entry, bits) for entry, bits in slots}
    said: dict[str, list[tuple[Any, int]]] = {}
    for entry, bits in distinct.values():
        said.setdefault(entry[form], []).append((entry, bits))
    return said


def derivations(stories: ModuleType, text: str) -> list[int]:
    """The bits of every way in which the grammar yields a text: an exhaustive search that knows the text alone."""
    found = []
    cache: dict[tuple[int, str], dict[str, list[tuple[Any, int]]]] = {}
    todo: list[tuple[int, Any, dict[str, Any], int]] = [
        (0, (("", "rule", "", "", stories.CHOICES["story"]), None), {}, 0)
    ]
    while todo:
        at, ahead, memory, bits = todo.pop()
        if ahead is None:
            found += [bits] if text[at:] == "\n" else []
            continue
        (literal, kind, slot, form, slots), ahead = ahead
        if not text.startswith(literal, at):
            continue
        at += len(literal)
        if kind == "":
            todo.append((at, ahead, memory, bits))
        elif kind == "rule":
            for parts, cost in {id(parts): (parts, cost) for parts, cost in slots}.values():
                expanded = ahead
                for part in reversed(parts):
                    expanded = (part, expanded)
                todo.append((at, expanded, memory, bits + cost))
        elif kind == "draw":
            said = cache.setdefault((id(slots), form), {}) or words_by_form(slots, form)
            cache[id(slots), form] = said
            for length in {len(word) for word in said}:
                for entry, cost in said.get(text[at : at + length], []):
                    todo.append((at + length, ahead, {**memory, slot: entry}, bits + cost))
        else:
            if kind == "recall":
                word = memory[slot][form]
            else:
                sign = {"+": 1, "-": -1}[kind]
                word = str(int(memory[slot][""]) + sign * int(memory[form][""]))
            if text.startswith(word, at):
                todo.append((at + len(word), ahead, memory, bits))
    return found


def test_splitmix64_gives_its_published_numbers(stories: ModuleType) -> None:
    outputs = stories.splitmix64(1234567)
    assert [next(outputs) for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_corpus_has_its_bytes(stories: ModuleType) -> None:
    text = "".join(stories.story(seed).text for seed in range(3000))
    assert hashlib.sha256(text.encode()).hexdigest() == CORPUS_SHA256


@pytest.mark.parametrize("options", [["-O"], ["-X", "utf8=0"]])
def test_another_process_tells_the_same_stories(stories: ModuleType, options: list[str]) -> None:
    code = "import stories; print(*(stories.story(seed).text for seed in range(99)), sep='', end='')"
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": str(PROGRAM), "PATH": os.environ["PATH"], "LC_ALL": "C"}
    told = subprocess.run([sys.executable, *options, "-c", code], env=environment, capture_output=True, check=True)
    assert told.stdout.decode() == "".join(stories.story(seed).text for seed in range(99))


@given(seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_a_story_is_one_line_of_ascii_and_has_one_derivation(stories: ModuleType, seed: int) -> None:
    story = stories.story(seed)
    assert story.text.isascii()
    assert story.text[:-1].isprintable()
    assert story.text[-1] == "\n"
    assert derivations(stories, story.text) == [story.bits]


def test_a_text_that_is_no_story_has_no_derivation(stories: ModuleType) -> None:
    text = stories.story(1).text
    assert derivations(stories, text[:-2] + "\n") == []
    assert derivations(stories, text.replace(" and ", " but ", 1)) == []
    assert derivations(stories, text + text) == []


def test_the_floor_of_the_task_is_the_entropy_of_the_held_out_stories(stories: ModuleType) -> None:
    prepare = importlib.import_module("prepare")
    held_out = [stories.story(prepare.VAL_SEED + i) for i in range(prepare.VAL_STORIES)]
    bits = 0
    for story in held_out:
        (cost,) = derivations(stories, story.text)
        bits += cost
    assert bits / sum(len(story.text) for story in held_out) == load_task("story-cpu").metric.floor


def test_the_probabilities_of_every_choice_add_up_to_one(stories: ModuleType) -> None:
    for slots in [*stories.LISTS.values(), *stories.CHOICES.values()]:
        assert len(slots) == 2**stories.DRAW_BITS
        distinct = {id(value): bits for value, bits in slots}
        assert sum(2.0**-bits for bits in distinct.values()) == 1
        for value, bits in list(slots)[:: len(slots) // 16]:
            assert sum(other is value for other, _ in slots) == 2 ** (stories.DRAW_BITS - bits)


@given(weights=st.lists(st.integers(1, 99), min_size=2, max_size=60))
def test_a_heavier_choice_never_costs_more(stories: ModuleType, weights: list[int]) -> None:
    lengths = stories.code_lengths(weights)
    assert sum(2.0**-bits for bits in lengths) == 1
    ranked = sorted(zip(weights, lengths, strict=True))
    for (light, long), (heavy, short) in itertools.pairwise(ranked):
        assert short <= long or light == heavy


def test_a_choice_too_rare_for_one_draw_is_refused(stories: ModuleType) -> None:
    with pytest.raises(ValueError, match="does not fit one draw"):
        stories.code_lengths([2**i for i in range(20)])


def test_people_of_different_roles_share_no_name(stories: ModuleType) -> None:
    roles = [{entry[""] for entry, _ in stories.LISTS[role]} for role in ("hero", "friend", "stranger")]
    assert sum(map(len, roles)) == len(set.union(*roles))


def test_a_compressor_stays_above_the_floor(stories: ModuleType) -> None:
    told = [stories.story(seed) for seed in range(1500)]
    text = "".join(story.text for story in told)
    floor = sum(story.bits for story in told) / len(text)
    assert 0.65 < floor < 1.0
    assert 8 * len(lzma.compress(text.encode(), preset=9)) / len(text) > 1.5 * floor
