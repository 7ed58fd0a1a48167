"""The tabs as tables: board, knobs, peers. Each is a widget that is given one answer of the API and shows it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import DataTable, Label

from node.events import knob_text, printable, value_text
from node.watch import words

STATUS_STYLES: Final = {"confirmed": "bold yellow", "refuted": "magenta", "open": ""}
WHISKER_WIDTH: Final = 17


class OpenRecord(Message):
    """A record is to be shown in full."""

    def __init__(self, record_id: str) -> None:
        super().__init__()
        self.record_id = record_id


class OpenDiscovery(Message):
    """A discovery is to be shown: its spread and its lineage."""

    def __init__(self, record_id: str) -> None:
        super().__init__()
        self.record_id = record_id


class Table(DataTable[Any]):
    """A table of rows that one walks through; what is shown anew keeps the row that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "scroll_top", "Top", show=False),
        Binding("G", "scroll_bottom", "Bottom", show=False),
    ]
    DEFAULT_CSS = "Table { height: 1fr; background: $surface; }"

    def __init__(self, *columns: str, id: str) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id, cursor_type="row", cell_padding=1)
        self._names = columns

    def on_mount(self) -> None:
        self.add_columns(*self._names)

    def fill(self, rows: list[tuple[str, list[Any]]]) -> None:
        """Show (key, cells) of each row."""
        chosen = self.chosen
        self.clear()
        for key, cells in rows:
            self.add_row(*cells, key=key)
        keys = [key for key, _ in rows]
        if chosen in keys:
            self.move_cursor(row=keys.index(chosen), animate=False)

    @property
    def chosen(self) -> str | None:
        """The key of the chosen row."""
        if not self.row_count:
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value


class Board(Vertical):
    """Who has found what."""

    DEFAULT_CSS = """
    Board #nodes { height: auto; max-height: 40%; }
    Board Label { color: $text-muted; padding: 0 1; }
    """

    def compose(self) -> ComposeResult:
        yield Label("Nodes, best first")
        yield Table("node", "value", "gain", "tried", "kept", "sure", "credit", "last", id="nodes")
        yield Label("Discoveries, and what they are expected to be worth: enter shows how one spread")
        yield Table("discovery", "worth", "status", "held", "by", id="discoveries")

    def show(self, board: Mapping[str, Any], now_ms: int) -> None:
        """Show `/api/board`."""
        base = board["baseline"]
        self.query_one("#nodes", Table).fill([(row["author"], _node(row, base, now_ms)) for row in board["nodes"]])
        found = [(row["id"], _discovery(row)) for row in board["discoveries"]]
        self.query_one("#discoveries", Table).fill(found)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the discovery, or nothing for a node."""
        if event.data_table.id == "discoveries" and event.row_key.value:
            self.post_message(OpenDiscovery(event.row_key.value))


def _node(row: Mapping[str, Any], baseline: float | None, now_ms: int) -> list[Any]:
    value = row["value"]
    gain = None if value is None or not baseline else value / baseline - 1
    return [
        words.name(row),
        words.value(value),
        words.share(gain),
        Text(str(row["experiments"]), justify="right"),
        Text(str(row["keeps"]), justify="right"),
        Text(str(row["confirmed"]), justify="right"),
        Text("–" if row["own"] else f"{row['credibility']:.0%}", justify="right"),
        words.ago(row["last_ms"], now_ms),
    ]


def _discovery(row: Mapping[str, Any]) -> list[Any]:
    status = str(row["status"])
    return [
        Text(words.change(row), overflow="ellipsis", no_wrap=True),
        words.signed(row["expected"]),
        Text(status, STATUS_STYLES.get(status, "")),
        Text(f"{len(row['adopters'])}{' here' if row['held'] else ''}"),
        words.name(row),
    ]


class Knobs(Vertical):
    """What is known of each knob's values: a forest plot."""

    DEFAULT_CSS = "Knobs Label { color: $text-muted; padding: 0 1; }"

    def compose(self) -> ComposeResult:
        yield Label(id="scale")
        yield Table("knob", "value", "worse · better", "effect", "nodes", "tests", "95 % interval", id="effects")

    def show(self, effects: Mapping[str, Any]) -> None:
        """Show `/api/effects`."""
        values = [value for knob in effects["knobs"] for value in knob["values"]]
        reach = words.reach_of([end for value in values for end in (value["low"], value["high"])])
        unit = effects["unit"] or effects["metric"]
        self.query_one("#scale", Label).update(
            f"Effect on {effects['metric']}, up to ±{reach:.3g} {unit}; noise of a trial {value_text(effects['noise'])}"
        )
        rows = []
        for knob in effects["knobs"]:
            for number, value in enumerate(knob["values"]):
                label = Text(printable(knob["name"]), "bold") if not number else Text("")
                rows.append((f"{knob['name']} {value['value']}", [label, *_effect(value, reach)]))
        self.query_one("#effects", Table).fill(rows)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Rows of knobs open nothing."""
        event.stop()


def _effect(value: Mapping[str, Any], reach: float) -> list[Any]:
    low, mean, high = value["low"], value["mean"], value["high"]
    crashes = f" {value['crashes']} crashed" if value["crashes"] else ""
    return [
        Text(printable(knob_text(value["value"]))[:12]),
        words.whisker(low, mean, high, reach, WHISKER_WIDTH),
        words.signed(mean),
        Text(str(value["authors"]), justify="right"),
        Text(f"{value['experiments']}{crashes}"),
        words.interval(low, high),
    ]


class Peers(Vertical):
    """Who is there, and what each is doing."""

    DEFAULT_CSS = "Peers Label { color: $text-muted; padding: 0 1; }"

    def compose(self) -> ComposeResult:
        yield Label(id="mesh")
        yield Table("node", "", "doing", "best", "device", "credit", "heard", id="peers")

    def show(self, peers: Mapping[str, Any], now_ms: int) -> None:
        """Show `/api/peers`."""
        connected, mesh = len(peers["connected"]), peers["mesh"]
        unknown = sum(peer["author"] is None for peer in peers["connected"])
        more = f"; {unknown} of them not known by name yet" if unknown else ""
        self.query_one("#mesh", Label).update(f"{connected} connected, {mesh} in the mesh{more}")
        self.query_one("#peers", Table).fill([(row["author"], _peer(row, now_ms)) for row in peers["nodes"]])


def _peer(row: Mapping[str, Any], now_ms: int) -> list[Any]:
    state = Text("this", "bold") if row["own"] else Text("●", "green") if row["connected"] else Text("○", "dim")
    credit = "–" if row["credibility"] is None else f"{row['credibility']:.0%}"
    return [
        words.name(row),
        state,
        Text(printable(row["activity"] or "–")[:40]),
        words.value(row["best"]),
        Text(printable(row["device"] or "–")[:24]),
        Text(credit, justify="right"),
        words.ago(row["heard_ms"] or row["last_ms"], now_ms),
    ]
