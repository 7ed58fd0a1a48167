"""`arnode simulate`: scenarios listed, run, checked and drawn."""

import json as jsonlib
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from node.simulation.report import as_json, as_markdown, head_of, print_outcome, print_scenarios, to_line
from node.simulation.run import play
from node.simulation.scenario import ScenarioError, load_scenario, scenario_names

COLUMNS: Final = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.completed:.0f} of {task.total:g} virtual minutes"),
    TimeRemainingColumn(),
)


def list_scenarios(*, short: bool, json: bool) -> None:
    """Show every scenario that comes with arnode."""
    scenarios = {name: load_scenario(name, short=short) for name in scenario_names()}
    if not json:
        print_scenarios(Console(highlight=False), scenarios)
        return
    for name, scenario in scenarios.items():
        about = {"title": scenario.title, "nodes": scenario.size, "minutes": scenario.minutes}
        print(to_line({"scenario": name, **about, "properties": scenario.properties}))


def simulate(
    chosen: str,
    *,
    nodes: int | None,
    minutes: float | None,
    seed: int | None,
    short: bool,
    out: Path | None,
    plots: bool,
    json: bool,
) -> bool:
    """Run a scenario and show what came of it; whether all its properties hold.

    out: a folder for NAME.json, NAME.md and the plots. Raises ScenarioError, ExportError.
    """
    scenario = load_scenario(chosen, short=short, minutes=minutes)
    if nodes is not None:
        scenario = scenario.scaled(nodes)
    name = Path(chosen).stem
    console = Console(highlight=False)
    if not json:
        console.print(head_of(name, scenario))
    began = time.perf_counter()
    with Progress(*COLUMNS, console=Console(stderr=True), transient=True, disable=json) as progress:
        bar = progress.add_task("simulating", total=scenario.minutes)
        outcome = play(scenario, seed, lambda minutes: progress.update(bar, completed=minutes))
    took = time.perf_counter() - began
    if json:
        print(to_line(as_json(name, outcome)))
    else:
        print_outcome(console, outcome, took, _memory_mb())
    if out is not None:
        files = {
            f"{name}.json": (jsonlib.dumps(as_json(name, outcome), ensure_ascii=False, indent=1) + "\n").encode(),
            f"{name}.md": as_markdown(name, outcome).encode(),
        }
        if plots:
            from node.simulation.plots import plots_of  # matplotlib takes a second, and is an extra

            files |= {f"{name}-{kind}.svg": svg for kind, svg in plots_of(outcome).items()}
        _write(out, files)
        print(f"written: {', '.join(str(out / file) for file in files)}", file=sys.stderr)
    return outcome.holds


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise ScenarioError(f"cannot write into {folder}: {error.strerror}") from error


def _memory_mb() -> float:
    """The most memory that this process had."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
