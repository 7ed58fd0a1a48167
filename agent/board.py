"""The board: how every author stands."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.discoveries import Discovery
from agent.entries import kept
from agent.evidence import Experiment
from trainer.task import Metric


@dataclass(frozen=True)
class BoardRow:
    """An author's standing.

    value: mean over `seeds` seeds of their own best recipe, which makes `changes` changes to the task's program; None
    before their first keep. confirmed: discoveries of theirs that are confirmed. last_ms: time of their last result.
    """

    author: bytes
    value: float | None
    seeds: int
    changes: int
    experiments: int
    keeps: int
    confirmed: int
    last_ms: int


def board(
    metric: Metric,
    experiments: Mapping[bytes, Sequence[Experiment]],
    latest_keeps: Mapping[bytes, Experiment],
    discoveries: Iterable[Discovery],
) -> list[BoardRow]:
    """One row per author with a usable experiment, best value first."""
    confirmed = Counter(discovery.author for discovery in discoveries if discovery.status == "confirmed")
    rows = []
    for author, theirs in experiments.items():
        best = latest_keeps.get(author)
        values = [pair.candidate for pair in best.result.pairs if pair.candidate is not None] if best else []
        rows.append(
            BoardRow(
                author=author,
                value=statistics.fmean(values) if values else None,
                seeds=len(values),
                changes=len(best.candidate.knobs) + len(best.candidate.files) if best else 0,
                experiments=len(theirs),
                keeps=sum(kept(experiment.verdict) for experiment in theirs),
                confirmed=confirmed[author],
                last_ms=max(experiment.moment[0] for experiment in theirs),
            )
        )
    return sorted(rows, key=lambda row: (row.value is None, -metric.improvement(0.0, row.value or 0.0), row.author))
