"""Progress: every experiment as a point, and how the best value moved, for this node and for the swarm.

A stranger's number may be a lie, so the swarm's line takes only steps that this node believes (`agent.frontier`).
"""

from collections.abc import Sequence
from typing import Any, Final

from agent.entries import kept
from agent.evidence import Experiment
from agent.frontier import Step, own_frontier, swarm_frontier
from node.events import change_text, mean_values
from node.state import State
from node.view.board import change_fields
from node.view.steps import Steps, whole

POINTS: Final = 1500


def progress(state: State, points: int = POINTS) -> dict[str, Any]:
    """The progress chart's data made at once, see `progress_in_steps`."""
    return whole(progress_in_steps(state, points))


def progress_in_steps(state: State, points: int = POINTS) -> Steps[dict[str, Any]]:
    """The progress chart's data.

    `points` in columns of one length, by time: number (of the experiment in that order, from 1), time_ms, value (mean
    of the candidate's seeds; None for a crash), verdict, author (index into `authors`), id. At most `points` and the
    kept ones: of the others every so-manieth is left out, `of` says how many there are. `own` and `swarm`: the steps,
    each with number, time_ms, value, text, id, alias. `baseline`, `floor`, `known_best`, `noise` (standard deviation of
    one trial).
    """
    notebook, metric = state.notebook, state.task.metric
    tests = notebook.experiments()
    numbers = {test.record_id: number for number, test in enumerate(tests, 1)}
    authors = sorted({test.author for test in tests})
    index = {author: number for number, author in enumerate(authors)}
    yield
    shown = _thinned(tests, points)
    yield
    values = []
    for _, test in shown:
        values.append(mean_values(test.result.pairs)[0])
        yield
    own = own_frontier(notebook)
    yield
    swarm = swarm_frontier(notebook)
    yield
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
            "value": values,
            "verdict": [test.verdict for _, test in shown],
            "author": [index[test.author] for _, test in shown],
            "id": [test.record_id.hex() for _, test in shown],
        },
        "own": [_step(state, numbers[step.test.record_id], step) for step in own],
        "swarm": [_step(state, numbers[step.test.record_id], step) for step in swarm],
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


def _step(state: State, number: int, step: Step) -> dict[str, Any]:
    change = change_fields(step.test.change)
    return {
        "number": number,
        "time_ms": step.test.moment[0],
        "value": step.value,
        "text": change_text(change["change"], change["edits"]),
        "id": step.test.record_id.hex(),
        "alias": state.alias(step.test.author),
        "own": step.test.author == state.me,
    }
