"""Hypotheses by rule: what the records suggest to test, and nobody has.

- Two confirmed discoveries that nobody has put together: each was tested alone, on recipes that lacked the other.
- A discovery that is confirmed on one device class only, while nodes of another class work on the task.
- A knob's value that looks good over several authors, with an interval that does not yet exclude zero.

What was suggested before, by whoever, is not suggested again.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

from agent.discoveries import Discovery
from agent.entries import Hypothesis, kept
from agent.judge import smallest_worth
from agent.notebook import Notebook
from agent.wording import nodes, setting, size
from trainer.knobs import Scalar

MOST: Final = 3  # suggestions at once
PAIRED: Final = 12  # discoveries that are looked at for pairs: those that promise most
AUTHORS: Final = 2
LARGE: Final = 4.0  # noise deviations that are worth a priority of a half
DOUBTED: Final = 0.5  # of a priority, where the interval still holds zero
MOST_EVIDENCE: Final = 64


def suggestions(notebook: Notebook) -> Sequence[Hypothesis]:
    """What to test next by the records as they are, the most promising first; at most MOST."""
    said = {frozenset(told.hypothesis.change.items()) for told in notebook.hypotheses()}
    found = sorted(notebook.discoveries(), key=lambda one: (-one.expected, one.record_id))
    confirmed = [one for one in found if one.status == "confirmed" and not one.edits_code and not one.simpler]
    every = [
        *_together(notebook, confirmed[:PAIRED]),
        *_elsewhere(notebook, confirmed),
        *_undecided(notebook, confirmed),
    ]
    new: dict[frozenset[tuple[str, Scalar]], Hypothesis] = {}
    for one in sorted(every, key=lambda one: (-one.priority, one.text)):
        change = frozenset(one.change.items())
        if change not in said:
            new.setdefault(change, one)
    return list(new.values())[:MOST]


def _together(notebook: Notebook, confirmed: Sequence[Discovery]) -> Iterator[Hypothesis]:
    best = [test.candidate for test in notebook.latest_keeps()]
    for one, other in combinations(confirmed, 2):
        both = {**one.new_values, **other.new_values}
        if one.new_values.keys() & other.new_values.keys() or notebook.tests_of(both):
            continue
        if any(both.items() <= recipe.knobs.items() for recipe in best):
            continue
        gain = one.expected + other.expected
        text = (
            f"{_settings(notebook, one.new_values)} and {_settings(notebook, other.new_values)} were each confirmed, "
            f"and nobody has both: together they may improve {notebook.task.metric.name} by {size(gain)}"
        )
        yield _suggest(notebook, text, both, [one.record_id, other.record_id], gain)


def _elsewhere(notebook: Notebook, confirmed: Sequence[Discovery]) -> Iterator[Hypothesis]:
    classes = notebook.device_classes()
    for one in confirmed:
        tests = notebook.tests_of(one.new_values)
        tested = {test.result.device_class for test in tests}
        untested = sorted(classes - tested)
        if len(tested) == 1 and untested:
            text = (
                f"{_settings(notebook, one.new_values)} is confirmed on {tested.pop()} by {nodes(len(one.adopters))}, "
                f"and nobody has tested it on {' or '.join(untested)}"
            )
            evidence = sorted(test.record_id for test in tests if kept(test.verdict))
            yield _suggest(notebook, text, one.new_values, evidence, one.expected)


def _undecided(notebook: Notebook, confirmed: Sequence[Discovery]) -> Iterator[Hypothesis]:
    settled = {notebook.cell(*pair) for one in confirmed for pair in one.new_values.items()}
    worth = smallest_worth(notebook.noise())
    for (knob, value), effect in notebook.effects().items():
        if (knob, value) in settled or effect.authors < AUTHORS:
            continue
        if effect.mean > worth and not effect.clear:
            low, high = effect.interval
            text = (
                f"{setting(notebook.task, (knob, value))} may improve {notebook.task.metric.name} by "
                f"{size(effect.mean)}, but over {nodes(effect.authors)} that is not certain "
                f"({low:+.2g} to {high:+.2g}): another test would tell more"
            )
            evidence = sorted({source.record_id for source in effect.sources})
            yield _suggest(notebook, text, {knob: value}, evidence, effect.mean, DOUBTED)


def _suggest(
    notebook: Notebook, text: str, change: dict[str, Scalar], evidence: Sequence[bytes], gain: float, doubt: float = 1.0
) -> Hypothesis:
    priority = doubt * gain / (gain + LARGE * notebook.noise().sd) if gain > 0 else 0.0
    return Hypothesis(
        text=text, change=change, evidence=list(evidence)[:MOST_EVIDENCE], priority=priority, proposer="rule"
    )


def _settings(notebook: Notebook, change: dict[str, Scalar]) -> str:
    return ", ".join(setting(notebook.task, one) for one in sorted(change.items()))
