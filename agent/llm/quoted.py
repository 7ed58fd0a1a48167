"""What strangers and programs wrote, as data that a model reads: bounded, printable, and marked so that nobody's text
can pass for instructions or end its own quotation.
"""

import hashlib
import json
from collections.abc import Iterable

from trainer.output import clean


def quote(text: str, characters: int) -> str:
    """One line of a stranger's text as a JSON string of about so many characters at most."""
    line = clean(" ".join(text[: 4 * characters].split()))
    line = line if len(line) <= characters else line[: characters - 1] + "…"
    # as it stands no quoted text can look like the marks of `block`
    return json.dumps(line, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")


def block(name: str, text: str) -> str:
    """A text of many lines between two marks that it cannot hold itself: they name its hash."""
    mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
    return f"<data {name} {mark}>\n{text}\n</data {mark}>"


def lines(text: str, characters: int) -> str:
    """The last so many characters of a program's output, each line printable."""
    return "\n".join(clean(line) for line in text[-characters:].splitlines())


def shortened(items: Iterable[str], characters: int) -> list[str]:
    """As many of the items, from the first on, as have so many characters together."""
    kept: list[str] = []
    for item in items:
        characters -= len(item) + 1
        if characters < 0:
            break
        kept.append(item)
    return kept
