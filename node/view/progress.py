"""Progress: every experiment as a point, and how the best value moved, for this node and for the swarm.

A stranger's number may be a lie, so the swarm's line takes only steps that this node has a reason to believe: the
change is not refuted, the value is not beyond the task's floor, and the author is no less credible than a stranger.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from agent.entries import kept
from agent.evidence import Experiment
from node.events import change_text, mean_values
from node.state import State
from node.view.board import change_fields

POINTS: Final = 1500
STRANGER: Final = 0.5  # `agent.discoveries.credibility` of someone of whom nothing was tested


def progress(state: State, points: int = POINTS) -> dict[str, Any]:
    """The progress chart's data.

    `points` in columns of one length, by time: number (of the experiment in that order, from 1), time_ms, value (mean
    of the candidate's seeds; None for a crash), verdict, author (index into `authors`), id. At most `points` and the
    kept ones: of the others every so-manieth is left out, `of` says how many there are. `own` and `swarm`: the steps,
    each with number, time_ms, value, text, id, alias. `baseline`, `floor`, `known_best`, `noise` (standard deviation of
    one trial).
    """
    notebook, metric = state.notebook, state.task.metric
    tests = notebook.experiments()
    authors = sorted({test.author for test in tests})
    index = {author: number for number, author in enumerate(authors)}
    shown = _thinned(tests, points)
    known = metric.known_best
    return {
        "metric": metric.name,
        "direction": metric.direction,
        "unit": metric.unit,
        "floor": metric.floor,
        "known_best": known and {"value": known.value, "source": known.source},
        "baseline": notebook.baseline(),
        "noise": notebook.noise().sd,
        "of": len(tests),
        "authors": [
            {"author": author.hex(), "alias": state.alias(author), "own": author == state.me} for author in authors
        ],
        "points": {
            "number": [number for number, _ in shown],
            "time_ms": [test.moment[0] for _, test in shown],
            "value": [mean_values(test.result.pairs)[0] for _, test in shown],
            "verdict": [test.verdict for _, test in shown],
            "author": [index[test.author] for _, test in shown],
            "id": [test.record_id.hex() for _, test in shown],
        },
        "own": _own_steps(state, enumerate(tests, 1)),
        "swarm": _swarm_steps(state, enumerate(tests, 1)),
    }


def _thinned(tests: Sequence[Experiment], points: int) -> list[tuple[int, Experiment]]:
    """The kept ones, and of the others evenly as many as there is room for."""
    numbered = list(enumerate(tests, 1))
    rest = [number for number, test in numbered if not kept(test.verdict)]
    room = max(points - (len(numbered) - len(rest)), points // 2)
    if len(rest) > room:
        rest = [rest[i * len(rest) // room] for i in range(room)]
    shown = set(rest)
    return [(number, test) for number, test in numbered if kept(test.verdict) or number in shown]


def _step(state: State, number: int, test: Experiment, value: float) -> dict[str, Any]:
    change = change_fields(test.change)
    return {
        "number": number,
        "time_ms": test.moment[0],
        "value": value,
        "text": change_text(change["change"], change["edits"]),
        "id": test.record_id.hex(),
        "alias": state.alias(test.author),
        "own": test.author == state.me,
    }


def _own_steps(state: State, tests: Iterable[tuple[int, Experiment]]) -> list[dict[str, Any]]:
    """This node's own best recipe over time: it moves with each of its keeps."""
    steps = []
    for number, test in tests:
        if test.author == state.me and kept(test.verdict):
            value = mean_values(test.result.pairs)[0]
            if value is not None:
                steps.append(_step(state, number, test, value))
    return steps


def _swarm_steps(state: State, tests: Iterable[tuple[int, Experiment]]) -> list[dict[str, Any]]:
    """The best value that anyone kept, as far as it is believed."""
    metric = state.task.metric
    steps: list[dict[str, Any]] = []
    best: float | None = None
    for number, test in tests:
        if not kept(test.verdict):
            continue
        value = mean_values(test.result.pairs)[0]
        if value is None or (best is not None and not metric.better(value, best)):
            continue
        if believed(state, test, value):
            best = value
            steps.append(_step(state, number, test, value))
    return steps


def believed(state: State, test: Experiment, value: float) -> bool:
    """Whether this node has no reason to doubt a kept value: always its own."""
    if test.author == state.me:
        return True
    floor = state.task.metric.floor
    if floor is not None and state.task.metric.better(value, floor):
        return False
    found = state.notebook.discovery(test.record_id)
    if found is not None and found.status == "refuted":
        return False
    return test.integrity != "reported" and state.notebook.credibility(test.author) >= STRANGER
