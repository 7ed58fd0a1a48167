"""The charts: how far the swarm and this node have come, and the loss of the trial that runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Label
from textual_plotext import PlotextPlot

from node.events import value_text
from node.watch import words

SPARED: Final = 0.95  # of the points are in view: a value near divergence would flatten all others
TRIED: Final = "gray"
KEPT: Final = "green+"
SWARM: Final = "orange+"
OWN: Final = "blue+"
LEVEL: Final = "gray+"
LEGEND: Final = {TRIED: "bright_black", KEPT: "bright_green", SWARM: "bright_yellow", OWN: "bright_blue"}


class Progress(Vertical):
    """All experiments as points, the best kept recipe as steps."""

    DEFAULT_CSS = "Progress Label { padding: 0 1; color: $text-muted; }"

    def compose(self) -> ComposeResult:
        yield Label(id="progress-words")
        yield PlotextPlot(id="progress-plot")

    def show(self, progress: Mapping[str, Any]) -> None:
        """Show `/api/progress`."""
        self.query_one("#progress-words", Label).update(_in_words(progress))
        plot = self.query_one("#progress-plot", PlotextPlot)
        chart = plot.plt
        chart.clear_data()
        points = progress["points"]
        last = progress["of"]
        kept: list[tuple[int, float]] = []
        tried: list[tuple[int, float]] = []
        for number, value, verdict in zip(points["number"], points["value"], points["verdict"], strict=True):
            if value is not None:
                (kept if verdict in ("keep", "simpler") else tried).append((number, value))
        for dots, colour in ((tried, TRIED), (kept, KEPT)):
            if dots:
                chart.scatter(*map(list, zip(*dots, strict=True)), marker="dot", color=colour)
        for whose, colour in (("swarm", SWARM), ("own", OWN)):
            if progress[whose]:
                chart.plot(*stairs(progress[whose], last), marker="braille", color=colour)
        low, high = _limits(progress)
        for name in ("floor", "baseline"):
            level = progress[name]
            if level is not None and low <= level <= high:
                chart.hline(level, color=LEVEL)
        chart.ylim(low, high)
        chart.xticks(sorted({1, *(round(last * part / 4) for part in range(1, 5))}) if last else [])
        chart.xlabel("experiment")
        plot.refresh()


def _in_words(progress: Mapping[str, Any]) -> Text:
    """What the chart shows, and the legend."""
    unit = f" ({progress['unit']})" if progress["unit"] else ""
    better = "lower" if progress["direction"] == "minimize" else "higher"
    told = [f"{progress['metric']}{unit}, {better} is better; {progress['of']:,} experiments"]
    told += [f"{name} {value_text(progress[name])}" for name in ("baseline", "floor") if progress[name] is not None]
    text = Text(", ".join(told) + "\n")
    for mark, colour, name in (("•", TRIED, "tried"), ("•", KEPT, "kept"), ("─", SWARM, "swarm"), ("─", OWN, "own")):
        text.append(mark, LEGEND[colour])
        steps = progress[name] if name in ("swarm", "own") else []
        text.append(f" {name}{' ' + value_text(steps[-1]['value']) if steps else ''}   ")
    return text


def stairs(steps: Sequence[Mapping[str, Any]], last: int) -> tuple[list[float], list[float]]:
    """A step line through (number, value), held until experiment `last`."""
    across: list[float] = []
    up: list[float] = []
    for step, after in zip(steps, [*steps[1:], {"number": last}], strict=True):
        across += [step["number"], max(after["number"], step["number"])]
        up += [step["value"], step["value"]]
    return across, up


def _limits(progress: Mapping[str, Any]) -> tuple[float, float]:
    """From the best to the worst but the worst few, with some air."""
    minimize = progress["direction"] == "minimize"
    seen = sorted(
        (value for value in progress["points"]["value"] if value is not None and math.isfinite(value)),
        reverse=not minimize,
    )
    known = [*seen[: max(2, math.ceil(len(seen) * SPARED))], *(step["value"] for step in progress["swarm"])]
    if progress["baseline"] is not None:
        known.append(progress["baseline"])
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    air = (high - low or abs(high) or 1.0) * 0.05
    return low - air, high + air


class Trial(Vertical):
    """This node's own trials: how far, and the curve of the loss."""

    DEFAULT_CSS = "Trial Label { padding: 0 1; color: $text-muted; }"

    def compose(self) -> ComposeResult:
        yield Label(id="trial-words")
        yield PlotextPlot(id="trial-plot")

    def show(self, trial: Mapping[str, Any]) -> None:
        """Show `/api/trial`."""
        shown = trial["running"] or ([trial["last"]] if trial["last"] else [])
        text = "\n".join(in_one_line(one, 24) for one in shown[:4]) or "no trial runs"
        self.query_one("#trial-words", Label).update(text if trial["running"] else f"the last trial: {text}")
        plot = self.query_one("#trial-plot", PlotextPlot)
        chart = plot.plt
        chart.clear_data()
        for one in shown[:4]:
            curve = [(100 * at, loss) for at, loss in one["curve"] if math.isfinite(loss)]
            if curve:
                chart.plot(*map(list, zip(*curve, strict=True)), marker="braille", label=words.plain(one["label"])[:40])
        chart.xlim(0, 100)
        chart.xlabel("% of the budget")
        chart.ylabel("loss")
        plot.refresh()


def in_one_line(trial: Mapping[str, Any], width: int) -> str:
    """A trial in words, with a bar of so many cells."""
    parts = [words.plain(trial["label"])[:48], f"{words.bar(trial['fraction'], width).plain} {trial['fraction']:4.0%}"]
    if trial["loss"] is not None:
        parts.append(f"loss {trial['loss']:.3f}")
    if trial["tokens_per_second"] is not None:
        parts.append(f"{trial['tokens_per_second'] / 1000:.1f}k tok/s")
    if left := words.clock(trial["seconds_left"]):
        parts.append(left)
    return "  ".join(parts)
