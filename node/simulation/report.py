"""What a person and other tools are shown of a run: a table, and JSON."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.events import count
from node.simulation.figures import FIGURES
from node.simulation.run import Checked, Outcome
from node.simulation.scenario import Scenario


def head_of(name: str, scenario: Scenario) -> Text:
    """A scenario's first lines: what it is and what it shows."""
    text = Text(name, "bold").append(f"  {scenario.title}\n", "default")
    return text.append(" ".join(scenario.text.split()), "dim")


def print_scenarios(console: Console, scenarios: Mapping[str, Scenario]) -> None:
    """Every scenario with its size, and what it asserts."""
    table = _table("scenario", "nodes", "minutes", "what")
    for name, scenario in scenarios.items():
        what = Text(scenario.title).append(f"\n{'; '.join(scenario.properties)}", "dim")
        table.add_row(Text(name, "bold"), str(scenario.size), f"{scenario.minutes:g}", what)
    console.print(table)


def print_outcome(console: Console, outcome: Outcome, wall_seconds: float, memory_mb: float) -> None:
    """The properties with what was measured, then every other figure."""
    scenario = outcome.scenario
    size = f"{count(scenario.size, 'node')}, {scenario.minutes:g} minutes, seed {outcome.seed}"
    console.print(Text(f"{size}  ·  took {wall_seconds:.0f} s and {memory_mb:.0f} MB", "dim"))
    console.print()
    asserted = _table("", "property", "measured", "")
    for one in outcome.checked:
        asserted.add_row(*_row(one))
    console.print(asserted)
    console.print()
    shown = {one.asserted.figure for one in outcome.checked}
    others = _table("figure", "value", "")
    for name, value in outcome.figures.items():
        if name not in shown:
            others.add_row(name, value_of(name, value), Text(FIGURES[name].meaning, "dim"))
    console.print(others)
    console.print()
    failed = sum(not one.holds for one in outcome.checked)
    words = f"{failed} of {len(outcome.checked)} properties fail" if failed else "all properties hold"
    line = Text(words, "bold red" if failed else "bold green")
    console.print(line.append(f"  ·  digest {outcome.digest}", "dim"))


def _row(one: Checked) -> tuple[Text, str, str, Text]:
    mark = Text("✓", "green") if one.holds else Text("✗", "bold red")
    measured = "nothing to measure" if one.value is None else value_of(one.asserted.figure, one.value)
    return mark, str(one.asserted), measured, Text(FIGURES[one.asserted.figure].meaning, "dim")


def value_of(figure: str, value: float) -> str:
    """A figure's value with its unit, as it is shown."""
    unit = FIGURES[figure].unit
    number = f"{value:,.0f}" if value == int(value) and abs(value) < 1e9 else f"{value:.3g}"
    return f"{number} {unit}".rstrip()


def as_json(name: str, outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain data. Holds nothing of the machine: the same run gives the same text."""
    return {
        "scenario": name,
        "title": outcome.scenario.title,
        "seed": outcome.seed,
        "nodes": outcome.scenario.size,
        "minutes": outcome.scenario.minutes,
        "digest": outcome.digest,
        "holds": outcome.holds,
        "properties": [
            {
                "property": str(one.asserted),
                "figure": one.asserted.figure,
                "comparison": one.asserted.comparison,
                "limit": one.asserted.limit,
                "value": one.value,
                "holds": one.holds,
            }
            for one in outcome.checked
        ],
        "figures": dict(outcome.figures),
        "series": dict(outcome.series),
    }


def as_markdown(name: str, outcome: Outcome) -> str:
    """The outcome as a section of a page."""
    scenario = outcome.scenario
    rows = [
        f"| {one.asserted} | {'–' if one.value is None else value_of(one.asserted.figure, one.value)} "
        f"| {'holds' if one.holds else '**fails**'} |"
        for one in outcome.checked
    ]
    shown = {one.asserted.figure for one in outcome.checked}
    others = [f"{n} {value_of(n, value)}" for n, value in outcome.figures.items() if n not in shown]
    size = (
        f"`arnode simulate {name}`: {count(scenario.size, 'node')}, {scenario.minutes:g} minutes, seed {outcome.seed}"
    )
    return "\n".join(
        [
            f"### {scenario.title}",
            "",
            " ".join(scenario.text.split()),
            "",
            f"{size}, digest `{outcome.digest}`.",
            "",
            "| property | measured | |",
            "|---|---:|---|",
            *rows,
            "",
            f"Also: {'; '.join(others)}.",
            "",
        ]
    )


def to_line(data: Mapping[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(data, ensure_ascii=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        right = name in ("nodes", "minutes", "value", "measured")
        table.add_column(name, justify="right" if right else "left", no_wrap=name not in ("", "what"))
    return table
