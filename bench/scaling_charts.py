"""The charts of docs/scaling.md, as SVG. The same figures give the same file, byte for byte."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.scaling import CORE, FAST, SLOW, UPLINK, Load, Swarm, load
from node.export.chart import COLOURS, UNDATED, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES: Final = (10.0, 4.0)
DECADES: Final = (1.0, 6.0)
LINES: Final = (
    ("100 experiments/h", COLOURS["limit"], Swarm(1, FAST)),
    ("6 experiments/h", COLOURS["swarm"], Swarm(1, SLOW)),
)


def draw_loads(folder: Path) -> None:
    """Write `scaling-load.svg`: processor time and bytes of a node against nodes in one topic.

    Raises ExportError where matplotlib is not installed.
    """
    with canvas("--draw", INCHES) as figure:
        cores, sent = figure.subplots(1, 2)
        _curves(cores, "of a core, %", {"a tenth of a core": 100 * CORE, "a whole core": 100.0}, _percent)
        _curves(sent, "sent, kB/s", {"a tenth of a home's uplink": UPLINK / 1000}, _kilobytes)
        cores.legend(frameon=False, loc="lower right", fontsize=8)
        figure.savefig(folder / "scaling-load.svg", format="svg", metadata=UNDATED["svg"])


def draw_spread(folder: Path, seconds: Mapping[str, tuple[Sequence[float], bool]]) -> None:
    """Write `scaling-spread.svg`: for each name, ascending seconds from publication to delivery; whether measured."""
    with canvas("--draw", INCHES) as figure:
        axes = figure.add_subplot()
        _plain(axes)
        for name, (values, measured) in seconds.items():
            step = max(1, len(values) // 400)
            chosen = [*values[::step], values[-1]]
            shares = [100 * min(1.0, index * step / len(values)) for index in range(len(chosen) - 1)] + [100.0]
            axes.plot(chosen, shares, lw=1.6, ls="-" if measured else "--", label=name)
        axes.set_xlim(0, 1.2)
        axes.set_ylim(0, 103)
        axes.set_xlabel("seconds from publication to the log")
        axes.set_ylabel("% of deliveries")
        axes.legend(frameon=False, loc="lower right")
        figure.savefig(folder / "scaling-spread.svg", format="svg", metadata=UNDATED["svg"])


def _percent(of: Load) -> float:
    return 100 * of.cores


def _kilobytes(of: Load) -> float:
    return of.sent / 1000


def _curves(axes: "Axes", what: str, bounds: Mapping[str, float], of: Callable[[Load], float]) -> None:
    from matplotlib.ticker import NullLocator

    _plain(axes)
    low, high = DECADES
    nodes = [10 ** (low + (high - low) * step / 100) for step in range(101)]
    for name, colour, like in LINES:
        for paced, style, suffix in ((True, "-", ""), (False, ":", ", presence every 20 s")):
            swarms = [replace(like, nodes=count, paced=paced) for count in nodes]
            axes.plot(nodes, [of(load(swarm)) for swarm in swarms], style, color=colour, lw=1.8, label=name + suffix)
    for name, bound in bounds.items():
        axes.axhline(bound, color=COLOURS["faint"], lw=0.8)
        axes.annotate(name, (nodes[0], bound), xytext=(0, 3), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.10g}")
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("nodes in one topic")
    axes.set_ylabel(what)


def _plain(axes: "Axes") -> None:
    axes.set_facecolor(COLOURS["paper"])
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(color=COLOURS["grid"], linewidth=0.6)
    axes.set_axisbelow(True)
