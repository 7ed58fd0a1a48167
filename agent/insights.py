"""Insights by rule: what the records of many nodes say together, in one plain sentence each, with what it rests on.

Kinds, as records name them:

- `effect`: a knob's value helps or harms: the interval of its pooled effect excludes zero, over AUTHORS authors;
- `device`: it does so on one device class and not, or clearly less, on another;
- `noise`: somebody kept it, and over AUTHORS authors the effect is small and cannot be told from zero;
- `contradiction`: it is clearly better for SIDES authors and clearly worse for as many on one device class;
- `inert`: whatever a knob was set to, nothing changed that would be worth having;
- `crash`: it crashes on a device class, for several authors (`agent.never`);
- `author`: most of what an author found did not hold with others.

What was said is not said again, unless the evidence has changed what it says (`_says`).
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from agent.cells import Cell
from agent.discoveries import BELIEVED, Discovery
from agent.effects import PooledEffect, SourceEffect
from agent.entries import Insight
from agent.judge import smallest_worth
from agent.never import never_again
from agent.notebook import Notebook
from agent.said import ToldInsight
from agent.student import quantile
from agent.wording import nodes, setting, size
from trainer.knobs import Scalar
from trainer.task import Metric

AUTHORS: Final = 3
SIDES: Final = 2
ON_A_DEVICE: Final = 2  # authors
CLEAR: Final = 3.0  # deviations of a source's mean
NOTHING: Final = 2.0  # noise deviations, within which a pooled mean counts as none
FAILED: Final = 3  # discoveries of an author that others refuted
MOST: Final = 5  # findings at once
MOST_EVIDENCE: Final = 64
RULE: Final = "rule"  # who says it


def findings(notebook: Notebook) -> Sequence[Insight]:
    """What holds by the records as they are and was not said yet, the largest effects first; at most MOST."""
    said = defaultdict(list)
    for told in notebook.insights():
        said[subject(told.insight)].append(told.insight)
    new = [found for found in _all(notebook) if not any(_says(old, found) for old in said[subject(found)])]
    return sorted(new, key=lambda found: (-abs(found.effect or 0.0), found.text))[:MOST]


def standing(notebook: Notebook) -> list[ToldInsight]:
    """What was said and stands: the newest about each thing by whom this node believes, those of most authors first.

    What came from a model says of nothing in particular; each of these stands for itself.
    """
    newest: dict[object, ToldInsight] = {}
    for told in notebook.insights():
        if told.author == notebook.me or notebook.credibility(told.author) >= BELIEVED:
            newest[subject(told.insight) if told.insight.about else told.moment] = told
    weightiest = sorted(newest.values(), key=lambda told: (-abs(told.insight.effect or 0.0), told.moment))
    return sorted(weightiest, key=lambda told: -told.insight.authors)


def _all(notebook: Notebook) -> Iterator[Insight]:
    worth = smallest_worth(notebook.noise())
    effects = notebook.effects()
    by_knob: dict[str, dict[Cell, PooledEffect]] = defaultdict(dict)
    alone = [found.new_values for found in notebook.discoveries() if len(found.change) == 1 and not found.edits_code]
    kept = {notebook.cell(*setting) for change in alone for setting in change.items()}
    for cell, effect in effects.items():
        if not effect.sources:
            continue
        by_knob[cell[0]][cell] = effect
        yield from _of_setting(notebook, cell, effect, worth, kept=cell in kept)
    for knob, values in by_knob.items():
        yield from _inert(knob, values, worth)
    yield from _crashes(notebook)
    yield from _authors(notebook.discoveries())


def _of_setting(notebook: Notebook, cell: Cell, effect: PooledEffect, worth: float, *, kept: bool) -> Iterator[Insight]:
    task = notebook.task
    classes = sorted({source.device_class for source in effect.sources})
    if len(classes) > 1 and (differs := _differs(notebook, cell, classes)):
        yield differs
    better = [source for source in effect.sources if source.mean > _reach(notebook, source)]
    worse = [source for source in effect.sources if -source.mean > _reach(notebook, source)]
    if any(min(_authors_on(better, c), _authors_on(worse, c)) >= SIDES for c in classes):
        text = (
            f"nodes contradict each other on {setting(task, cell)}: {task.metric.name} was better for "
            f"{nodes(len(better))} by about {size(_middle(better))}, worse for {len(worse)} by about "
            f"{size(_middle(worse))}"
        )
        yield _insight("contradiction", cell, text, effect)
    elif effect.authors < AUTHORS:
        return
    elif effect.clear and abs(effect.mean) >= worth:
        over = f"over {nodes(effect.authors)}{_on(classes)}"
        yield _insight("effect", cell, f"{setting(task, cell)} {_does(task.metric, effect)} {over}", effect)
    elif kept and not effect.clear and abs(effect.mean) < NOTHING * notebook.noise().sd:
        low, high = effect.interval
        text = (
            f"{setting(task, cell)} was kept by somebody, but over {nodes(effect.authors)} its effect on "
            f"{task.metric.name} cannot be told from none ({_signed(low)} to {_signed(high)}, positive is better)"
        )
        yield _insight("noise", cell, text, effect)


def _differs(notebook: Notebook, cell: Cell, classes: Sequence[str]) -> Insight | None:
    """The two device classes that differ most clearly in a setting's effect, if any do."""
    pooled = [
        (device, effect)
        for device in classes
        if (effect := notebook.effect(*cell, device=device)) and effect.authors >= ON_A_DEVICE
    ]
    found: tuple[float, Insight] | None = None
    for index, (one, at_one) in enumerate(pooled):
        for other, at_other in pooled[index + 1 :]:
            gap = abs(at_one.mean - at_other.mean)
            degrees = min(at_one.authors, at_other.authors) - 1  # the smaller: wider than Welch's, and simpler
            reach = quantile(0.975, degrees) * math.hypot(at_one.sd, at_other.sd)
            if gap > max(reach, smallest_worth(notebook.noise())) and (found is None or gap > found[0]):
                metric = notebook.task.metric
                text = (
                    f"{setting(notebook.task, cell)} {_does(metric, at_one)} on {one} ({nodes(at_one.authors)}), but "
                    f"{_does(metric, at_other)} on {other} ({nodes(at_other.authors)})"
                )
                both = (*at_one.sources, *at_other.sources)
                found = (
                    gap,
                    Insight(
                        kind="device",
                        text=text,
                        about=dict([cell]),
                        effect=gap,
                        interval=(gap - reach, gap + reach),
                        authors=len({source.author for source in both}),
                        evidence=_evidence(both),
                        proposer=RULE,
                    ),
                )
    return found[1] if found else None


