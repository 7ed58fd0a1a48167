"""How far a node believes an author: a Beta posterior over tests whose outcome the node can judge, never gossiped.

What counts, for the finder of a discovery and for everybody else who tested it:

- this node tested it: a finder whose discovery held has held once; where it failed he failed FAILURE times, since a
  false discovery costs everybody a test, and a true one may be luck;
- somebody tested what this node tested: agreement and disagreement count the same way, at AGREEMENT of the weight,
  since an honest tester may stand on another recipe;
- this node did not test it: the verdicts of others count as far as their authors agree with this node more often than
  not, so strangers, however many, and liars who confirm each other say nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from agent.discoveries import Discovery, own_verdict
from agent.entries import Verdict, kept

FAILURE: Final = 2.0
AGREEMENT: Final = 0.5
HEARSAY: Final = 1.0

Tally = dict[bytes, list[float]]
"""author -> [held, failed]"""


def credit_of_all(discoveries: Iterable[Discovery], me: bytes) -> Mapping[bytes, float]:
    """Author -> credibility in (0, 1) in the eyes of `me`; 0.5 for whoever is not in it."""
    tally: Tally = {}
    untested = []
    for discovery in discoveries:
        mine = own_verdict(discovery, me)
        if mine is None or not _clear(mine):
            untested.append(discovery)
            continue
        for author, verdict in _said(discovery, me):
            weight = 1.0 if author in discovery.finders else AGREEMENT
            _count(tally, author, kept(verdict) == kept(mine), weight)
    trusted = {author: 2 * credit - 1 for author, credit in _means(tally).items() if credit > 0.5}
    heard: Tally = {author: list(counts) for author, counts in tally.items()}
    for discovery in untested:
        for finder in discovery.finders:
            for author, verdict in _said(discovery, me):
                if author in trusted and author != finder and author not in discovery.finders:
                    _count(heard, finder, kept(verdict), HEARSAY * trusted[author])
    return _means(heard)


def _said(discovery: Discovery, me: bytes) -> Iterator[tuple[bytes, Verdict]]:
    """Every author's clear verdict but one's own, the finders' among them."""
    verdicts = {discovery.author: "keep", **dict(discovery.replications)}
    return ((author, verdict) for author, verdict in verdicts.items() if author != me and _clear(verdict))


def _clear(verdict: Verdict) -> bool:
    return kept(verdict) or verdict == "discard"


def _count(tally: Tally, author: bytes, good: bool, weight: float) -> None:
    counts = tally.setdefault(author, [0.0, 0.0])
    counts[0 if good else 1] += weight if good else weight * FAILURE


def _means(tally: Tally) -> dict[bytes, float]:
    """Means of the Beta(1 + held, 1 + failed) posteriors: 0.5 for a stranger, never 0 or 1."""
    return {author: (1 + held) / (2 + held + failed) for author, (held, failed) in tally.items()}
