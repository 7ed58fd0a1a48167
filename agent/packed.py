"""Edited files as records carry them: deflated (zlib, RFC 1950), so that whole texts fit in a record.

A candidate's files are whole, so that a stranger needs nothing else. What the parent had instead is deflated with the
candidate's text as the dictionary: of a small edit that is a few dozen bytes. What a stranger sends is inflated to a
bounded size.
"""

import zlib
from collections.abc import Mapping
from sys import intern
from typing import Final

from agent.entries import MAX_PACKED_BYTES, RecipeBody, Result
from trainer.errors import RecipeError
from trainer.merge import lines_changed
from trainer.recipe import Change, Recipe
from trainer.task import Task

MAX_TEXT_BYTES: Final = 256 * 1024  # of one file, inflated
WINDOW: Final = 32 * 1024  # how far back deflate can refer


def pack(text: str, like: str = "") -> bytes:
    """The text deflated. like: a text that the reader has too."""
    packer = zlib.compressobj(level=9, zdict=_dictionary(like)) if like else zlib.compressobj(level=9)
    return packer.compress(text.encode()) + packer.flush()


def unpack(packed: bytes, like: str = "") -> str:
    """The text that `pack` was given. Raises RecipeError for anything else, or more than MAX_TEXT_BYTES."""
    unpacker = zlib.decompressobj(zdict=_dictionary(like)) if like else zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, MAX_TEXT_BYTES + 1)
        text = data.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise RecipeError(f"an edited file is not what deflate makes of a text: {error}") from error
    if len(data) > MAX_TEXT_BYTES or not unpacker.eof or unpacker.unused_data:
        raise RecipeError(f"an edited file is cut short, or larger than {MAX_TEXT_BYTES} bytes")
    return intern(text)  # many records carry the same text


def _dictionary(like: str) -> bytes:
    return like.encode()[-WINDOW:]


def recipe_body(recipe: Recipe) -> RecipeBody:
    """The recipe as a record carries it. Raises RecipeError for more code than fits."""
    files = {name: pack(text) for name, text in recipe.files.items()}
    _check_size(files, {})
    return RecipeBody(knobs=dict(recipe.knobs), files=files)


def files_of(body: RecipeBody) -> dict[str, str]:
    """The texts of a recipe's edited files. Raises RecipeError."""
    return {name: unpack(packed) for name, packed in body.files.items()}


def edits_body(parent: Recipe, change: Change) -> dict[str, bytes | None]:
    """What the parent had in place of the candidate's edited files; None where that is the task's own text."""
    return {name: pack(old, like=new) if name in parent.files else None for name, (old, new) in change.edits.items()}


def check_fits(parent: Recipe, candidate: Recipe, change: Change) -> None:
    """Raise RecipeError unless a record has room for what the candidate and its parent edit."""
    _check_size(recipe_body(candidate).files, edits_body(parent, change))


def change_of(task: Task, result: Result) -> Change:
    """What a result says that it changed, not yet checked against its recipes. Raises RecipeError."""
    after = files_of(result.candidate)
    edits = {}
    for name, packed in result.edits.items():
        if name not in task.editable:
            raise RecipeError(f"{name} is not editable in {task.name}")
        new = after.get(name, task.files[name])
        edits[name] = (task.files[name] if packed is None else unpack(packed, like=new), new)
    return Change(result.change, edits)


def edit_sizes(task: Task, result: Result) -> dict[str, tuple[int, int] | None]:
    """How many lines of each edited file were added and removed; None for an edit that cannot be read."""
    try:
        edits = change_of(task, result).edits
    except RecipeError:
        return dict.fromkeys(result.edits)
    return {file: lines_changed(old, new) for file, (old, new) in edits.items()}


def _check_size(files: Mapping[str, bytes], edits: Mapping[str, bytes | None]) -> None:
    size = sum(len(packed or b"") for packed in (*files.values(), *edits.values()))
    if size > MAX_PACKED_BYTES:
        raise RecipeError(
            f"the edited files are {size / 1024:.0f} KiB deflated, and a record carries at most "
            f"{MAX_PACKED_BYTES // 1024}: edit less of the program, or shorten it"
        )
