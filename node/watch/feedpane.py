"""The feed as a list to walk through: the latest on top, filtered, older ones fetched as one goes down."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from node.events import Event, from_dict
from node.lines import line_of
from node.view.feed import FILTERS, Filter
from node.watch.panes import OpenRecord

MOST: Final = 2000
SCROLLBAR: Final = 2
ELSEWHERE: Final = frozenset({"trial", "peer", "sync"})  # other tabs show them


class FeedPane(Vertical):
    """Events; `f` goes to the next filter, `/` looks for a text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "next_filter", "Filter"),
        Binding("slash", "find", "Find"),
        Binding("escape", "find_nothing", "All", show=False),
    ]
    DEFAULT_CSS = """
    FeedPane OptionList { height: 1fr; border: none; background: $surface; padding: 0; }
    FeedPane OptionList:focus { border: none; }
    FeedPane Input { display: none; height: 1; border: none; padding: 0 1; }
    FeedPane Input.asked { display: block; }
    FeedPane #filters { padding: 0 1; color: $text-muted; }
    """

    class Wanted(Message):
        """Events are wanted: the latest that the filter lets through, or those before a place."""

        def __init__(self, before: str = "") -> None:
            super().__init__()
            self.before = before

    def __init__(self) -> None:
        super().__init__()
        self._filter = 0
        self._events: list[Event] = []
        self._older: str | None = None
        self._find = ""

    @property
    def filter(self) -> Filter:
        """What is shown: one of the feed's filters."""
        chosen: Filter = FILTERS[self._filter]
        return chosen

    def compose(self) -> ComposeResult:
        yield Label(id="filters")
        yield Input(placeholder="find in what is shown; escape ends it", id="find")
        yield OptionList(id="lines", markup=False)

    def on_mount(self) -> None:
        self._show_filters()

    def show(self, page: Mapping[str, Any], before: str) -> None:
        """Show a page of `/api/feed`: the first, or what comes before a place."""
        told = [from_dict(fields) for fields in page["events"]]
        self._events = [*self._events, *told][:MOST] if before else told
        self._older = page["next"] if len(self._events) < MOST else None
        self._draw()

    def add(self, event: Event) -> None:
        """Show what has just happened, on top. What the filter would not show comes with the next page."""
        if event.kind in ELSEWHERE:
            return
        if self.filter != "all":
            self.post_message(self.Wanted())
            return
        del self._events[MOST - 1 :]
        self._events.insert(0, event)
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        """Lines are cut to the width."""
        self._draw()

    def _draw(self) -> None:
        lines = self.query_one("#lines", OptionList)
        at_top = not lines.highlighted
        chosen = lines.get_option_at_index(lines.highlighted).id if lines.highlighted is not None else None
        place = lines.scroll_offset.y
        before = lines.option_count
        shown = [option for number, event in enumerate(self._events) if (option := self._option(number, event))]
        lines.clear_options()
        lines.add_options(shown)
        if at_top:
            lines.highlighted = 0 if shown else None
            return
        for number, option in enumerate(shown):
            if option.id == chosen:
                lines.highlighted = number
                lines.scroll_to(y=place + max(0, len(shown) - before), animate=False)
                return

    def _option(self, number: int, event: Event) -> Option | None:
        width = self.size.width - SCROLLBAR
        line = line_of(event, width)
        if self._find.lower() not in line.plain.lower():
            return None
        first, *_ = line.split("\n")
        first.truncate(width, overflow="ellipsis")
        record_id = event.data.get("id")
        return Option(first, id=record_id if isinstance(record_id, str) else f"-{event.time_ms}-{event.kind}-{number}")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the record behind a line."""
        if event.option_id and not event.option_id.startswith("-"):
            self.post_message(OpenRecord(event.option_id))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """At the end of what is there, ask for what is older."""
        if self._older and event.option_index >= event.option_list.option_count - 1 and event.option_index:
            self.post_message(self.Wanted(self._older))
            self._older = None

    def action_next_filter(self) -> None:
        """The next filter."""
        self._filter = (self._filter + 1) % len(FILTERS)
        self._show_filters()
        self.post_message(self.Wanted())

    def action_find(self) -> None:
        """Ask for a text to look for."""
        box = self.query_one("#find", Input)
        box.add_class("asked")
        box.focus()

    def action_find_nothing(self) -> None:
        """Show all lines again."""
        box = self.query_one("#find", Input)
        box.value = ""
        box.remove_class("asked")
        self.query_one("#lines").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look for it."""
        self._find = event.value
        self._draw()

    def on_input_submitted(self) -> None:
        """Walk through what was found."""
        self.query_one("#lines").focus()

    def _show_filters(self) -> None:
        parts = [(f" {one} ", "reverse" if one == self.filter else "") for one in FILTERS]
        self.query_one("#filters", Label).update(Text.assemble(*parts))
