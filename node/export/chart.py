"""The progress of a search as a picture, in the style that people know from autoresearch.

A point for each experiment, in order; what was not kept is faint. The steps are the best value so far: this node's own,
with what it kept beside them and a band of what chance alone moves one trial by, and the swarm's. The scale is that of
the steps, and what is much worse lies on its edge.

Drawn with matplotlib, which is loaded here only: it makes png and svg without a browser, unlike plotly.
"""

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from agent.entries import kept
from node.events import count, printable
from node.export.choice import ExportError, lacking
from node.state import State
from node.view.progress import progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES: Final = (12.0, 6.0)
DPI: Final = 160
UNDATED: Final[Mapping[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
MAX_LABELS: Final = 14
LABEL_CHARACTERS: Final = 46
LABEL_DEGREES: Final = 28.0
LABEL_INCHES: Final = 0.17  # that a label's line keeps from another's

# each appears in a picture in one meaning only, so that the page can put its own in place of it
INK: Final = "#24292f"
FAINT: Final = "#6e7781"
GRID: Final = "#d8dee4"
PAPER: Final = "#ffffff"
OWN: Final = "#1a7f37"
SWARM: Final = "#0969da"
LIMIT: Final = "#bc4c00"
COLOURS: Final[Mapping[str, str]] = {
    "ink": INK,
    "faint": FAINT,
    "grid": GRID,
    "paper": PAPER,
    "own": OWN,
    "swarm": SWARM,
    "limit": LIMIT,
}


def write_png(state: State, what: str) -> bytes:
    """The picture in pixels. Raises ExportError."""
    return _drawn(state, what, "png")


def write_svg(state: State, what: str) -> str:
    """The picture in lines and text. Raises ExportError."""
    return _drawn(state, what, "svg").decode()


def _drawn(state: State, what: str, form: str) -> bytes:
    if what != "all":
        raise ExportError(f"--what {what}: the progress chart is of all experiments")
    data = progress(state)
    if not data["of"]:
        raise ExportError("no experiment has ended yet, so there is no progress to draw")
    file = io.BytesIO()
    with canvas(f"--format {form}") as figure:
        _draw(figure, data, state.task.name)
        figure.savefig(file, format=form, dpi=DPI, metadata=UNDATED[form])
    return file.getvalue()


@contextmanager
def canvas(option: str, inches: tuple[float, float] = INCHES) -> "Iterator[Figure]":
    """An empty figure, with settings that make the same picture of the same data.

    option: of the command line, which wants it. Raises ExportError where matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise lacking("matplotlib", option) from error
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "arnode",
        "text.parse_math": False,
        "font.size": 9.5,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": FAINT,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # a name in a script that the font lacks is drawn as boxes; in an svg it is text anyway
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Figure(figsize=inches, facecolor=PAPER, layout="constrained")


def _draw(figure: "Figure", data: Mapping[str, Any], task: str) -> None:
    axes = figure.add_subplot(facecolor=PAPER)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    low, high = _scale(data)
    axes.set_ylim(low, high)
    axes.set_xlim(-0.01 * data["of"], data["of"] * 1.02 + 1)
    edge = high if data["direction"] == "minimize" else low  # the worst that is shown
    last = data["of"]
    own, swarm = _line(data, data["own"], last), _line(data, data["swarm"], last)
    _steps(axes, own, OWN, 2.4, "-", "this node's best")
    axes.fill_between(
        [x for x, _ in own],
        [y - data["noise"] for _, y in own],
        [y + data["noise"] for _, y in own],
        step="post",
        color=OWN,
        alpha=0.13,
        linewidth=0,
        label="± one trial's noise",
        zorder=1,
    )
    _steps(axes, swarm, SWARM, 1.2, "--", "the swarm's best")
    _points(axes, data, low, high, edge)
    labelled = data["own"] or data["swarm"]
    colour = OWN if data["own"] else SWARM
    axes.scatter(
        [step["number"] for step in labelled],
        [step["value"] for step in labelled],
        s=42,
        color=colour,
        edgecolors=INK,
        linewidths=0.7,
        zorder=5,
    )
    _labels(axes, labelled, colour, below=data["direction"] == "maximize")
    _limits(axes, data, low, high)
    better = "lower" if data["direction"] == "minimize" else "higher"
    unit = f", {data['unit']}" if data["unit"] else ""
    axes.set_xlabel("experiment")
    axes.set_ylabel(f"{data['metric']}{unit} ({better} is better)")
    axes.set_title(_title(data, task), loc="left", color=INK, fontsize=12, pad=12)
    axes.legend(loc="upper right" if edge == high else "lower right", facecolor=PAPER, edgecolor=PAPER, labelcolor=INK)


def _title(data: Mapping[str, Any], task: str) -> str:
    keeps = sum(map(kept, data["points"]["verdict"]))
    crashes = sum(verdict == "crash" for verdict in data["points"]["verdict"])
    nodes = count(len(data["authors"]), "node")
    ended = f"{count(data['of'], 'experiment')} of {nodes}, {keeps} kept"
    return f"{task}: {ended}" + (f", {crashes} crashed" if crashes else "")


def _line(data: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], last: int) -> list[tuple[float, float]]:
    """The corners of a step line from the baseline to the last experiment."""
    start = [(0.0, data["baseline"])] if data["baseline"] is not None and steps else []
    corners = [*start, *((step["number"], step["value"]) for step in steps)]
    return [*corners, (last, corners[-1][1])] if corners else []


def _steps(
    axes: "Axes", line: Sequence[tuple[float, float]], colour: str, width: float, style: str, label: str
) -> None:
    if line:
        axes.step(*_columns(line), where="post", color=colour, lw=width, ls=style, label=label, zorder=3)


def _points(axes: "Axes", data: Mapping[str, Any], low: float, high: float, edge: float) -> None:
    points = data["points"]
    own = [index for index, author in enumerate(data["authors"]) if author["own"]]
    for mine in (False, True):
        rows = [
            (number, value, kept(verdict))
            for number, value, verdict, author in zip(
                points["number"], points["value"], points["verdict"], points["author"], strict=True
            )
            if value is not None and (author in own) == mine
        ]
        faint = [(number, value) for number, value, was_kept in rows if not was_kept]
        inside = [(number, value) for number, value in faint if low <= value <= high]
        beyond = [number for number, value in faint if not low <= value <= high]
        name = "not kept" if mine else "not kept by a peer"
        axes.scatter(*_columns(inside), s=11, color=FAINT, alpha=0.55 if mine else 0.28, lw=0, label=name, zorder=2)
        marker = "^" if edge == high else "v"
        axes.scatter(beyond, [edge] * len(beyond), s=9, color=FAINT, alpha=0.3, lw=0, marker=marker, zorder=2)
        if not mine:
            was = [(number, value) for number, value, was_kept in rows if was_kept and low <= value <= high]
            axes.scatter(*_columns(was), s=16, color=SWARM, alpha=0.6, lw=0, label="kept by a peer", zorder=4)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _scale(data: Mapping[str, Any]) -> tuple[float, float]:
    """The values at the lower and upper edge: all steps, and some room on the worse side for what was not kept."""
    steps = [step["value"] for step in (*data["own"], *data["swarm"])]
    values = [*steps, *([data["baseline"]] if data["baseline"] is not None else [])]
    if not values:
        values = [value for value in data["points"]["value"] if value is not None] or [0.0]
    least, most = min(values), max(values)
    span = max(most - least, 6 * data["noise"], 1e-12 * max(abs(least), abs(most)))
    room, little = 0.28 * span, 0.12 * span
    return (least - little, most + room) if data["direction"] == "minimize" else (least - room, most + little)


def _labels(axes: "Axes", steps: Sequence[Mapping[str, Any]], colour: str, *, below: bool) -> None:
    """What was changed at each step; of too many, those with the largest gains that leave each other room."""
    before = [math.inf, *(step["value"] for step in steps)]
    by_gain = sorted(
        zip(before, steps, strict=False), key=lambda pair: (-abs(pair[0] - pair[1]["value"]), pair[1]["number"])
    )
    chosen: list[tuple[float, Mapping[str, Any]]] = []
    for _, step in by_gain:
        line = _label_line(axes, step, -LABEL_DEGREES if below else LABEL_DEGREES)
        if len(chosen) < MAX_LABELS and all(abs(line - other) > LABEL_INCHES for other, _ in chosen):
            chosen.append((line, step))
    for _, step in chosen:
        text = printable(step["text"])
        axes.annotate(
            text if len(text) <= LABEL_CHARACTERS else f"{text[: LABEL_CHARACTERS - 1].rstrip(' ,.')}…",
            (step["number"], step["value"]),
            xytext=(5, -5 if below else 5),
            textcoords="offset points",
            rotation=-LABEL_DEGREES if below else LABEL_DEGREES,
            rotation_mode="anchor",
            va="top" if below else "bottom",
            fontsize=8.5,
            color=colour,
            bbox={"facecolor": PAPER, "alpha": 0.75, "linewidth": 0, "pad": 0.4},
            annotation_clip=False,
            zorder=6,
        )


def _label_line(axes: "Axes", step: Mapping[str, Any], degrees: float) -> float:
    """Where the label's line lies, in inches across it: labels are parallel."""
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    x: float = (step["number"] - left) / (right - left) * INCHES[0]
    y: float = (step["value"] - low) / (high - low) * INCHES[1]
    return y * math.cos(math.radians(degrees)) - x * math.sin(math.radians(degrees))


def _limits(axes: "Axes", data: Mapping[str, Any], low: float, high: float) -> None:
    """The floor and the best known value as lines, or in words where they lie far away."""
    known = data["known_best"]
    lines = [("floor", data["floor"], ".4g"), ("best known", known["value"] if known else None, ".10g")]
    away = []
    for name, value, form in lines:
        if value is None:
            continue
        if low <= value <= high:
            axes.axhline(value, color=LIMIT, lw=1, ls=":", zorder=1, label=f"{name} {value:{form}}")
        else:
            away.append(f"{name} {value:{form}} lies {'below' if value < low else 'above'}")
    if away:
        axes.text(0.995, 0.01, "; ".join(away), transform=axes.transAxes, ha="right", va="bottom", color=LIMIT)
