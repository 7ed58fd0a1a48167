"""One discovery: who found it, who tested it when and with what outcome, and what it came from and led to."""

from typing import Any

from agent.evidence import Experiment
from agent.lineage import ancestors, descendants
from node.events import change_text, mean_values
from node.state import State
from node.view.board import change_fields, discovery_row


def discovery(state: State, record_id: bytes) -> dict[str, Any] | None:
    """The spread and lineage of the discovery that a result made, tested or repeated; None if there is none.

    The fields of a row of the board, and `hypothesis`, `proposer`; `tests`: every experiment on the change by time,
    each with id, author, alias, own, time_ms, after_ms (since the discovery), verdict, role (`found` or `replicated`),
    effect, low, high, seeds, value, device; `waiting`: nodes that have said nothing on it yet; `ancestors`: what the
    finder's parent recipe was made of, the latest first; `descendants`: keeps that were inspired by it or build on its
    recipe.
    """
    found = state.notebook.discovery(record_id)
    if found is None:
        return None
    tests = state.notebook.tests(found)
    first = next(test for test in tests if test.record_id == found.record_id)
    tested = {test.author for test in tests}
    authors = sorted({test.author for test in state.notebook.experiments()})
    return {
        **discovery_row(state, found),
        "metric": state.task.metric.name,
        "unit": state.task.metric.unit,
        "hypothesis": first.result.hypothesis,
        "proposer": first.result.proposer,
        "integrity": found.integrity,
        "tests": [_test(state, test, found.time_ms) for test in tests],
        "waiting": [
            {"author": author.hex(), "alias": state.alias(author), "own": author == state.me}
            for author in authors
            if author not in tested
        ],
        "ancestors": [_line(state, test) for test in ancestors(state.notebook, first)],
        "descendants": [_line(state, test) for test in descendants(state.notebook, first)],
    }


def _test(state: State, test: Experiment, since_ms: int) -> dict[str, Any]:
    interval = test.result.interval
    return {
        "id": test.record_id.hex(),
        "author": test.author.hex(),
        "alias": state.alias(test.author),
        "own": test.author == state.me,
        "time_ms": test.moment[0],
        "after_ms": test.moment[0] - since_ms,
        "verdict": test.verdict,
        "role": "found" if test.result.replicates is None else "replicated",
        "effect": test.effect,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "seeds": test.seeds,
        "value": mean_values(test.result.pairs)[0],
        "device": test.result.device,
    }


def _line(state: State, test: Experiment) -> dict[str, Any]:
    change = change_fields(test.change)
    return {
        "id": test.record_id.hex(),
        "alias": state.alias(test.author),
        "own": test.author == state.me,
        "time_ms": test.moment[0],
        "verdict": test.verdict,
        "text": change_text(change["change"], change["edits"]),
    }
