"""How the view writes numbers, times and names: short, aligned, and with nothing in them that steers a terminal."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from node.events import change_text, percent, printable, value_text

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400
VERDICT_STYLES: Final = {
    "keep": "bold green",
    "simpler": "bold green",
    "discard": "dim",
    "inconclusive": "yellow",
    "crash": "red",
}


def name(row: Mapping[str, Any], width: int = 14) -> Text:
    """Who: this node's own in bold."""
    return Text(printable(str(row["alias"]))[:width], "bold" if row.get("own") else "")


def plain(text: object) -> str:
    """A text of anybody, safe for a terminal."""
    return printable(str(text))


def change(row: Mapping[str, Any]) -> str:
    """A change in words."""
    return printable(change_text(row["change"], row.get("edits")))


def value(number: float | None) -> Text:
    """A metric's value, flush right."""
    return Text(value_text(number), justify="right")


def signed(number: float | None) -> Text:
    """An effect: better in green, worse in red."""
    if number is None or not math.isfinite(number):
        return Text("–", justify="right")
    return Text(f"{number:+.4f}" if abs(number) < 1e4 else f"{number:+.3g}", effect_style(number), justify="right")


def effect_style(number: float) -> str:
    """The style of an improvement, or its opposite."""
    return "green" if number > 0 else "red" if number < 0 else ""


def interval(low: float | None, high: float | None) -> Text:
    """`-0.01 to 0.03`."""
    if low is None or high is None:
        return Text("–", "dim")
    return Text(f"{low:+.3g} to {high:+.3g}", "dim")


def share(number: float | None) -> Text:
    """A relative change as a percentage."""
    return Text(percent(number), justify="right")


def ago(then_ms: int | None, now_ms: int) -> Text:
    """`12 s`, `3 min`, `5 h`, `2 d` before now."""
    return Text("–", "dim") if then_ms is None else Text(span((now_ms - then_ms) / 1000), justify="right")


def span(seconds: float) -> str:
    """A duration in its largest unit."""
    seconds = max(0.0, seconds)
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.0f} h" if seconds < 2 * DAY else f"{seconds / DAY:.0f} d"


def clock(seconds: float | None) -> str:
    """Time left: `0:07`."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    return f"{int(seconds) // MINUTE}:{int(seconds) % MINUTE:02d} left"


def date(time_ms: int) -> str:
    """A time by this machine's clock."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ms / 1000))
    except (OverflowError, ValueError, OSError):  # a record may claim any time
        return str(time_ms)


def bar(fraction: float, width: int) -> Text:
    """A progress bar of so many cells."""
    full = round(max(0.0, min(1.0, fraction)) * width)
    return Text.assemble(("━" * full, "green"), ("─" * (width - full), "dim"))


def whisker(low: float | None, mean: float | None, high: float | None, reach: float, width: int) -> Text:
    """One line of a forest plot: interval and mean on a scale from -reach to reach, with zero marked."""
    cells = [" "] * width

    def place(number: float) -> int:
        return min(width - 1, max(0, round((number / reach + 1) / 2 * (width - 1))))

    if low is not None and high is not None:
        for cell in range(place(low), place(high) + 1):
            cells[cell] = "─"
    cells[place(0.0)] = "┼" if cells[place(0.0)] == "─" else "│"
    if mean is not None:
        cells[place(mean)] = "●"
    clear = low is not None and high is not None and (low > 0 or high < 0)
    return Text("".join(cells), effect_style(mean or 0.0) if clear else "dim")


def reach_of(ends: Sequence[float | None]) -> float:
    """How far a forest plot's scale reaches: to the middle of the upper half of the interval ends, so that one wide
    interval does not make dots of all others.
    """
    known = sorted(abs(end) for end in ends if end is not None and math.isfinite(end))
    return known[len(known) * 3 // 4] * 1.2 or 1.0 if known else 1.0
