"""The sentence that says why a change is worth a trial, as people read it in the feed."""

from collections.abc import Mapping
from typing import Final

from agent.evidence import Experiment
from agent.notebook import Notebook
from agent.span import Span
from trainer.knobs import Scalar
from trainer.recipe import values
from trainer.task import Knob

NEAR: Final = 0.15
INSPIRATIONS: Final = 3
PROMISING: Final = 1.2


def hypothesis(notebook: Notebook, change: Mapping[str, Scalar]) -> tuple[str, tuple[bytes, ...]]:
    """(one sentence, ids of the records that it rests on) for a change (knob -> new value) to the own best recipe."""
    current = values(notebook.task, notebook.best())
    what = " and ".join(f"{name} {show(new)} instead of {show(current[name])}" for name, new in change.items())
    if len(change) > 1:
        return f"{what}: together, as each alone may hide the other's effect", ()
    ((name, new),) = change.items()
    knob = notebook.task.knobs[name]
    tests = [experiment for experiment in notebook.experiments() if name in experiment.change]
    keeps = [e for e in tests if e.verdict == "keep" and _near(knob, e.change[name][1], new)]
    inspired_by = tuple(e.record_id for e in keeps[-INSPIRATIONS:])
    return f"{what}: {_why(notebook, knob, new, current[name], tests, keeps)}", inspired_by


def show(value: Scalar) -> str:
    """A knob's value as people write it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _why(
    notebook: Notebook, knob: Knob, new: Scalar, current: Scalar, tests: list[Experiment], keeps: list[Experiment]
) -> str:
    if keeps:
        nodes = len({e.author for e in keeps})
        where = "this value" if all(e.change[knob.name][1] == new for e in keeps) else "similar values"
        return f"kept by {nodes} {'node' if nodes == 1 else 'nodes'} at {where}"
    near = [e for e in tests if _near(knob, e.change[knob.name][1], new)]
    if near:
        return "tried before from another recipe, and what helps depends on the rest"
    paid = [e for e in tests if e.verdict == "keep" and _same_direction(knob, e.change[knob.name], (current, new))]
    if paid:
        return "further in the direction that paid"
    promising = knob.weight(notebook.device_class) >= PROMISING
    where = f", promising on {notebook.device_class}" if promising else ""
    return f"not tried yet{where}"


def _near(knob: Knob, a: Scalar, b: Scalar) -> bool:
    """Equal, or for numbers within NEAR of the range."""
    span = Span.of(knob)
    return a == b if span is None else abs(span.position(a) - span.position(b)) <= NEAR


def _same_direction(knob: Knob, a: tuple[Scalar, Scalar], b: tuple[Scalar, Scalar]) -> bool:
    span = Span.of(knob)
    if span is None:
        return False
    (a_old, a_new), (b_old, b_new) = (tuple(map(span.position, pair)) for pair in (a, b))
    return (a_new - a_old) * (b_new - b_old) > 0
