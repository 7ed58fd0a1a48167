"""What was said in words, and what came of it: hypotheses, insights, and the experiments that name a record."""

from bisect import insort
from collections import defaultdict
from dataclasses import dataclass
from operator import attrgetter

from agent.entries import Hypothesis, Insight
from agent.evidence import Experiment, Moment

_MOMENT = attrgetter("moment")


@dataclass(frozen=True)
class Told:
    """A hypothesis or an insight, by whom and when."""

    moment: Moment
    author: bytes


@dataclass(frozen=True)
class ToldHypothesis(Told):
    hypothesis: Hypothesis


@dataclass(frozen=True)
class ToldInsight(Told):
    insight: Insight


class Said:
    """In order of time."""

    def __init__(self) -> None:
        self._hypotheses: list[ToldHypothesis] = []
        self._insights: list[ToldInsight] = []
        self._naming: dict[bytes, list[Experiment]] = defaultdict(list)

    def add(self, moment: Moment, author: bytes, entry: Hypothesis | Insight) -> None:
        """File what was told."""
        if isinstance(entry, Hypothesis):
            insort(self._hypotheses, ToldHypothesis(moment, author, entry), key=_MOMENT)
        else:
            insort(self._insights, ToldInsight(moment, author, entry), key=_MOMENT)

    def note(self, test: Experiment) -> None:
        """Take note of what inspired an experiment."""
        for named in set(test.result.inspired_by):
            insort(self._naming[named], test, key=_MOMENT)

    def hypotheses(self) -> list[ToldHypothesis]:
        return list(self._hypotheses)

    def insights(self) -> list[ToldInsight]:
        return list(self._insights)

    def naming(self, record_id: bytes) -> list[Experiment]:
        """The experiments that name a record as what inspired them."""
        return list(self._naming.get(record_id, ()))
