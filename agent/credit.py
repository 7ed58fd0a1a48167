"""How far a node believes an author: what it found and what it tested, by the tests that can speak to each other.

Two tests speak to each other if they are of the very same change, from the same values to the same values, and of knobs
in the same program. Where the tester's own best recipe stands elsewhere already, it tested another change: most of
those fail, whoever found them, while of the same ones nearly all of an honest finder's hold and hardly any of a liar's.

- This node tested the change: whoever says what it saw has held once, in what they find or in what they test; whoever
  says the contrary failed FAILURE times, since a false word costs everybody tests, and a true one may be luck. Less
  where less than CLEAR deviations were promised, as an honest tester may miss that.
- It did not: the same, by the word of those who are believed after the first, as far as they are believed more than
  strangers are. So strangers, however many, and liars who confirm each other say nothing. However many tested it, a
  change counts for one.

Each role has a Beta posterior. The credibility is that of the worst role in which something failed: who lies in what it
finds earns nothing back by testing honestly. It is each node's own view, and never gossiped.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.discoveries import SameChange

FAILURE: Final = 4.0
CLEAR: Final = 4.0  # deviations
STRANGER: Final = 0.5


@dataclass
class _Role:
    """How much of what an author said in a role held, and how much failed."""

    held: float = 0.0
    failed: float = 0.0


@dataclass
class _Standing:
    """An author as a finder and as a tester."""

    finds: _Role = field(default_factory=_Role)
    tests: _Role = field(default_factory=_Role)

    @property
    def credibility(self) -> float:
        """The mean of the posterior of the worst role in which something failed; of both as one, where nothing did."""
        roles = [role for role in (self.finds, self.tests) if role.failed]
        roles = roles or [_Role(self.finds.held + self.tests.held)]
        return min((1 + role.held) / (2 + role.held + role.failed) for role in roles)


def credit_of_all(changes: Iterable[SameChange], me: bytes, sd: float) -> Mapping[bytes, float]:
    """Author -> credibility in (0, 1) in the eyes of `me`; STRANGER for whoever is not in it. sd: of one trial."""
    standings: dict[bytes, _Standing] = defaultdict(_Standing)
    untested = []
    for tests in changes:
        if not tests.finders:
            continue
        if me in tests.held:
            _compare(standings, tests, {me: 1.0}, sd)
        else:
            untested.append(tests)
    trusted = {
        author: (standing.credibility - STRANGER) / (1 - STRANGER)
        for author, standing in standings.items()
        if standing.credibility > STRANGER
    }
    for tests in untested:
        # a finder's own word is what is to be tested
        witnesses = {a: trusted[a] for a in tests.held if a in trusted and a not in tests.finders}
        if witnesses:
            _compare(standings, tests, witnesses, sd)
    return {author: standing.credibility for author, standing in standings.items()}


def _compare(standings: dict[bytes, _Standing], tests: SameChange, witnesses: Mapping[bytes, float], sd: float) -> None:
    """Count what everybody said of a change against what the witnesses saw, who have these weights."""
    failure = FAILURE * min(1.0, max(tests.promised, 0.0) / (CLEAR * sd))
    for author, held in tests.held.items():
        agree = sum(weight for one, weight in witnesses.items() if one != author and tests.held[one] == held)
        differ = sum(weight for one, weight in witnesses.items() if one != author and tests.held[one] != held)
        role = standings[author].finds if author in tests.finders else standings[author].tests
        together = max(1.0, agree + differ)
        role.held += agree / together
        role.failed += failure * differ / together
