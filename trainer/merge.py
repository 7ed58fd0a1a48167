"""Putting another's edit of a file onto one's own version of it: a three-way merge by lines.

What both sides left alone, or changed alike, is taken as it is; lines that each changed in a way of its own are a
conflict, and no guess is made.
"""

from collections import Counter
from typing import Final

from merge3 import Merge3

from trainer.errors import RecipeError

MAX_LINES: Final = 5000  # of one version: what takes half a second with the worst lines that a stranger can think of


class MergeConflict(RecipeError):
    """An edit does not fit onto a file.

    Attributes:
        file: its name.
        lines: the lines of one's own version, counted from 1, that the edit changes too; empty if it is too long.
    """

    def __init__(self, file: str, lines: tuple[int, ...]) -> None:
        self.file = file
        self.lines = lines
        where = f"changes {file} where it was changed already (line {', '.join(map(str, lines))})"
        super().__init__(f"the edit {where}" if lines else f"{file} has more than {MAX_LINES} lines: it is not merged")


def merge(file: str, base: str, theirs: str, ours: str) -> str:
    """`ours` with what leads from `base` to `theirs`. file: for the error's words.

    Raises MergeConflict.
    """
    if ours in (base, theirs):
        return theirs
    if theirs == base:
        return ours
    versions = [lines_of(text) for text in (base, ours, theirs)]
    if any(len(version) > MAX_LINES for version in versions):
        raise MergeConflict(file, ())
    before, mine, yours = versions
    merged: list[str] = []
    conflicts: list[int] = []
    for kind, *bounds in Merge3(before, mine, yours).merge_regions():
        if kind == "conflict":
            conflicts.append(bounds[2] + 1)
        else:
            first, end = bounds
            merged += {"unchanged": before, "b": yours}.get(kind, mine)[first:end]
    if conflicts:
        raise MergeConflict(file, tuple(conflicts))
    return "".join(merged)


def lines_changed(old: str, new: str) -> tuple[int, int]:
    """How many lines an edit adds and removes; one that only changed its place is neither."""
    before, after = Counter(lines_of(old)), Counter(lines_of(new))
    return (after - before).total(), (before - after).total()


def lines_of(text: str) -> list[str]:
    """Lines with their ends. Only the newline ends a line for git, unlike for `str.splitlines`."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
