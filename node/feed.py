"""The feed: one line per event, in colour on a terminal, plain text in a pipe, JSON on request.

On a terminal the trials that run stand below it as progress bars with loss, speed and time left, and below them what
has come of the work so far.
"""

import sys
import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from gossip.database import FULL_DISK
from node.events import Event, number, printable
from node.lines import is_quiet, line_of
from node.tally import Tally

LABEL_WIDTH: Final = 26
BAR_WIDTH: Final = 10
BOTTOM_WIDTH: Final = 79
"""Rows below the feed are no longer than this, so a terminal that is made narrower, down to it, breaks none of them."""


def feed_console(*, json: bool) -> Console:
    """Standard output as the feed writes it: soft wrapping off, no markup in what peers wrote."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, no_color=True if json else None)


class Feed:
    """Shows events on standard output. A context manager, since the rows below it borrow the terminal's last lines.

    verbose: also what is quiet otherwise (node/lines.py); JSON is always all of it.
    """

    def __init__(self, console: Console, *, json: bool = False, verbose: bool = False) -> None:
        self._console = console
        self._json = json
        self._verbose = verbose
        self._ends: float | None = None
        self._tally = Tally()
        self._trials: dict[str, tuple[TaskID, float]] = {}
        self._bars = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.percentage:>3.0f}%{task.fields[figures]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._bottom: Live | None = None
        if not json and console.is_terminal and not console.is_dumb_terminal:
            self._bottom = Live(
                get_renderable=self._rows,
                console=console,
                transient=True,
                auto_refresh=False,  # drawn when there is news, from the node's own thread
            )

    def __enter__(self) -> Self:
        if self._bottom is not None:
            self._bottom.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bottom is not None:
            self._bottom.stop()

    def show(self, event: Event) -> None:
        """Print the event's line. One that does not fit on a full disk is left out: it stops no node."""
        try:
            self._show(event)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise

    def shows(self, event: Event) -> bool:
        """Whether the event has a line here."""
        return self._json or self._verbose or not is_quiet(event)

    def _show(self, event: Event) -> None:
        self._tally = self._tally.after(event)
        if self._json:
            print(event.to_json(), flush=True)
        elif not self.shows(event):
            self.refresh()
        elif self._console.is_terminal:
            self._console.print(line_of(event, self._console.width), soft_wrap=True)
        else:
            print(line_of(event).plain, flush=True)

    def progress(self, label: str, fraction: float, loss: float | None, speed: float | None) -> None:
        """Draw a running trial. fraction: 0 to 1 of its budget; speed: tokens per second."""
        if self._bottom is None:
            return
        task, before = self._trials.get(label, (None, 1.0))
        if task is None or fraction < before:  # another trial of that name
            if task is not None:
                self._bars.remove_task(task)
            task = self._bars.add_task(_label(label), total=1.0, figures="")
        self._trials[label] = task, fraction
        figures = "" if loss is None else f"  loss {loss:.3f}"
        figures += "" if speed is None else f"  {number(float(round(speed, -2)))} tok/s"
        self._bars.update(task, completed=fraction, figures=figures)
        self.refresh()

    def progress_ended(self) -> None:
        """A trial ended. Which, the trainer does not say: of those side by side it is the one that got furthest."""
        furthest = max(self._trials, key=lambda label: self._trials[label][1], default=None)
        if furthest is not None:
            self._bars.remove_task(self._trials.pop(furthest)[0])
            self.refresh()

    def idle(self) -> None:
        """No trial runs."""
        while self._trials:
            self.progress_ended()

    def ends_in(self, minutes: float) -> None:
        """Show from now on how much of so many minutes is left."""
        self._ends = time.monotonic() + 60 * minutes
        self.refresh()

    def refresh(self) -> None:
        """Draw the rows below the feed anew."""
        if self._bottom is not None:
            self._bottom.refresh()

    def _rows(self) -> Group:
        width = min(self._console.width - 1, BOTTOM_WIDTH)
        rows = [*self._bars.get_renderables()] if self._trials else []
        words = [str(self._tally), *([] if self._ends is None else [_left(self._ends - time.monotonic())])]
        text = f"  {' · '.join(filter(None, words))}"[:width]
        return Group(*rows, *([Text(text, "dim")] if text.strip() else []))


def _left(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"


def _label(text: str) -> str:
    label = Text(printable(text))
    label.truncate(LABEL_WIDTH, overflow="ellipsis", pad=True)
    return label.plain
