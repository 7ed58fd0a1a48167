"""What is worth most now: explore an idea, replicate a peer's discovery, calibrate the noise, or synthesise.

The value of an activity is the improvement of this node's own best recipe that it can be expected to bring, per trial:

- explore: the mean improvement that this node's recent explorations brought (a failure brought nothing), with a prior
  of one noise deviation that stands for hope and is never quite used up. Or an open hypothesis: what its priority
  promises x how far its author is believed x how often such ideas hold;
- replicate: what it promises on this node's own best recipe (`agent.outlook`) x the chance that it holds. The chance is
  a Beta posterior: the finder's credibility is its prior, worth two tests, and each other author's test of the same
  change counts by that author's credibility. A test that peers are running right now, of something not confirmed yet,
  is worth little: their result comes for free;
- calibrate: the trials that a better known noise would spare the next experiments, each worth what exploring brings. It
  falls to nothing once the noise is known, by whoever measured it;
- synthesise: takes no trial, so it is not weighed against the others. It is due when DIGEST results are in that no
  insight looked at yet; then each node does it with a chance of one over the nodes at work, so that one of them does.

The node draws among its options with probabilities that grow with the square of the value, so that nodes that know the
same do not all do the same, and spends at most REPLICATING of its recent time on replications: more only where nothing
is left to explore. Nobody assigns roles.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from agent.claims import Claim, Claimed
from agent.discoveries import BELIEVED, Discovery
from agent.entries import Hypothesis, Insight
from agent.evidence import Experiment, Moment, claim_of
from agent.hypotheses import Idea, takeable
from agent.insights import RULE, findings
from agent.judge import ERROR, MAX_SEEDS
from agent.notebook import Notebook
from agent.outlook import Outlook
from agent.said import Told
from agent.strategy import CLIMB, Strategy, strategy
from agent.student import quantile
from agent.suggestions import suggestions
from trainer.recipe import Recipe

RECENT: Final = 12  # experiments
REPLICATING: Final = 0.25
WINDOW: Final = 12  # experiments, over which that holds: as many as a slow node does in a night
CLAIMED: Final = 0.3  # what is left of a value for each peer that is at it
PRIOR_TESTS: Final = 2.0
PRIOR_EXPLORATIONS: Final = 2.0  # trials that brought a deviation each
LEAST_CHANCE: Final = 0.1
BELIEVABLE: Final = 20.0  # deviations
CLEAR: Final = 4.0  # deviations
SMALL_TRIALS: Final = 2.5  # that decide about a small effect
CALIBRATION_SEEDS: Final = 2
DIGEST: Final = 20  # results
IDEAS: Final = 3  # open hypotheses that are weighed
IDEAS_HOLD: Final = 0.3
IDEAS_PROMISE: Final = 4.0  # deviations at a priority of a half, as `agent.suggestions` gives them


@dataclass(frozen=True)
class Explore:
    """Try a new idea: an open hypothesis, or what a proposer has by the strategy. reason: for the feed."""

    reason: str
    strategy: Strategy = CLIMB
    idea: Idea | None = None


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


@dataclass(frozen=True)
class Synthesise:
    """Say what the records say together: these entries, never none."""

    entries: Sequence[Insight | Hypothesis]
    reason: str


Decision: TypeAlias = Explore | Replicate | Calibrate | Synthesise


def choose(notebook: Notebook, *, claims: Sequence[Claim], now_ms: int, rng: random.Random) -> Decision:
    """Decide what this node does next. claims: what peers announced; now_ms: milliseconds since 1970."""
    if rng.random() < synthesis_chance(notebook):
        entries: list[Insight | Hypothesis] = [*findings(notebook), *suggestions(notebook)]
        if entries:
            return Synthesise(entries, f"{len(unread(notebook))} results that no insight looked at")
    live = _live(notebook, claims, now_ms)
    options = _options(notebook, live, now_ms, replicating=replication_share(notebook) < REPLICATING)
    weights = [exploration_value(notebook) ** 2, *(value**2 for value, _ in options)]
    (drawn,) = rng.choices([None, *(option for _, option in options)], weights)
    if drawn is not None:
        return drawn
    reason = "promises as much as what waits" if options else "nothing to replicate"
    return Explore(reason, strategy(notebook, [claim.change for claim in live]))


def choose_without_ideas(
    notebook: Notebook, *, claims: Sequence[Claim], now_ms: int, rng: random.Random
) -> Decision | None:
    """As `choose`, where no proposer has an idea left; None if there is nothing else to do either, for now."""
    options = _options(notebook, _live(notebook, claims, now_ms), now_ms, replicating=True)
    if not options:
        return None
    (drawn,) = rng.choices([option for _, option in options], [value**2 for value, _ in options])
    return drawn


def _live(notebook: Notebook, claims: Sequence[Claim], now_ms: int) -> list[Claim]:
    """What peers are at."""
    return [claim for claim in claims if claim.expires_ms > now_ms and claim.author != notebook.me]


def _options(
    notebook: Notebook, live: Sequence[Claim], now_ms: int, *, replicating: bool
) -> list[tuple[float, Decision]]:
    """All that may be done beside asking a proposer for an idea, with its value, > 0. replicating: replications too."""
    options: list[tuple[float, Decision]] = [*_replications(notebook, live)] if replicating else []
    options += [
        (idea_value(notebook, idea), Explore("an open hypothesis", idea=idea))
        for idea in takeable(notebook, claims=live, now_ms=now_ms)[:IDEAS]
        if not notebook.worn(notebook.on_best(idea.hypothesis.change))
    ]
    sparing = calibration_value(notebook) * exploration_value(notebook)
    options.append((sparing, Calibrate(notebook.best(), "the noise is not known well")))
    return [(value, option) for value, option in options if value > 0]


def _replications(notebook: Notebook, live: Sequence[Claim]) -> Iterator[tuple[float, Decision]]:
    """What is worth replicating, with its value."""
    outlook, claims = Outlook(notebook), Claimed(live)
    for found in notebook.open_replications():
        value = replication_value(outlook, found, claims)
        if value > 0 and not notebook.worn(notebook.onto_best(found)):
            yield value, Replicate(found, f"{chance(outlook, found):.0%} likely to hold")


def exploration_value(notebook: Notebook) -> float:
    """Expected improvement per trial from exploring, in the metric's unit; > 0."""
    recent = [e for e in notebook.experiments(notebook.me) if e.result.replicates is None][-RECENT:]
    gained = sum(e.result.effect or 0.0 for e in recent if e.verdict == "keep")
    trials = sum(len(e.result.pairs) for e in recent)
    return (PRIOR_EXPLORATIONS * notebook.noise().sd + gained) / (PRIOR_EXPLORATIONS + trials)


