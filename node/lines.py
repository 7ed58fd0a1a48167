"""How an event reads as one line: who, what kind, and what there is to say, in columns that stand below each other.

A line says with a mark and a word what its colour says too, so that it reads the same without colours. A result is one
line on any terminal: on a narrow one it loses first what can be looked up (`arnode show ID`), and the end of a long
change. What is said in words comes whole, and is broken between them.
"""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.cells import set_cell_size
from rich.console import Console
from rich.text import Text

from agent.entries import kept
from node.events import Event, change_text, count, percent, printable, settings_text, value_text

VERDICTS: Final = {
    # verdict: (mark, word, style); a replication has its own words
    "keep": ("★", "discovery", "bold green"),
    "simpler": ("☆", "simpler", "bold green"),
    "discard": ("·", "no gain", "dim"),
    "inconclusive": ("~", "unclear", "dim"),
    "crash": ("✗", "crash", "red"),
}
REPLICATIONS: Final = {
    "keep": ("✓", "adopted", "bold cyan"),
    "simpler": ("✓", "simpler", "bold cyan"),
    "discard": ("·", "not here", "magenta"),
    "inconclusive": ("~", "unclear", "dim"),
    "crash": ("✗", "crash", "red"),
}
WORD_WIDTH: Final = 10
SHARE_WIDTH: Final = 7  # of a relative change, `-12.3%`
WIDE: Final = 100
"""A terminal with fewer columns gets shorter times and names, and one space between columns."""

LEAST_TEXT: Final = 20
WRAPPING: Final = Console(file=io.StringIO())  # what `Text.wrap` asks for; nothing is printed on it
TEXT_SHARE: Final = 0.55  # of the room that is left goes to the text before the figures behind it
MANY: Final = 10  # records from one peer at once, which are worth a line


@dataclass(frozen=True)
class Figure:
    """Something behind the text. worth: which of them to spare first where the line is too long, the lowest."""

    text: str
    worth: int
    style: str = "dim"


@dataclass(frozen=True)
class Body:
    """What a line says behind its first columns. share: a relative change, where it has one; loose: may be cut."""

    mark: str
    word: str
    style: str
    text: Text
    share: str | None = None
    figures: Sequence[Figure] = field(default_factory=list)
    loose: bool = False


def line_of(event: Event, width: int | None = None) -> Text:
    """The event's line. width: of the terminal, None for a file or pipe, where nothing is cut."""
    body = BODIES[event.kind](event)
    wide = width is None or width >= WIDE
    gap, who = ("  ", 14) if wide else (" ", 12)
    line = Text()
    clock = time.strftime("%H:%M:%S" if wide else "%H:%M", time.localtime(event.time_ms / 1000))
    line.append(clock, "dim").append(gap)
    line.append("›" if event.own else " ", "bold")
    line.append(set_cell_size(printable(event.who), who), "bold" if event.own else "blue").append(gap)
    line.append(f"{body.mark} {body.word:<{WORD_WIDTH}}", body.style).append(gap)
    if body.share is not None:
        line.append(f"{body.share:>{SHARE_WIDTH}}", body.style).append(gap)
    if event.kind != "listening":  # that one is this node's own, and has line breaks
        body.text.plain = printable(body.text.plain)
    if width is None or event.kind == "listening":
        return line.append_text(body.text).append_text(_tail(body.figures))
    room = max(1, width - line.cell_len)
    if not body.loose:
        whole = body.text.append_text(_tail(body.figures))
        return line.append_text(Text("\n" + " " * line.cell_len).join(whole.wrap(WRAPPING, max(LEAST_TEXT, room))))
    figures = list(body.figures)
    needed = min(body.text.cell_len, max(LEAST_TEXT, int(TEXT_SHARE * room)))
    while figures and needed + _tail(figures).cell_len > room:
        figures.remove(min(figures, key=lambda figure: figure.worth))
    tail = _tail(figures)
    body.text.truncate(max(1, room - tail.cell_len), overflow="ellipsis")
    return line.append_text(body.text).append_text(tail)


def is_quiet(event: Event) -> bool:
    """Whether only who asks for more (`-v`) is shown it: what others tried in vain, and what is as it should be."""
    data = event.data
    match event.kind:
        case "result":
            return not (event.own or kept(data["verdict"]) or data.get("of_own") or data.get("of_swarm"))
        case "trial":
            return bool(data.get("judged", True) and not data.get("first"))
        case "sync":
            return bool(data["received"] < MANY)
        case "calibration" | "hypothesis":
            return not event.own
        case "profile":
            return event.own
        case _:
            return False


def _tail(figures: Sequence[Figure]) -> Text:
    return Text.assemble(*(part for figure in figures for part in ("  ", (printable(figure.text), figure.style))))


def _result(event: Event) -> Body:
    data = event.data
    mark, word, style = (REPLICATIONS if data["replicates"] else VERDICTS)[data["verdict"]]
    holds = kept(data["verdict"])
    figures = []
    if data["replicates"]:
        figures.append(Figure(f"of {data['replicates_of']}", 3))
    if data.get("holders"):
        figures.append(Figure(f"held by {data['holders']} of {data['nodes']}", 5, style))
    figures += _measured(data, holds)
    figures.append(Figure(data["id"][:8], 4 if holds else 2))
    change = change_text(data["change"], data.get("edits"))
    if data["reason"]:
        text = Text(f"{data['reason'].removeprefix('crash: ')} ({change})")
    else:
        text = Text(change, "bold" if holds else "dim")
    return Body(
        mark, word, style, text, "" if data["relative"] is None else percent(data["relative"]), figures, loose=True
    )


