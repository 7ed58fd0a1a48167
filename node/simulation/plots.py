"""Pictures of a run as SVG: how fast records travel, how discoveries spread, who does what, how the best moves.

The same outcome gives the same file, byte for byte.
"""

import io
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import cycle
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from node.events import count
from node.export.chart import COLOURS, UNDATED, canvas
from node.simulation.run import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES: Final = (8.0, 3.6)
MOST_KNOBS: Final = 12
LONGEST: Final = 60  # characters of a change
DEVICE_COLOURS: Final = (COLOURS["own"], COLOURS["swarm"], COLOURS["limit"], "#9aa4ae")
ROLE_COLOURS: Final = {"explore": "#2da44e", "replicate": "#0969da", "calibrate": "#bf8700", "synthesise": "#8250df"}


def plots_of(outcome: Outcome) -> dict[str, bytes]:
    """Name -> SVG of everything there is to draw. Raises ExportError where matplotlib is not installed."""
    return {name: _drawn(outcome, title, draw) for name, (title, draw) in DRAWN.items() if outcome.series.get(name)}


def _drawn(outcome: Outcome, title: str, draw: Callable[["Axes", Any, Outcome], None]) -> bytes:
    file = io.BytesIO()
    name = next(name for name, (other, _) in DRAWN.items() if other == title)
    with canvas("--plots", INCHES) as figure:
        axes = figure.add_subplot(facecolor=COLOURS["paper"])
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.grid(color=COLOURS["grid"], linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_title(f"{outcome.scenario.title}: {title}", loc="left")
        draw(axes, outcome.series[name], outcome)
        figure.savefig(file, format="svg", metadata=UNDATED["svg"])
    return file.getvalue()


def _delays(axes: "Axes", delays: Any, outcome: Outcome) -> None:
    shares = [100 * index / (len(delays) - 1) for index in range(len(delays))]
    axes.plot(delays, shares, color=COLOURS["swarm"], lw=2)
    for share in (50, 99):
        value = delays[round(share / 100 * (len(delays) - 1))]
        axes.plot([value], [share], "o", color=COLOURS["own"])
        axes.annotate(f"{share} %: {value:.3g} s", (value, share), xytext=(8, -12), textcoords="offset points")
    axes.set_xlabel("seconds from publication")
    axes.set_ylabel("% of deliveries")
    axes.set_xlim(0, 1.1 * delays[-1])
    axes.set_ylim(0, 103)


def _adoption(axes: "Axes", curves: Any, outcome: Outcome) -> None:
    end = max(curve["watched"] for curve in curves)
    for index, curve in enumerate(curves):
        steps = [*curve["reached"], curve["watched"]]
        shares = [100 * (n + 1) / curve["nodes"] for n in range(len(curve["reached"]))]
        # the largest is drawn in colour, the others show how much it varies
        style: dict[str, Any] = {"color": "#9aa4ae", "lw": 0.9}
        label = "others" if index == 1 else None
        if index == 0:
            style = {"color": COLOURS["own"], "lw": 2.2, "zorder": 3}
            label = f"{shorten(curve['change'], LONGEST, placeholder=' …')} ({curve['gain']:.0f} deviations)"
        axes.step(steps, [*shares, shares[-1] if shares else 0], where="post", label=label, **style)
    axes.set_xlabel("minutes from the discovery's record")
    axes.set_ylabel("% of nodes that hold it, or what is as good")
    axes.set_ylim(0, 103)
    axes.set_xlim(0, end)
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.18), ncols=2, frameon=False)


def _roles(axes: "Axes", lines: Any, outcome: Outcome) -> None:
    kinds = [kind for kind in lines if kind != "minutes"]
    hours = [minute / 60 for minute in lines["minutes"]] if _long(outcome) else lines["minutes"]
    axes.stackplot(
        hours,
        [[100 * share for share in lines[kind]] for kind in kinds],
        labels=kinds,
        colors=[ROLE_COLOURS[kind] for kind in kinds],
        alpha=0.8,
        linewidth=0,
    )
    axes.set_xlabel("hours" if _long(outcome) else "minutes")
    axes.set_ylabel("% of nodes at it")
    axes.set_ylim(0, 100)
    axes.set_xlim(hours[0], hours[-1])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _best(axes: "Axes", lines: Any, outcome: Outcome) -> None:
    along = [minute / 60 for minute in lines["minutes"]] if _long(outcome) else lines["minutes"]
    axes.fill_between(
        along, lines["least"], lines["greatest"], step="post", color=COLOURS["swarm"], alpha=0.18, linewidth=0,
        label="of all nodes",
    )  # fmt: skip
    axes.step(along, lines["median"], where="post", color=COLOURS["own"], lw=2, label="of the median node")
    axes.set_xlabel("hours" if _long(outcome) else "minutes")
    axes.set_ylabel("true value of the best recipe")
    axes.set_xlim(0, along[-1])
    axes.legend(loc="upper right", frameon=False)


def _finders(axes: "Axes", by_device: Mapping[str, Any], outcome: Outcome) -> None:
    totals: Counter[str] = Counter()
    for told in by_device.values():
        totals.update(told["knobs"])
    knobs = [knob for knob, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:MOST_KNOBS]]
    left = [0] * len(knobs)
    for (device, told), colour in zip(by_device.items(), cycle(DEVICE_COLOURS), strict=False):
        counts = [told["knobs"].get(knob, 0) for knob in knobs]
        words = f"{count(told['nodes'], 'node')}, {count(told['experiments'], 'experiment')}"
        label = f"{device}: {words}, {count(told['discoveries'], 'discovery')} ({told['confirmed']} confirmed)"
        axes.barh(knobs, counts, left=left, color=colour, label=label)
        left = [before + more for before, more in zip(left, counts, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("discoveries that set the knob")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right", frameon=False)


def _long(outcome: Outcome) -> bool:
    return outcome.scenario.minutes >= 180


DRAWN: Final[Mapping[str, tuple[str, Callable[["Axes", Any, Outcome], None]]]] = {
    "delays": ("from publication to the nodes", _delays),
    "adoption": ("the changes that gain most", _adoption),
    "roles": ("who does what", _roles),
    "best": ("how good the best recipe is", _best),
    "finders": ("who finds what", _finders),
}
