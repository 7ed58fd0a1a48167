"""What a person should know first, in a few sentences: what was found, how sure that is, by whom, since when."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from agent.discoveries import Discovery
from agent.entries import kept
from node.events import change_text, count, mean_values, number, percent, relative_to, value_text
from node.state import State
from node.view.board import change_fields

DAY_MS: Final = 24 * 3600 * 1000


def headline(state: State, now_ms: int) -> dict[str, Any]:
    """`sentences`: at most three, plain text that may hold peers' aliases and knob names. `discovery`: the id of the
    one that they tell of, and `found_ms`, when it was found; None before there is one. `day`: experiments, kept,
    discoveries and confirmed of the last 24 hours.
    """
    notebook = state.notebook
    tests = notebook.experiments()
    found = notebook.discoveries()
    best = best_discovery(state, found)
    since = now_ms - DAY_MS
    recent = [test for test in tests if test.moment[0] >= since]
    day = {
        "experiments": len(recent),
        "kept": sum(kept(test.verdict) for test in recent),
        "discoveries": sum(one.time_ms >= since for one in found),
        "confirmed": sum(one.time_ms >= since and one.status == "confirmed" for one in found),
    }
    if not tests:
        sentences = ["No experiment has ended yet. The first ones measure the task's own program."]
    else:
        sentences = [*_gain(state), _largest(state, best) if best else "Nothing has been found that holds up yet."]
    return {
        "sentences": sentences,
        "discovery": best.record_id.hex() if best else None,
        "found_ms": best.time_ms if best else None,
        "day": day,
    }


def best_discovery(state: State, found: Sequence[Discovery]) -> Discovery | None:
    """The largest confirmed discovery; else the largest that this node holds itself; else the largest open one."""
    for wanted in (
        [one for one in found if one.status == "confirmed"],
        [one for one in found if state.me in one.adopters],
        [one for one in found if one.status == "open" and one.integrity != "reported"],
    ):
        if wanted:
            return max(wanted, key=lambda one: (one.expected, one.record_id))
    return None


def _gain(state: State) -> Iterator[str]:
    """How far this node's own best recipe is from where it began, by its own trials alone."""
    result, baseline = state.notebook.best_result(), state.notebook.baseline()
    value = mean_values(result.pairs)[0] if result else None
    if value is None or baseline is None:
        return
    name, unit = state.task.metric.name, f" {state.task.metric.unit}" if state.task.metric.unit else ""
    share = percent(relative_to(value, baseline)).replace("-", "−")
    yield f"{name} went from {value_text(baseline)} to {value_text(value)}{unit} ({share}) in this node's own trials."


def _largest(state: State, best: Discovery) -> str:
    change = change_fields(best.change)
    text = change_text(change["change"], change["edits"])
    finder = "this node" if best.author == state.me else state.alias(best.author)
    tested = [verdict for _, verdict in best.replications]
    others = sum(map(kept, tested))
    if best.status == "confirmed":
        sure = f"confirmed by {count(others, 'other node')}"
    elif tested:
        sure = f"kept by {others} of {count(len(tested), 'other node')} so far"
    else:
        sure = "not yet tested by anyone else"
    gain = f"{number(float(f'{best.expected:.3g}'))}{f' {state.task.metric.unit}' if state.task.metric.unit else ''}"
    return f"The largest find: {text}, worth about {gain}, by {finder}, {sure}."
