"""Discoveries: changes that someone kept, what others found when they tested them, and whom that makes credible."""

import statistics
from collections.abc import Iterable, Sequence
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
class Discovery:
    """A change that an author kept without having it from someone else. Identical changes of several finders are one.

    record_id, author, time_ms, change, effect, simpler: of the earliest such keep; effect as published, in the metric's
    unit; simpler: it was kept as simpler and no worse, rather than as better.
    finders: all who kept it on their own idea. replications: the verdict of every other author's test, how they kept it
    if they ever did, else their latest. adopters: all who kept it. expected: median of the authors' latest effects.
    status: confirmed if kept by the author and two others; refuted if two others discarded it and no other kept it.
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
    discarded = sum(verdict == "discard" for verdict in others.values())
    status: Status = "open"
    if len(adopters) >= CONFIRMING_AUTHORS:
        status = "confirmed"
    elif adopters == (first.author,) and discarded >= REFUTING_AUTHORS:
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
        status=status,
        integrity=first.integrity,
    )


def is_replication(test: Experiment, change: NewValues) -> bool:
    """Whether a replication really tests that change: all it sets is part of it (the rest may hold already)."""
    return test.new_values <= change


def own_verdict(discovery: Discovery, me: bytes) -> Verdict | None:
    """What a node itself found when it tested the discovery; None if it did not."""
    return "keep" if discovery.author == me else dict(discovery.replications).get(me)


def settled(own_tests: Sequence[Experiment], status: Status) -> bool:
    """Whether a node's own tests of a change need no further one: it was kept, or there are no more attempts.

    Discarding settles it too, unless it is confirmed: then it holds elsewhere, and may hold here once the own best
    recipe has moved.
    """
    if any(kept(test.verdict) for test in own_tests) or len(own_tests) >= ATTEMPTS:
        return True
    return status != "confirmed" and any(test.verdict == "discard" for test in own_tests)


def _verdict(tests: Sequence[Experiment]) -> Verdict:
    return next((test.verdict for test in tests if kept(test.verdict)), tests[-1].verdict)


def _effects(tests: Sequence[Experiment]) -> list[float]:
    return [test.effect for test in tests if test.effect is not None]