def _measured(data: Mapping[str, Any], holds: bool) -> Iterator[Figure]:
    """How sure the relative change is, and between which values."""
    if data["value"] is None or data["parent_value"] is None:
        return
    if between := data.get("relative_interval"):
        yield Figure(f"({between[0]:+.1%} to {between[1]:+.1%})", 3 if holds else 1)
    if holds:
        yield Figure(f"{value_text(data['parent_value'])} → {value_text(data['value'])}", 2)
    yield Figure(count(len(data["seeds"]), "seed"), 1)


def _trial(event: Event) -> Body:
    data = event.data
    if data["status"] != "ok":
        return Body("✗", data["status"], "red", Text(data["reason"]))
    first = "first trial: " if data.get("first") else ""
    text = f"{first}{data['metric']} {value_text(data['value'])} in {data['seconds']:.1f} s"
    return Body("▸", "trial", "green" if first else "dim", Text(text))


def _listening(event: Event) -> Body:
    does = f"task {event.data['task']}" if event.data.get("research", True) else "keeping the log, no research"
    swarm = f"{'private ' if event.data.get('private') else ''}swarm {event.data['swarm']}"
    text = Text(f"{does}, {swarm}\n\n    Join from another machine with\n")
    text.append(f"\n    {event.data['join']}\n", "bold")
    if event.data.get("private"):
        text.append("\n    or with the text that `arnode invite` prints on this one.\n")
    if event.data.get("url"):
        text.append(f"\n    This node in a browser: {event.data['url']}\n")
    return Body("◉", "listening", "bold green", text)


def _peer(event: Event) -> Body:
    name = event.data.get("alias") or "a new node"
    if event.data["state"] != "connected":
        return Body("-", "peer", "dim", Text(f"{name} is gone"))
    return Body("+", "peer", "blue", Text(f"{name} connected from {place(event.data['address'])}"))


def place(address: str) -> str:
    """`192.0.2.7:4477` of `/ip4/192.0.2.7/tcp/4477/p2p/…`."""
    parts = address.split("/")
    if len(parts) < 5:
        return address
    host = f"[{parts[2]}]" if ":" in parts[2] else parts[2]
    return f"{host}:{parts[4]}"


def _sync(event: Event) -> Body:
    text = f"{count(event.data['received'], 'record')} received, {event.data['sent']} sent"
    return Body("⇄", "sync", "blue", Text(text))


def _calibration(event: Event) -> Body:
    values = list(event.data["values"].values())
    text = Text(f"{event.data['metric']} on {len(values)} seeds: " + ", ".join(map(value_text, values)))
    return Body("≈", "calibrated", "dim cyan", text, loose=True)


def _confirmed(event: Event) -> Body:
    names = event.data.get("kept_by", [])
    who = f"kept by {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
    figures = [
        Figure(who if names else f"kept by {count(event.data['keepers'], 'node')}", 3, "bold yellow"),
        Figure(event.data["id"][:8], 2),
    ]
    text = Text(change_text(event.data["change"], event.data.get("edits")), "bold")
    return Body("◆", "confirmed", "bold yellow", text, "", figures, loose=True)


def _idea(event: Event) -> Body:
    sets = settings_text(event.data.get("set", {}))
    return Body("?", "idea", "yellow", Text(event.data["text"]), figures=[Figure(sets, 1, "yellow")] if sets else [])


def _model(event: Event) -> Body:
    data = event.data
    paid = data["total"]["usd"] > 0

    def spent(what: str, usd: float, tokens: int) -> str:
        return f"{what} ${usd:.4f}" if paid else f"{what} {count(tokens, 'token')}"

    took = count(data["tokens"], "token") + (f", ${data['usd']:.4f}" if paid else "")
    figures = [Figure(took, 3), Figure(spent("today", **data["today"]), 2), Figure(spent("in all", **data["total"]), 1)]
    return Body("✎", "model", "dim cyan", Text(f"asked {data['model']}"), figures=figures, loose=True)


def _words(mark: str, word: str, style: str) -> Callable[[Event], Body]:
    return lambda event: Body(mark, word, style, Text(event.data["text"]))


BODIES: Final[dict[str, Callable[[Event], Body]]] = {
    "listening": _listening,
    "note": _words("i", "note", "dim"),
    "peer": _peer,
    "sync": _sync,
    "trial": _trial,
    "result": _result,
    "calibration": _calibration,
    "hypothesis": _idea,
    "insight": _words("»", "insight", "bold yellow"),
    "profile": lambda event: Body("+", "hello", "blue", Text(f"{event.data['device']}")),
    "model": _model,
    "confirmed": _confirmed,
    "trouble": lambda event: Body("!", "trouble", "bold red", Text(f"{event.data['what']}: {event.data['why']}")),
    "stopped": _words("■", "stopped", "bold"),
}
