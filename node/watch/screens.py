"""What opens over the tabs: one record in full with its diff, how a discovery spread, the keys."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from rich.console import Group
from rich.syntax import Syntax
from rich.table import Table as Grid
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Label, Static

from node.events import change_text, value_text
from node.watch import words
from node.watch.panes import OpenDiscovery, OpenRecord, Table

LONG: Final = 2000
DIFFS: Final = ("parent_diff", "diff")
DIFF_TITLES: Final = {"parent_diff": "Its change", "diff": "From the task's program"}
KEYS: Final = (
    ("1 … 6, tab, shift+tab", "feed, board, progress, knobs, trial, peers"),
    ("↑ ↓ j k, page up/down, g G", "walk, page, first and last line"),
    ("enter", "open what is chosen: a record, a discovery"),
    ("d", "in a record: how its discovery spread"),
    ("c", "in a record: its own change, or all that differs from the task's program"),
    ("f", "in the feed: next filter"),
    ("/", "in the feed: find a text"),
    ("r", "ask the node for everything anew"),
    ("escape, q", "back; from the tabs, q ends the view (the node goes on)"),
    ("?", "this page"),
)


class Overlay(ModalScreen[None]):
    """A page over the tabs, which escape closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Back"),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]
    DEFAULT_CSS = """
    Overlay { background: $surface; }
    Overlay Label { padding: 0 1; }
    Overlay VerticalScroll { padding: 0 1; }
    """

    def action_down(self) -> None:
        """Scroll down, where there is something to scroll."""
        for scroll in self.query(VerticalScroll):
            scroll.scroll_down()

    def action_up(self) -> None:
        """Scroll up."""
        for scroll in self.query(VerticalScroll):
            scroll.scroll_up()


class Help(Overlay):
    """The keys."""

    def compose(self) -> ComposeResult:
        grid = Grid.grid(padding=(0, 3))
        for keys, meaning in KEYS:
            grid.add_row(Text(keys, "bold"), meaning)
        note = Text("\nWhat is shown comes from the node's local API; closing this view stops nothing.", "dim")
        with VerticalScroll():
            yield Static(Group(Text("arnode watch\n", "bold"), grid, note))
        yield Footer(compact=True, show_command_palette=False)


