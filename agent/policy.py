"""What is worth most now: explore an idea, replicate a peer's discovery, or calibrate the noise.

The value of an activity is the improvement of this node's own best recipe that it can be expected to bring, per trial:

- explore: the mean improvement that this node's recent explorations brought (a failure brought nothing), with a prior
  of one noise deviation that stands for hope and is never quite used up;
- replicate: the promised gain x the chance that it holds. The chance is a Beta posterior: the finder's credibility is
  its prior, worth two tests, and each other author's test counts by that author's credibility. A test that peers are
  running right now, of something not confirmed yet, is worth little: their result comes for free.

The node draws among its options with probabilities that grow with the square of the value, so that nodes that know the
same do not all do the same, and spends at most REPLICATING of its recent time on replications. Nobody assigns roles.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from agent.claims import Claim
from agent.discoveries import Discovery
from agent.entries import kept
from agent.evidence import claim_of
from agent.notebook import Notebook
from trainer.recipe import Recipe

RECENT: Final = 12  # experiments
REPLICATING: Final = 0.5
CLAIMED: Final = 0.3  # what is left of a value for each peer that is at it
PRIOR_TESTS: Final = 2.0
PRIOR_EXPLORATIONS: Final = 2.0  # trials that brought a deviation each
LEAST_CHANCE: Final = 0.2
BELIEVABLE: Final = 20.0  # deviations
CLEAR: Final = 4.0  # deviations
CALIBRATED_DEGREES: Final = 4.0
UNDECIDED: Final = 2  # inconclusive verdicts among the recent


@dataclass(frozen=True)
class Explore:
    """Try a new idea. reason: for the feed."""

    reason: str


@dataclass(frozen=True)
class Replicate:
    """Test a peer's discovery on this node's own best recipe."""

    discovery: Discovery
    reason: str


@dataclass(frozen=True)
class Calibrate:
    """Run a recipe on several seeds, to know the noise."""

    recipe: Recipe
    reason: str


Decision: TypeAlias = Explore | Replicate | Calibrate


def choose(notebook: Notebook, *, claims: Sequence[Claim], now_ms: int, rng: random.Random) -> Decision:
    """Decide what this node does next. claims: what peers announced; now_ms: milliseconds since 1970."""
    noise = notebook.noise()
    if noise.measured < CALIBRATED_DEGREES and _undecided(notebook) and not notebook.calibrated(notebook.best()):
        return Calibrate(notebook.best(), "verdicts stay open, and the noise here is not known well")
    live = [claim for claim in claims if claim.expires_ms > now_ms and claim.author != notebook.me]
    valued = [(replication_value(notebook, found, live), found) for found in notebook.open_replications()]
    options = [(value, found) for value, found in valued if value > 0]
    if not options:
        return Explore("nothing to replicate")
    if replication_share(notebook) >= REPLICATING:
        return Explore("replicated enough for now")
    weights = [exploration_value(notebook) ** 2, *(value**2 for value, _ in options)]
    (drawn,) = rng.choices([None, *(found for _, found in options)], weights)
    if drawn is None:
        return Explore("promises as much as the replications that wait")
    return Replicate(drawn, f"{chance(notebook, drawn):.0%} likely to hold")


def exploration_value(notebook: Notebook) -> float:
    """Expected improvement per trial from exploring, in the metric's unit; > 0."""
    recent = [e for e in notebook.experiments(notebook.me) if e.result.replicates is None][-RECENT:]
    gained = sum(e.result.effect or 0.0 for e in recent if e.verdict == "keep")
    trials = sum(len(e.result.pairs) for e in recent)
    return (PRIOR_EXPLORATIONS * notebook.noise().sd + gained) / (PRIOR_EXPLORATIONS + trials)


def replication_value(notebook: Notebook, discovery: Discovery, claims: Sequence[Claim]) -> float:
    """Expected improvement per trial from replicating; 0 where the finders' credit is used up.

    A promise beyond BELIEVABLE deviations, or twice what this node ever saw, counts as that: whoever lies gains nothing
    from lying more. Clear effects are decided after one seed, small ones after two or three.
    """
    likely = chance(notebook, discovery)
    if likely < LEAST_CHANCE:
        return 0.0
    sd = notebook.noise().sd
    seen = max((e.effect or 0.0 for e in notebook.experiments(notebook.me)), default=0.0)
    gain = min(notebook.gain(discovery), max(BELIEVABLE * sd, 2 * seen))
    trials = 1.0 if gain > CLEAR * sd else 2.5
    change = claim_of(discovery.change).items()
    # a peer that holds a part of the change already claims the rest
    testing = [claim for claim in claims if claim.change and claim.change.items() <= change]
    claimed = len(testing) if discovery.status == "open" else 0
    return gain * likely * CLAIMED**claimed / trials


def chance(notebook: Notebook, discovery: Discovery) -> float:
    """How likely a discovery is to hold on this node's best recipe, in (0, 1)."""
    credit = notebook.credibility(discovery.author)
    held, failed = PRIOR_TESTS * credit, PRIOR_TESTS * (1 - credit)
    for author, verdict in discovery.replications:
        if kept(verdict):
            held += notebook.credibility(author)
        elif verdict == "discard":
            failed += notebook.credibility(author)
    return held / (held + failed)


def replication_share(notebook: Notebook) -> float:
    """The share of replications in the time of this node's recent experiments."""
    recent = [e.result for e in notebook.experiments(notebook.me)[-RECENT:]]
    total = sum(result.seconds for result in recent)
    return sum(result.seconds for result in recent if result.replicates is not None) / total if total else 0.0


def _undecided(notebook: Notebook) -> bool:
    recent = notebook.experiments(notebook.me)[-RECENT:]
    return sum(e.verdict == "inconclusive" for e in recent) >= UNDECIDED
