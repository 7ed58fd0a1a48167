"""The feed: one line per event, in colour on a terminal, plain text in a pipe, JSON on request.

On a terminal the running trial stands below the feed as a progress bar with loss, speed and time left.
"""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from agent.entries import kept
from gossip.database import FULL_DISK
from node.events import Event, change_text, count, number, percent, printable, settings_text, value_text

VERDICTS: Final = {
    # verdict: (mark, word, style); a replication has its own words
    "keep": ("★", "discovery", "bold green"),
    "simpler": ("☆", "simpler", "bold green"),
    "discard": ("·", "no gain", "dim"),
    "inconclusive": ("~", "unclear", "dim yellow"),
    "crash": ("✗", "crash", "red"),
}
REPLICATIONS: Final = {
    "keep": ("✔", "adopted", "bold cyan"),
    "simpler": ("✔", "simpler", "bold cyan"),
    "discard": ("·", "not here", "magenta"),
    "inconclusive": ("~", "unclear", "dim yellow"),
    "crash": ("✗", "crash", "red"),
}
WHO_WIDTH: Final = 14
WORD_WIDTH: Final = 10
LEAST_TEXT: Final = 12
CUT: Final = frozenset({"result", "confirmed", "calibration"})  # to one line; what else is said must come whole


def feed_console(*, json: bool) -> Console:
    """Standard output as the feed writes it: soft wrapping off, no markup in what peers wrote."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, no_color=True if json else None)


def line_of(event: Event, width: int | None = None) -> Text | None:
    """The event's line, or None for an event that the feed does not show.

    width: of the terminal; a line that is too long for it loses the end of its first part, not the figures behind.
    """
    body = LINES[event.kind](event)
    if body is None:
        return None
    mark, word, style, text, figures = body if len(body) == 5 else (*body, [])
    clock = time.strftime("%H:%M:%S", time.localtime(event.time_ms / 1000))
    line = Text()
    line.append(clock, "dim").append("  ")
    line.append(f"{printable(event.who[:WHO_WIDTH]):<{WHO_WIDTH}}", "bold" if event.own else "blue").append("  ")
    line.append(f"{mark} {word:<{WORD_WIDTH}}", style).append("  ")
    if event.kind != "listening":  # that one is this node's own, and has line breaks
        text.plain = printable(text.plain)
    room = width - line.cell_len if width is not None and event.kind in CUT else None
    if room is not None and figures and text.cell_len + _joined(figures).cell_len > room:
        figures[0] = figures[0].split(" → ")[-1]  # the parent's value is the first that can be spared
    tail = _joined(figures)
    if room is not None and text.cell_len + tail.cell_len > room:
        text.truncate(max(LEAST_TEXT, room - tail.cell_len), overflow="ellipsis")
    return line.append_text(text).append_text(tail)


def _joined(figures: list[Text]) -> Text:
    joined = Text.assemble(*(part for figure in figures for part in ("  ", figure)))
    joined.plain = printable(joined.plain)
    return joined


# mark, word, its style, the text, and figures that stay visible on a narrow terminal
Body = tuple[str, str, str, Text] | tuple[str, str, str, Text, list[Text]]


def _result(event: Event) -> Body:
    data = event.data
    mark, word, style = (REPLICATIONS if data["replicates"] else VERDICTS)[data["verdict"]]
    figures = []
    if data["value"] is not None and data["parent_value"] is not None:
        adopted = kept(data["verdict"])
        values = f"{value_text(data['parent_value'])} → {value_text(data['value'])}"
        figures.append(Text(values, "default" if adopted else "dim"))
        figures.append(Text(percent(data["relative"]), "green" if adopted else "dim"))
        figures.append(Text(count(len(data["seeds"]), "seed"), "dim"))
    elif data["reason"]:
        figures.append(Text(data["reason"], "red"))
    if data["replicates"]:
        figures.append(Text(f"found by {data['replicates_of']}", "dim"))
    text = change_text(data["change"], data.get("edits"))
    return mark, word, style, Text(text), [*figures, Text(data["id"][:8], "dim")]


def _trial(event: Event) -> Body | None:
    data = event.data
    if data["status"] == "ok":
        return (
            None
            if not data.get("first")
            else (
                "▸",
                "trial",
                "green",
                Text(f"first trial: {data['metric']} {value_text(data['value'])} in {data['seconds']:.1f} s"),
            )
        )
    return "✗", data["status"], "red", Text(data["reason"])


def _listening(event: Event) -> Body:
    does = f"task {event.data['task']}" if event.data.get("research", True) else "keeping the log, no research"
    swarm = f"{'private ' if event.data.get('private') else ''}swarm {event.data['swarm']}"
    text = Text(f"{does}, {swarm}. Join from another machine with\n")
    text.append(f"\n    {event.data['join']}\n", "bold")
    if event.data.get("private"):
        text.append("\n    or with the text that `arnode invite` prints on this one.\n")
    if event.data.get("url"):
        text.append(f"\n    Figures of this node: {event.data['url']}/metrics\n", "dim")
    return "◉", "listening", "bold green", text


def _peer(event: Event) -> Body:
    if event.data["state"] == "connected":
        return "+", "peer", "blue", Text(f"connected at {event.data['address']}")
    return "-", "peer", "dim", Text("connection lost")


def _sync(event: Event) -> Body | None:
    received, sent = event.data["received"], event.data["sent"]
    return (
        ("⇄", "sync", "blue", Text(f"{count(received, 'record')} received, {sent} sent")) if received or sent else None
    )


def _calibration(event: Event) -> Body:
    values = list(event.data["values"].values())
    text = Text(f"{event.data['metric']} on {len(values)} seeds: " + ", ".join(map(value_text, values)))
    return "≈", "calibrated", "dim cyan", text


def _stopped(event: Event) -> Body:
    return "■", "stopped", "bold", Text(event.data["text"])


def _idea(event: Event) -> Body:
    sets = settings_text(event.data.get("set", {}))
    return "?", "idea", "yellow", Text(event.data["text"]), [Text(sets, "yellow")] if sets else []


def _words(mark: str, word: str, style: str) -> Callable[[Event], Body]:
    return lambda event: (mark, word, style, Text(event.data["text"]))


LINES: Final[dict[str, Callable[[Event], Body | None]]] = {
    "listening": _listening,
    "note": _words("i", "note", "dim"),
    "peer": _peer,
    "sync": _sync,
    "trial": _trial,
    "result": _result,
    "calibration": _calibration,
    "hypothesis": _idea,
    "insight": _words("!", "insight", "bold yellow"),
    "profile": lambda event: ("☺", "hello", "blue", Text(f"{event.data['device']}")),
    "confirmed": lambda event: (
        "★",
        "confirmed",
        "bold yellow",
        Text(change_text(event.data["change"], event.data.get("edits"))),
        [Text(f"kept by {count(event.data['keepers'], 'node')}"), Text(event.data["id"][:8], "dim")],
    ),
    "trouble": lambda event: ("⚠", "trouble", "yellow", Text(f"{event.data['what']}: {event.data['why']}")),
    "stopped": _stopped,
}


class Feed:
    """Shows events on standard output. A context manager, since the progress bar borrows the terminal's last line."""

    def __init__(self, console: Console, *, json: bool = False) -> None:
        self._console = console
        self._json = json
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if not json and console.is_terminal:
            self._bar = Progress(
                TextColumn("          {task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%  {task.fields[figures]}", markup=False),
                TimeRemainingColumn(compact=True),
                console=console,
                transient=True,
                auto_refresh=False,  # drawn when there is news, from the node's own thread
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, event: Event) -> None:
        """Print the event's line. One that does not fit on a full disk is left out: it stops no node."""
        try:
            self._show(event)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise

    def _show(self, event: Event) -> None:
        if self._json:
            print(event.to_json(), flush=True)
            return
        on_screen = self._console.is_terminal
        line = line_of(event, self._console.width if on_screen else None)
        if line is None:
            return
        if on_screen:
            cut = event.kind in CUT
            self._console.print(line, soft_wrap=not cut, no_wrap=True, overflow="ellipsis" if cut else "ignore")
        else:
            print(line.plain, flush=True)

    def progress(self, label: str, fraction: float, loss: float | None, speed: float | None) -> None:
        """Draw the running trial. fraction: 0 to 1 of its budget; speed: tokens per second."""
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task(label, total=1.0, figures="")
        figures = "" if loss is None else f"loss {loss:.3f}"
        figures += "" if speed is None else f"  {number(float(round(speed, -2)))} tok/s"
        self._bar.update(self._task, completed=fraction, description=label[:40], figures=figures, refresh=True)

    def progress_ended(self) -> None:
        """Take the bar away."""
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._bar.refresh()
            self._task = None