class RecordScreen(Overlay):
    """One record in full."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "other_diff", "Other diff"),
        Binding("d", "discovery", "Spread"),
    ]

    def __init__(self, record: Mapping[str, Any]) -> None:
        super().__init__()
        self._record = record
        self._diff = 0

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(_facts(self._record))
            yield Static(id="diff")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self._show_diff()

    def action_other_diff(self) -> None:
        """The change of this record, or the whole recipe."""
        self._diff = 1 - self._diff
        self._show_diff()

    def action_discovery(self) -> None:
        """How the discovery that this record belongs to spread."""
        if self._record["kind"] == "result":
            self.post_message(OpenDiscovery(self._record["id"]))

    def _show_diff(self) -> None:
        which = DIFFS[self._diff]
        text = self._record.get(which)
        if text:
            title = Text(f"\n{DIFF_TITLES[which]}\n", "bold")
            diff = Syntax(_many_plain(text), "diff", theme="ansi_dark", background_color="default", word_wrap=True)
            self.query_one("#diff", Static).update(Group(title, diff))


def _facts(record: Mapping[str, Any]) -> Group:
    kind, who = words.plain(record["kind"]), words.plain(record["alias"])
    head = Text.assemble((kind, "bold"), " of ", (who, "bold" if record["own"] else ""), "\n")
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    signature = str(record["signature"])
    grid.add_row("id", record["id"])
    grid.add_row("author", record["author"])
    grid.add_row("time", words.date(record["time_ms"]))
    grid.add_row("signature", Text(words.plain(signature), "green" if signature == "valid" else "bold red"))
    for name, value in sorted(record["body"].items(), key=lambda item: _rank(item[0])):
        if value not in (None, [], {}, ""):
            grid.add_row(words.plain(name), _value(name, value))
    return Group(head, grid)


def _rank(name: str) -> tuple[int, str]:
    first = ("verdict", "reason", "text", "change", "effect", "interval", "pairs", "hypothesis", "proposer", "values")
    return (first.index(name) if name in first else len(first), name)


def _value(name: str, value: Any) -> Text:
    if name == "verdict":
        return Text(words.plain(value), words.VERDICT_STYLES.get(str(value), ""))
    if name == "effect":
        return Text(words.signed(value).plain, words.effect_style(value))
    if name == "interval":
        return words.interval(*value)
    if name == "change":
        return Text(words.plain(change_text(value)))
    if name == "pairs":
        return Text("\n".join(_pair(pair) for pair in value))
    if isinstance(value, Mapping):
        return Text("\n".join(words.plain(f"{key}  {part}")[:LONG] for key, part in value.items()))
    return Text(words.plain(value)[:LONG])


def _pair(pair: Mapping[str, Any]) -> str:
    return f"seed {pair['seed']}: {value_text(pair['parent'])} → {value_text(pair['candidate'])}"


def _many_plain(text: str) -> str:
    return "\n".join(words.plain(line) for line in text.split("\n"))


class DiscoveryScreen(Overlay):
    """Who found a change, who tested it when, what led to it and what came of it."""

    DEFAULT_CSS = "DiscoveryScreen Table { height: 1fr; } DiscoveryScreen #title { height: auto; max-height: 8; }"

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__()
        self._found = found

    def compose(self) -> ComposeResult:
        yield Label(_title(self._found), id="title")
        yield Table("when", "node", "", "verdict", "effect", "interval", "seeds", "value", id="tests")
        yield Label("What led to it, and what was built on it", classes="dim")
        yield Table("when", "node", "", "verdict", "change", id="lineage")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        tests, lineage = self.query_one("#tests", Table), self.query_one("#lineage", Table)
        tests.fill([(row["id"], _test(row)) for row in self._found["tests"]])
        before = [(row["id"], _kin(row, "before")) for row in reversed(self._found["ancestors"])]
        after = [(row["id"], _kin(row, "after")) for row in self._found["descendants"]]
        lineage.fill(list(dict([*before, *after]).items()))
        tests.focus()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the record of a row."""
        if event.row_key.value:
            self.post_message(OpenRecord(event.row_key.value))


def _title(found: Mapping[str, Any]) -> Text:
    tests = found["tests"]
    kept = sum(test["verdict"] in ("keep", "simpler") for test in tests)
    nodes = len(tests) + len(found["waiting"])
    text = Text.assemble((words.change(found), "bold"), "\n")
    text.append("worth about ").append_text(words.signed(found["expected"])).append(f" {found['metric']}, found by ")
    text.append_text(words.name(found)).append(f" on {words.date(found['time_ms'])}: {words.plain(found['status'])}\n")
    waiting = len(found["waiting"])
    text.append(f"kept by {kept} of {nodes} nodes, not kept by {len(tests) - kept}, {waiting} to test it\n")
    return text.append(words.plain(found["hypothesis"])[:300], "italic dim")


def _test(row: Mapping[str, Any]) -> list[Any]:
    after = row["after_ms"]
    verdict = str(row["verdict"])
    return [
        Text("" if not after else f"+{words.span(after / 1000)}", justify="right"),
        words.name(row),
        Text(words.plain(row["role"]), "dim"),
        Text(words.plain(verdict), words.VERDICT_STYLES.get(verdict, "")),
        words.signed(row["effect"]),
        words.interval(row["low"], row["high"]),
        Text(str(row["seeds"]), justify="right"),
        words.value(row["value"]),
    ]


def _kin(row: Mapping[str, Any], side: str) -> list[Any]:
    verdict = str(row["verdict"])
    return [
        Text(words.date(row["time_ms"])[5:16], "dim"),
        words.name(row),
        Text(side, "dim"),
        Text(words.plain(verdict), words.VERDICT_STYLES.get(verdict, "")),
        Text(words.plain(row["text"])[:200]),
    ]
