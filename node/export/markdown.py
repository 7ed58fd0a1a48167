"""Markdown from values and from texts of strangers, which say in it what they say and nothing more.

A text of a peer must not become a heading, a link or a piece of HTML wherever the report is read. What CommonMark or
GitHub gives a meaning is escaped, and nothing else, so that the report also reads well as it is.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from node.events import printable

# an underscore inside a word means nothing, and knobs' names are full of them
SPECIAL: Final = re.compile(r"[\\`*\[\]<>|~$]|&(?=[#A-Za-z])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
LEADING: Final = re.compile(r"^([#=+-]|\d{1,9}(?=[.)](\s|$)))")  # what begins a heading or list


def text(said: str) -> str:
    """The text on one line of Markdown, with nothing in it that has a meaning there."""
    escaped = SPECIAL.sub(r"\\\g<0>", printable(" ".join(said.split())))
    return LEADING.sub(lambda found: f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}", escaped)


def code(said: str) -> str:
    """An id or command as code. The text is this program's own."""
    return f"`{said}`"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table with a blank line after it. A column's name that ends in a colon is aligned to the right.

    Cells are Markdown.
    """
    head = [column.removesuffix(":") for column in columns]
    rule = ["---:" if column.endswith(":") else "---" for column in columns]
    return [*(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)), ""]


def bullets(lines: Iterable[str]) -> list[str]:
    """A list with a blank line after it. Lines are Markdown."""
    return [*(f"- {line}" for line in lines), ""]