def idea_value(notebook: Notebook, idea: Idea) -> float:
    """Expected improvement per trial from testing an open hypothesis, in the metric's unit."""
    priority = min(idea.hypothesis.priority, 0.99)
    promised = min(IDEAS_PROMISE * priority / (1 - priority), BELIEVABLE) * notebook.noise().sd
    credit = 1.0 if idea.author == notebook.me else notebook.credibility(idea.author)
    return promised * credit * IDEAS_HOLD / SMALL_TRIALS


def calibration_value(notebook: Notebook) -> float:
    """Trials that CALIBRATION_SEEDS more trials of the own best recipe would spare RECENT experiments, per trial.

    A keep takes a mean of quantile x deviation / sqrt(seeds), so the seeds that an experiment takes grow with the
    square of the quantile, which falls as the noise gets known. Only seeds after the first can be spared. 0 where this
    node has run its best recipe on most seeds already.
    """
    best = notebook.best()
    recent = notebook.experiments(notebook.me)[-RECENT:]
    if not recent or notebook.own_seeds(best) > MAX_SEEDS - CALIBRATION_SEEDS:
        return 0.0
    degrees = notebook.noise().degrees
    level = 1 - ERROR / MAX_SEEDS
    sparing = 1 - (quantile(level, degrees + CALIBRATION_SEEDS) / quantile(level, degrees)) ** 2
    later = sum(len(test.result.pairs) - 1 for test in recent) * RECENT / len(recent)
    return sparing * later / CALIBRATION_SEEDS


def replication_value(outlook: Outlook, discovery: Discovery, claims: Claimed) -> float:
    """Expected improvement per trial from replicating; 0 where the finder is not believed, or others saw it fail.

    A promise beyond BELIEVABLE deviations, or twice what this node ever saw, counts as that: whoever lies gains nothing
    from lying more. Clear effects are decided after one seed, small ones after two or three.
    """
    notebook, likely = outlook.notebook, chance(outlook, discovery)
    if likely < LEAST_CHANCE or notebook.credibility(discovery.author) < BELIEVED:
        return 0.0
    sd = notebook.noise().sd
    gain = min(outlook.gain(discovery), max(BELIEVABLE * sd, 2 * outlook.largest))
    trials = 1.0 if gain > CLEAR * sd else SMALL_TRIALS
    # a peer that holds a part of the change already claims the rest
    testing = claims.parts_of(claim_of(discovery.change)) if discovery.status == "open" else 0
    return gain * likely * CLAIMED**testing / trials


def chance(outlook: Outlook, discovery: Discovery) -> float:
    """How likely a discovery is to hold on this node's best recipe, in (0, 1)."""
    notebook = outlook.notebook
    credit = notebook.credibility(discovery.author)
    held, failed = PRIOR_TESTS * credit, PRIOR_TESTS * (1 - credit)
    if (tests := outlook.same(discovery)) is not None:
        for author, good in tests.held.items():
            if author in tests.finders:
                continue
            if good:
                held += notebook.credibility(author)
            else:
                failed += notebook.credibility(author)
    return held / (held + failed)


def replication_share(notebook: Notebook) -> float:
    """The share of replications in the time of this node's last WINDOW experiments; what is to come counts as others.

    So who comes late, or where much was found at once, may replicate several in a row.
    """
    recent = [e.result for e in notebook.experiments(notebook.me)[-WINDOW:]]
    total = sum(result.seconds for result in recent) * WINDOW / max(len(recent), 1)
    return sum(result.seconds for result in recent if result.replicates is not None) / total if total else 0.0


def unread(notebook: Notebook) -> list[Experiment]:
    """The results that are newer than the last insight or hypothesis by rule of anybody whom this node believes."""
    told: list[Told] = [t for t in notebook.insights() if t.insight.proposer == RULE]
    told += [t for t in notebook.hypotheses() if t.hypothesis.proposer == RULE]
    latest: dict[bytes, Moment] = {}
    for one in told:
        latest[one.author] = max(one.moment, latest.get(one.author, one.moment))
    believed = [m for author, m in latest.items() if author == notebook.me or notebook.credibility(author) >= BELIEVED]
    last = max(believed, default=(0, b""))
    return notebook.experiments_after(last)


def synthesis_chance(notebook: Notebook) -> float:
    """How likely this node is to synthesise now: over the nodes at work these chances sum to one."""
    fresh = unread(notebook)
    return 1 / len({test.author for test in fresh}) if len(fresh) >= DIGEST else 0.0
