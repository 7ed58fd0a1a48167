"""Open hypotheses: which ideas wait for a test, who is at them, and how the others were answered.

A hypothesis is answered by results that name it in `inspired_by` and set nothing but what it suggests (the rest may
hold already). It is open until somebody whom this node believes comes to a clear verdict. Whoever takes one says so in
presences; that claim ends by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from agent.claims import Claim
from agent.discoveries import BELIEVED
from agent.entries import Hypothesis, Verdict, kept
from agent.evidence import Moment, NewValues, new_values
from agent.notebook import Notebook
from agent.said import ToldHypothesis
from trainer.errors import TrainerError
from trainer.recipe import Change

UNCLEAR: Final = 3  # inconclusive answers, after which another test would hardly tell more
OF_ONE_AUTHOR: Final = 20  # open ones that count: the newest
LOOKED_AT: Final = 100  # of one author, the newest: whoever says thousands is not read through


@dataclass(frozen=True)
class Answer:
    """A result that tested a hypothesis. effect: mean improvement in the metric's unit, None after a crash."""

    record_id: bytes
    author: bytes
    verdict: Verdict
    effect: float | None


@dataclass(frozen=True)
class Idea:
    """A hypothesis as it stands. claimed_by: authors who say that they are testing it now."""

    moment: Moment
    author: bytes
    hypothesis: Hypothesis
    answers: tuple[Answer, ...] = ()
    claimed_by: tuple[bytes, ...] = ()
    is_open: bool = True

    @property
    def record_id(self) -> bytes:
        return self.moment[1]


def ideas(notebook: Notebook, *, claims: Sequence[Claim] = (), now_ms: int = 0) -> list[Idea]:
    """Every hypothesis with its answers and who is at it, by time and id. claims: what peers announced."""
    live = _live(claims, now_ms)
    return [_idea(notebook, told, live) for told in notebook.hypotheses()]


def open_ideas(notebook: Notebook, *, claims: Sequence[Claim] = (), now_ms: int = 0) -> list[Idea]:
    """What waits for a test, first what this node's own person proposed, then what promises most.

    The promise is the priority times the author's credibility; of equal ones the best founded, then the oldest, is
    first. Of each author the newest OF_ONE_AUTHOR count, so that nobody fills the list.
    """
    live = _live(claims, now_ms)
    by_author: dict[bytes, list[ToldHypothesis]] = {}
    for told in notebook.hypotheses():
        by_author.setdefault(told.author, []).append(told)
    counted: list[Idea] = []
    for theirs in by_author.values():
        looked_at = (_idea(notebook, told, live) for told in reversed(theirs[-LOOKED_AT:]))
        counted += islice((idea for idea in looked_at if idea.is_open), OF_ONE_AUTHOR)
    return sorted(
        counted, key=lambda idea: (not is_of_own_person(notebook, idea), -_promise(notebook, idea), *_rank(idea))
    )


def takeable(notebook: Notebook, *, claims: Sequence[Claim] = (), now_ms: int = 0) -> list[Idea]:
    """The open ideas that this node could test next: with a change that its best recipe lacks and its tests know not.

    Left out is what a peer is testing now, unless this node's own person wants it.
    """
    return [
        idea
        for idea in open_ideas(notebook, claims=claims, now_ms=now_ms)
        if (not idea.claimed_by or is_of_own_person(notebook, idea)) and _is_new_here(notebook, idea.hypothesis)
    ]


def answered_by(notebook: Notebook, change: Change, inspired_by: Sequence[bytes]) -> bytes | None:
    """The hypothesis (its record's id) that an experiment with this change would answer; of several the newest."""
    told = [told for told in notebook.hypotheses() if told.moment[1] in inspired_by]
    answered = [one.moment[1] for one in told if _suggests(one.hypothesis, new_values(change))]
    return answered[-1] if answered else None


def _live(claims: Sequence[Claim], now_ms: int) -> list[Claim]:
    """The claims that hold now, by author."""
    return sorted((claim for claim in claims if claim.expires_ms > now_ms), key=lambda claim: claim.author)


def _idea(notebook: Notebook, told: ToldHypothesis, live: Sequence[Claim]) -> Idea:
    moment, hypothesis = told.moment, told.hypothesis
    tests = [test for test in notebook.naming(moment[1]) if _suggests(hypothesis, test.new_values)]
    answers = tuple(Answer(test.record_id, test.author, test.verdict, test.effect) for test in tests)
    believed = [a for a in answers if a.author == notebook.me or notebook.credibility(a.author) >= BELIEVED]
    clear = any(kept(answer.verdict) or answer.verdict in ("discard", "crash") for answer in believed)
    change = hypothesis.change
    claimed_by = tuple(
        claim.author for claim in live if claim.hypothesis == moment[1] or (change and claim.change == change)
    )
    return Idea(moment, told.author, hypothesis, answers, claimed_by, not clear and len(believed) < UNCLEAR)


def _suggests(hypothesis: Hypothesis, change: NewValues) -> bool:
    return not hypothesis.change or change <= frozenset(hypothesis.change.items())


def _is_new_here(notebook: Notebook, hypothesis: Hypothesis) -> bool:
    if not hypothesis.change:
        return False
    try:
        candidate = notebook.on_best(hypothesis.change)
    except TrainerError:
        return False
    return candidate != notebook.best() and not notebook.was_tried(candidate)


def is_of_own_person(notebook: Notebook, idea: Idea) -> bool:
    """Whether the person of this node had the idea."""
    return idea.author == notebook.me and idea.hypothesis.proposer == "person"


def _promise(notebook: Notebook, idea: Idea) -> float:
    credit = 1.0 if idea.author == notebook.me else notebook.credibility(idea.author)
    return idea.hypothesis.priority * credit


def _rank(idea: Idea) -> tuple[int, Moment]:
    return -len(idea.hypothesis.evidence), idea.moment
