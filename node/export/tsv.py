"""This node's experiments as autoresearch's `results.tsv`, which its notebook reads.

Columns `commit`, the metric, `memory_gb`, `status`, `description`; the baseline stands first, keeps are cumulative,
rows are in order of time, a crash has zeros, and no text holds a tab or a line break.
"""

from typing import Final

from agent.entries import kept
from agent.packed import edit_sizes
from node.events import change_text, mean_values
from node.export.choice import ExportError, results
from node.state import State

HEADER: Final = "commit\t{metric}\tmemory_gb\tstatus\tdescription"
BASELINE_COMMIT: Final = "0000000"


def write_tsv(state: State, what: str) -> str:
    """The table of all of this node's experiments, or of what it kept. Raises ExportError."""
    if what not in ("all", "kept"):
        raise ExportError(f"--what {what}: results.tsv is of all or of kept experiments")
    rows: list[str] = []
    for record, result in results(state):
        if record.author != state.me:
            continue
        value, parent = mean_values(result.pairs)
        if not rows:
            if parent is None:
                continue  # nothing to compare with until a parent's trial gave a value
            rows.append(row(BASELINE_COMMIT, parent, result.peak_memory_mb, "keep", "baseline"))
        if kept(result.verdict) or what == "all":
            commit, text = record.id.hex()[:7], change_text(result.change, edit_sizes(state.task, result))
            if value is None:
                rows.append(row(commit, 0.0, 0.0, "crash", text))
            else:
                status = "keep" if kept(result.verdict) else "discard"
                rows.append(row(commit, value, result.peak_memory_mb, status, text))
    if not rows:
        raise ExportError("this node has finished no experiment yet, so there is no results.tsv")
    return "\n".join([HEADER.format(metric=state.task.metric.name), *rows]) + "\n"


def row(commit: str, value: float, memory_mb: float, status: str, description: str) -> str:
    """A line of the table, without its end."""
    return f"{commit}\t{value:.6f}\t{memory_mb / 1024:.1f}\t{status}\t{' '.join(description.split())}"
