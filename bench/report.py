"""The one table of `python -m bench`, and what is said under it."""

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table

from bench.baseline import Run
from bench.compare import Comparison, Verdict, compare
from bench.figures import number

WIDTH = 170  # of a table that no terminal shows
SAID: Mapping[Verdict, str] = {
    "better": "better",
    "worse": "WORSE",
    "changed": "changed",
    "same": "",
    "new": "new",
    "another machine": "other machine: not judged",
    "another Python": "other Python: not judged",
    "busy": "busy machine: not judged",
    "one value": "one value: not judged",
}


def compared(runs: Mapping[str, Run], baseline: Mapping[str, Run]) -> dict[tuple[str, str], Comparison]:
    """(benchmark, figure) -> what it is against the baseline."""
    return {(name, told): compare(told, run, baseline.get(name)) for name, run in runs.items() for told in run.figures}


def show(console: Console, runs: Mapping[str, Run], baseline: Mapping[str, Run]) -> None:
    """Print the table: a section for each benchmark."""
    found = compared(runs, baseline)
    if not console.is_terminal:
        console.width = WIDTH
    table = Table(box=None, pad_edge=False, header_style="bold", highlight=False)
    table.add_column("figure", ratio=1, overflow="fold")
    for name in ("median", "unit", "spread", "baseline", "change", "beyond noise"):
        table.add_column(name, justify="left" if name in ("unit", "beyond noise") else "right", overflow="fold")
    for name, run in runs.items():
        where = f"{run.machine}, Python {run.python}, {run.seconds:.0f} s, {run.others:.1f} cores used by others"
        table.add_row(f"[bold]bench.{name}[/] [dim]{where}[/]")
        for told, summary in run.figures.items():
            comparison = found[name, told]
            known = baseline[name].figures[told] if comparison.verdict != "new" else None
            table.add_row(
                f"  {told}",
                number(summary.median),
                summary.unit,
                summary.spread,
                number(known.median) if known else "",
                "" if comparison.change is None else f"{100 * comparison.change:+.1f} %",
                f"[{STYLES.get(comparison.verdict, 'dim')}]{SAID[comparison.verdict]}[/]",
            )
        table.add_section()
    console.print(table)


STYLES: Mapping[Verdict, str] = {"better": "green", "worse": "bold red", "changed": "yellow"}


def closing(runs: Mapping[str, Run], baseline: Mapping[str, Run]) -> Iterator[str]:
    """What came of it, a line each."""
    found = compared(runs, baseline)
    counts = Counter(comparison.verdict for comparison in found.values())
    yield (
        f"{counts['worse']} of {len(found)} figures got worse beyond noise, {counts['better']} better, "
        f"{counts['changed']} changed; {counts['same']} within noise, {counts['new']} new"
    )
    unjudged = {SAID[verdict]: counts[verdict] for verdict in SAID if SAID[verdict].endswith("not judged")}
    if told := ", ".join(f"{count} ({why.removesuffix(': not judged')})" for why, count in unjudged.items() if count):
        yield f"not judged: {told}"
    gone = [
        f"{name}: {told}"
        for name in runs.keys() & baseline.keys()
        for told in baseline[name].figures.keys() - runs[name].figures.keys()
    ]
    if gone:
        yield f"in the baseline and not measured now: {len(gone)}, such as {min(gone)}"
    machines = {run.machine for run in baseline.values()} - {run.machine for run in runs.values()}
    if runs and machines:
        yield f"the baseline is of another machine: {', '.join(sorted(machines))}"
    for (name, told), comparison in found.items():
        if comparison.verdict == "worse":
            yield f"worse: bench.{name}: {told}"
