"""The board: how every node stands, and what was discovered."""

from typing import Any, Final

from agent.discoveries import Discovery
from node.state import State
from node.view.said import idea_rows, insight_rows
from node.view.steps import Steps, whole
from trainer.merge import lines_changed
from trainer.recipe import Change

STANDING: Final = ("confirmed", "open", "refuted")


def board_of(state: State) -> dict[str, Any]:
    """The board made at once, see `board_in_steps`."""
    return whole(board_in_steps(state))


def board_in_steps(state: State) -> Steps[dict[str, Any]]:
    """The board as plain data: task, metric, what is known of it; nodes, best first; discoveries, what is confirmed
    first and what is refuted last, then by what is expected of them; insights; open hypotheses, in the order of tests.
    """
    notebook, metric = state.notebook, state.task.metric
    better = min if metric.direction == "minimize" else max
    best_trial: float | None = None
    for experiment in notebook.experiments():
        for pair in experiment.result.pairs:
            measured = [value for value in (best_trial, pair.candidate, pair.parent) if value is not None]
            best_trial = better(measured, default=None)
        yield
    baseline = notebook.baseline()
    yield
    standings = notebook.board()
    yield
    nodes = [
        {
            "author": row.author.hex(),
            "alias": state.alias(row.author),
            "own": row.author == state.me,
            "value": row.value,
            "seeds": row.seeds,
            "changes": row.changes,
            "experiments": row.experiments,
            "keeps": row.keeps,
            "confirmed": row.confirmed,
            "credibility": notebook.credibility(row.author),
            "last_ms": row.last_ms,
        }
        for row in standings
    ]
    yield
    discoveries = []
    for discovery in sorted(notebook.discoveries(), key=lambda found: (STANDING.index(found.status), -found.expected)):
        discoveries.append(discovery_row(state, discovery))
        yield
    return {
        "task": state.task.name,
        "fingerprint": state.task.fingerprint_hex,
        "metric": metric.name,
        "direction": metric.direction,
        "unit": metric.unit,
        "floor": metric.floor,
        "known_best": metric.known_best and {"value": metric.known_best.value, "source": metric.known_best.source},
        "best_trial": best_trial,
        "baseline": baseline,
        "noise": notebook.noise().sd,
        "nodes": nodes,
        "discoveries": discoveries,
        "insights": insight_rows(state),
        "hypotheses": idea_rows(state),
    }


def discovery_row(state: State, discovery: Discovery) -> dict[str, Any]:
    """A discovery in one line."""
    return {
        "id": discovery.record_id.hex(),
        "author": discovery.author.hex(),
        "alias": state.alias(discovery.author),
        "own": discovery.author == state.me,
        "time_ms": discovery.time_ms,
        **change_fields(discovery.change),
        "effect": discovery.effect,
        "expected": discovery.expected,
        "status": discovery.status,
        "adopters": [author.hex() for author in discovery.adopters],
        "held": discovery.author == state.me or state.me in discovery.adopters,
        "replications": len(discovery.replications),
    }


def change_fields(change: Change) -> dict[str, Any]:
    """A change as `change` (knob -> [old, new]) and `edits` (file -> [lines added, lines removed])."""
    return {
        "change": {knob: list(pair) for knob, pair in change.knobs.items()},
        "edits": {file: lines_changed(*texts) for file, texts in change.edits.items()},
    }