def _inert(knob: str, values: Mapping[Cell, PooledEffect], worth: float) -> Iterator[Insight]:
    authors = {source.author for effect in values.values() for source in effect.sources}
    nothing = all(
        all(source.mean == 0.0 for source in effect.sources)
        or (effect.authors >= AUTHORS and max(map(abs, effect.interval)) < worth)
        for effect in values.values()
    )
    if nothing and len(authors) >= AUTHORS:
        sources = [source for effect in values.values() for source in effect.sources]
        tests = sum(source.tests for source in sources)
        text = f"{knob} changes nothing worth having: {tests} tests of {len(values)} values by {nodes(len(authors))}"
        yield Insight(
            kind="inert",
            text=text,
            about={knob: None},
            authors=len(authors),
            evidence=_evidence(sources),
            proposer=RULE,
        )


def _crashes(notebook: Notebook) -> Iterator[Insight]:
    for barred in never_again(notebook):
        if barred.crashes and barred.authors >= SIDES:
            yield Insight(
                kind="crash",
                text=barred.why,
                about={barred.knob: barred.value},
                authors=barred.authors,
                evidence=list(barred.evidence)[:MOST_EVIDENCE],
                proposer=RULE,
            )


def _authors(discoveries: Sequence[Discovery]) -> Iterator[Insight]:
    """Authors most of whose discoveries others refuted."""
    theirs: dict[bytes, list[Discovery]] = defaultdict(list)
    for found in discoveries:
        if found.status != "open":
            theirs[found.author].append(found)
    for author, settled in sorted(theirs.items()):
        refuted = [found for found in settled if found.status == "refuted"]
        if len(refuted) >= FAILED and 2 * len(refuted) > len(settled):
            testers = {tester for found in refuted for tester, _ in found.replications}
            yield Insight(
                kind="author",
                text=f"{len(refuted)} of {len(settled)} discoveries of {author.hex()[:8]} did not hold with others",
                about={"author": author.hex()},
                authors=len(testers),
                evidence=[found.record_id for found in refuted][-MOST_EVIDENCE:],
                proposer=RULE,
            )


def _insight(kind: str, cell: Cell, text: str, effect: PooledEffect) -> Insight:
    return Insight(
        kind=kind,
        text=text,
        about=dict([cell]),
        effect=effect.mean,
        interval=effect.interval,
        authors=effect.authors,
        evidence=_evidence(effect.sources),
        proposer=RULE,
    )


def subject(insight: Insight) -> tuple[str, frozenset[tuple[str, Scalar | None]]]:
    """What it speaks of: two insights of one subject are about one finding."""
    return insight.kind, frozenset(insight.about.items())


def _says(old: Insight, new: Insight) -> bool:
    """Whether an insight of the same kind about the same says the same: half as many authors or more, same size."""
    if new.authors >= 2 * max(old.authors, 1):
        return False
    if new.effect is None or old.effect is None or old.interval is None:
        return new.effect is old.effect is None
    return old.interval[0] <= new.effect <= old.interval[1] and (new.effect > 0) == (old.effect > 0)


def _evidence(sources: Sequence[SourceEffect]) -> list[bytes]:
    return sorted({source.record_id for source in sources})[:MOST_EVIDENCE]


def _reach(notebook: Notebook, source: SourceEffect) -> float:
    return CLEAR * math.sqrt(2 * notebook.noise().variance / source.weight)


def _authors_on(sources: Sequence[SourceEffect], device_class: str) -> int:
    return len({source.author for source in sources if source.device_class == device_class})


def _middle(sources: Sequence[SourceEffect]) -> float:
    return math.fsum(abs(source.mean) for source in sources) / len(sources)


def _does(metric: Metric, effect: PooledEffect) -> str:
    if not effect.clear:
        return f"makes no clear difference to {metric.name}"
    low, high = sorted(map(abs, effect.interval))
    moves = "lowers" if (effect.mean > 0) == (metric.direction == "minimize") else "raises"
    return f"{moves} {metric.name} by {size(effect.mean)} ({size(low)} to {size(high)})"


def _on(classes: Sequence[str]) -> str:
    return f", on {', '.join(classes[:-1])} and {classes[-1]}" if len(classes) > 1 else ""


def _signed(value: float) -> str:
    return f"{value:+.2g}"
