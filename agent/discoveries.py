"""Discoveries: changes that someone kept, what others found when they tested them, and whom that makes credible."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from agent.entries import Verdict, kept
from agent.evidence import Experiment, NewValues
from trainer.knobs import Scalar
from trainer.recipe import Change

CONFIRMING_AUTHORS: Final = 3
REFUTING_AUTHORS: Final = 2
ATTEMPTS: Final = 2
BELIEVED: Final = 0.2  # credibility below which an author's word counts for nothing

Status = Literal["open", "confirmed", "refuted"]


@dataclass(frozen=True)
class SameChange:
    """The clear verdicts on a change from one set of old values in one program, each author's one.

    old: what stood there before, (knob, value); files: of that program, what is not as in the task, (file, text); empty
    where the change is an edit itself, which counts wherever it was merged. held: author -> whether it was kept, else
    it was discarded; finders: of these authors, those who kept it on their own idea; promised: median of the effects
    that they published, 0 without.
    """

    old: frozenset[tuple[str, Scalar]]
    files: frozenset[tuple[str, str]]
    held: Mapping[bytes, bool]
    finders: frozenset[bytes]
    promised: float


@dataclass(frozen=True)
class Discovery:
    """A change that an author kept without having it from someone else. Identical changes of several finders are one.

    record_id, author, time_ms, change, effect, simpler: of the earliest such keep; effect as published, in the metric's
    unit; simpler: it was kept as simpler and no worse, rather than as better.
    finders: all who kept it on their own idea. replications: the verdict of every other author's test, how they kept it
    if they ever did, else their latest. adopters: all who kept it. expected: median of the authors' latest effects.
    same_changes: the tests that set exactly these values, by where they started from. status: confirmed if kept by the
    author and two others; refuted if no other kept it, and two others discarded it from where a finder had started.
    """

    record_id: bytes
    author: bytes
    time_ms: int
    change: Change
    effect: float
    simpler: bool
    expected: float
    finders: tuple[bytes, ...]
    replications: tuple[tuple[bytes, Verdict], ...]
    adopters: tuple[bytes, ...]
    same_changes: tuple[SameChange, ...]
    status: Status
    integrity: str

    @property
    def new_values(self) -> dict[str, Scalar]:
        """What it sets knobs to."""
        return {knob: new for knob, (_, new) in self.change.knobs.items()}

    @property
    def edits_code(self) -> bool:
        """Whether it edits files, and does not only set knobs."""
        return bool(self.change.edits)


def discover(tests: Iterable[Experiment]) -> Discovery | None:
    """The discovery that these tests of one change amount to; None if nobody kept it on their own idea."""
    ordered = sorted(tests, key=lambda test: test.moment)
    first = next((test for test in ordered if test.is_find), None)
    if first is None:
        return None
    by_author: dict[bytes, list[Experiment]] = {}
    for test in ordered:
        by_author.setdefault(test.author, []).append(test)
    verdicts = {author: _verdict(theirs) for author, theirs in sorted(by_author.items())}
    latest = [effects[-1] for theirs in by_author.values() if (effects := _effects(theirs))]
    others = {author: verdict for author, verdict in verdicts.items() if author != first.author}
    adopters = tuple(author for author, verdict in verdicts.items() if kept(verdict))
    same_changes = tuple(_same_changes(ordered, first.new_values))
    status: Status = "open"
    if len(adopters) >= CONFIRMING_AUTHORS:
        status = "confirmed"
    elif adopters == (first.author,) and len(_refuting(same_changes)) >= REFUTING_AUTHORS:
        status = "refuted"
    return Discovery(
        record_id=first.record_id,
        author=first.author,
        time_ms=first.moment[0],
        change=first.change,
        effect=first.result.effect or 0.0,
        simpler=first.verdict == "simpler",
        expected=statistics.median(latest),
        finders=tuple(sorted({test.author for test in ordered if test.is_find})),
        replications=tuple(others.items()),
        adopters=adopters,
        same_changes=same_changes,
        status=status,
        integrity=first.integrity,
    )


def is_replication(test: Experiment, change: NewValues) -> bool:
    """Whether a replication really tests that change: all it sets is part of it (the rest may hold already)."""
    return test.new_values <= change


def settled(own_tests: Sequence[Experiment], status: Status) -> bool:
    """Whether a node's own tests of a change need no further one: it was kept, or there are no more attempts.

    Discarding settles it too, unless it is confirmed: then it holds elsewhere, and may hold here once the own best
    recipe has moved.
    """
    if any(kept(test.verdict) for test in own_tests) or len(own_tests) >= ATTEMPTS:
        return True
    return status != "confirmed" and any(test.verdict == "discard" for test in own_tests)


def _same_changes(ordered: Iterable[Experiment], change: NewValues) -> Iterator[SameChange]:
    """The tests of that change, and not of a part of it, by where they started from, in order of the first."""
    groups: dict[tuple[frozenset[tuple[str, Scalar]], frozenset[tuple[str, str]]], list[Experiment]] = {}
    for test in ordered:
        if test.new_values == change:
            old = frozenset((knob, before) for knob, (before, _) in test.change.knobs.items())
            files = frozenset() if test.edits_code else frozenset(test.parent.files.items())
            groups.setdefault((old, files), []).append(test)
    for (old, files), tests in groups.items():
        held: dict[bytes, bool] = {}
        for test in tests:
            if kept(test.verdict) or test.verdict == "discard":
                held[test.author] = held.get(test.author, False) or kept(test.verdict)
        finds = [test for test in tests if test.is_find]
        promised = statistics.median(find.result.effect or 0.0 for find in finds) if finds else 0.0
        yield SameChange(old, files, held, frozenset(find.author for find in finds), promised)


def _refuting(same_changes: Iterable[SameChange]) -> set[bytes]:
    """The authors who discarded what a finder kept."""
    return {author for tests in same_changes if tests.finders for author, held in tests.held.items() if not held}


def _verdict(tests: Sequence[Experiment]) -> Verdict:
    return next((test.verdict for test in tests if kept(test.verdict)), tests[-1].verdict)


def _effects(tests: Sequence[Experiment]) -> list[float]:
    return [test.effect for test in tests if test.effect is not None]
