"""How findings and ideas are put in words, as people read them in the feed."""

from collections.abc import Mapping
from typing import Final

from agent.entries import kept
from agent.evidence import Experiment
from agent.notebook import Notebook
from agent.span import Span
from trainer.knobs import Scalar
from trainer.recipe import values
from trainer.task import Knob, Task

NEAR: Final = 0.15
INSPIRATIONS: Final = 3
PROMISING: Final = 1.2
CLEAR: Final = 3.0


def hypothesis(notebook: Notebook, change: Mapping[str, Scalar]) -> tuple[str, tuple[bytes, ...]]:
    """(one sentence, ids of the records that it rests on) for a change (knob -> new value) to the own best recipe."""
    current = values(notebook.task, notebook.best())
    steps = [f"{name} {show(new)} instead of {show(current[name])}" for name, new in sorted(change.items())]
    if len(steps) > 1:
        return f"{', '.join(steps[:-1])} and {steps[-1]}: in case they help only together", ()
    ((name, new),) = change.items()
    about = notebook.experiments_on(name)
    why, records = _why(notebook, notebook.task.knobs[name], current[name], new, about)
    return f"{steps[0]}: {why}", tuple(e.record_id for e in records[-INSPIRATIONS:])


def show(value: Scalar) -> str:
    """A knob's value as people write it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def setting(task: Task, pair: tuple[str, Scalar]) -> str:
    """A knob set to a value: `INIT=normal`; of a number, which stands for its part of the range, `LR≈0.003`."""
    knob, value = pair
    return f"{knob}{'=' if Span.of(task.knobs[knob]) is None else '≈'}{show(value)}"


def size(value: float) -> str:
    """How large an effect is, without its sign."""
    return f"{abs(value):.2g}"


def nodes(count: int) -> str:
    """`1 node`, `2 nodes`."""
    return f"{count} node{'' if count == 1 else 's'}"


def _why(
    notebook: Notebook, knob: Knob, current: Scalar, new: Scalar, about: list[Experiment]
) -> tuple[str, list[Experiment]]:
    """The reason, and the experiments on this knob alone that it rests on."""
    near = [e for e in about if _near(knob, e.change.knobs[knob.name][1], new)]
    keeps = [e for e in near if kept(e.verdict)]
    if keeps and _near(knob, current, new):
        return f"fine tuning around what {_nodes(keeps)} kept", keeps
    if keeps:
        where = "" if all(e.change.knobs[knob.name][1] == new for e in keeps) else " at similar values"
        return f"kept by {_nodes(keeps)}{where}", keeps
    paid = [
        e for e in about if e.verdict == "keep" and _same_direction(knob, e.change.knobs[knob.name], (current, new))
    ]
    if paid:
        return "further in the direction that paid", paid
    if near:
        tested = near[-1].change.knobs[knob.name][1]
        what = "it" if tested == new else show(tested)
        return f"{what} {_found(notebook, near[-1])}, on another recipe", near
    left = [e for e in about if kept(e.verdict) and e.change.knobs[knob.name][0] == new]
    if left:
        return f"given up for {show(left[-1].change.knobs[knob.name][1])}, but on another recipe", left
    if about and Span.of(knob):
        return "a part of the range that nobody tried", []
    promising = knob.weight(notebook.device_class) >= PROMISING
    return f"not tried yet{f', promising on {notebook.device_class}' if promising else ''}", []


def _nodes(keeps: list[Experiment]) -> str:
    return nodes(len({e.author for e in keeps}))


def _found(notebook: Notebook, experiment: Experiment) -> str:
    if experiment.verdict == "crash" or experiment.effect is None:
        return "crashed"
    if experiment.effect == 0:
        return "changed nothing at all"
    if abs(experiment.effect) <= CLEAR * notebook.noise().sd:
        return "made no clear difference"
    return f"was {'better' if experiment.effect > 0 else 'worse'} by {abs(experiment.effect):.2g}"


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
