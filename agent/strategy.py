"""How a node explores, and when it changes that: the rule for a plateau, and what comes after one.

The plateau rule: as many explorations in a row without moving the own best as would have brought a keep with
CERTAINTY, had keeps come as often as before. How often that was is a Beta posterior over the last WINDOW explorations
before the drought, with a prior of one keep in ten. So a node whose ideas used to work is impatient, and one in
difficult ground is not.

On a plateau the strategies take turns, STAY explorations each, until something moves the own best:

- combine: near-misses, changes that looked better without being certain, two at once;
- restart: from another good recipe, a believed peer's or an earlier one of its own; what is proposed there is still
  tested against the own best, so nothing is lost on the way;
- leap: larger steps and more knobs at once;
- climb: one change to the own best, as ever.

All of it follows from the records, so a node that was stopped goes on where it was.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, Literal, TypeAlias

from agent.entries import kept
from agent.evidence import Experiment
from agent.notebook import Notebook
from trainer.errors import TrainerError
from trainer.knobs import Scalar
from trainer.recipe import Recipe, recipe_id, values

CERTAINTY: Final = 0.95
WINDOW: Final = 30  # explorations
HOPED: Final = (1.0, 9.0)  # keeps and failures before any experience
STAY: Final = 8  # explorations
NEAR_MISSES: Final = 6
WITHIN: Final = 4.0  # deviations that another recipe may lie below the own best and still be worth a start
BELIEVED: Final = 0.5  # credibility of whose recipe is worth a start

Kind: TypeAlias = Literal["climb", "combine", "restart", "leap"]
TURNS: Final[Sequence[Kind]] = ("combine", "restart", "leap", "climb")


@dataclass(frozen=True)
class Strategy:
    """How to explore. reason: for the feed.

    start: the recipe that proposals start from, None for the own best; change: what to test, if that is settled.
    """

    kind: Kind = "climb"
    reason: str = ""
    start: Recipe | None = None
    change: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def bold(self) -> bool:
        """Whether steps are larger, and more knobs change at once."""
        return self.kind == "leap"


CLIMB: Final = Strategy()


@dataclass(frozen=True)
class Drought:
    """explorations: since the own best last moved; patience: how many of these make a plateau.

    before: keeps among the explorations before, and how many these were.
    """

    explorations: int
    patience: int
    before: tuple[int, int]

    @property
    def plateau(self) -> bool:
        return self.explorations >= self.patience


def drought(notebook: Notebook) -> Drought:
    """How long this node's explorations have brought nothing, and how long is too long."""
    own = notebook.experiments(notebook.me)
    last = max((index for index, test in enumerate(own) if kept(test.verdict)), default=-1)
    before = [test for test in own[: last + 1] if test.result.replicates is None][-WINDOW:]
    since = sum(test.result.replicates is None for test in own[last + 1 :])
    keeps = sum(kept(test.verdict) for test in before)
    rate = (HOPED[0] + keeps) / (sum(HOPED) + len(before))
    patience = math.ceil(math.log(1 - CERTAINTY) / math.log(1 - rate))
    return Drought(since, patience, (keeps, len(before)))


def strategy(notebook: Notebook, avoid: Sequence[Mapping[str, Scalar]] = ()) -> Strategy:
    """How this node explores now. avoid: changes that peers are testing."""
    dry = drought(notebook)
    if not dry.plateau:
        return CLIMB
    keeps, tests = dry.before
    used_to = f", where {keeps} of {tests} before were kept" if tests else ""
    why = f"{dry.explorations} explorations in a row improved nothing{used_to}"
    turn = (dry.explorations - dry.patience) // STAY
    for kind in (*TURNS[turn % len(TURNS) :], "leap"):
        found = _take(notebook, kind, turn // len(TURNS), why, avoid)
        if found is not None:
            return found
    return CLIMB


def _take(
    notebook: Notebook, kind: Kind, which: int, why: str, avoid: Sequence[Mapping[str, Scalar]]
) -> Strategy | None:
    match kind:
        case "combine":
            change = next((c for c in _combinations(notebook) if c not in avoid), None)
            text = f"{why}: near-misses are combined"
            return None if change is None else Strategy("combine", text, change=change)
        case "restart":
            starts = _starts(notebook)
            if not starts:
                return None
            start, whose = starts[which % len(starts)]
            return Strategy("restart", f"{why}: ideas start from {whose}", start=start)
        case "leap":
            return Strategy("leap", f"{why}: larger steps, more knobs at once")
        case "climb":
            return Strategy("climb", f"{why}: small steps from the best recipe again")


def _combinations(notebook: Notebook) -> Iterator[dict[str, Scalar]]:
    """Untried pairs of near-misses on different knobs, the most promising first."""
    current = values(notebook.task, notebook.best())
    misses: dict[tuple[str, Scalar], Experiment] = {}
    for test in notebook.experiments():
        if _near_miss(test) and len(test.change) == 1 and test.change.knobs:
            ((knob, (_, new)),) = test.change.knobs.items()
            if current[knob] != new and (test.author == notebook.me or notebook.credibility(test.author) >= BELIEVED):
                misses[knob, new] = test
    ranked = sorted(misses.items(), key=lambda miss: (-(miss[1].effect or 0.0), miss[1].record_id))[:NEAR_MISSES]
    for (one, _), (other, _) in combinations(ranked, 2):
        if one[0] == other[0]:
            continue
        change = dict([one, other])
        try:
            candidate = notebook.on_best(change)
        except TrainerError:
            continue
        if not notebook.was_tried(candidate, by_anyone=True) and not notebook.worn(candidate):
            yield change


def _near_miss(test: Experiment) -> bool:
    """Whether a change looked better, over more than one seed or without a clear verdict, and was not kept."""
    tried = test.verdict == "inconclusive" or (test.verdict == "discard" and test.seeds > 1)
    return tried and (test.effect or 0.0) > 0


def _starts(notebook: Notebook) -> list[tuple[Recipe, str]]:
    """Other good recipes with the own best's code, the best first, and whose each is."""
    best = notebook.best()
    level = _level(notebook, best)
    if level is None:
        return []
    peers = [
        (keep.candidate, "a peer's best recipe")
        for keep in notebook.latest_keeps()
        if keep.author != notebook.me and keep.integrity != "reported" and notebook.credibility(keep.author) >= BELIEVED
    ]
    own = [
        (test.candidate, "an earlier recipe of its own")
        for test in notebook.experiments(notebook.me)
        if kept(test.verdict) or (test.verdict == "inconclusive" and (test.effect or 0) > 0)
    ]
    reach = WITHIN * notebook.noise().sd
    found: dict[bytes, tuple[float, Recipe, str]] = {}
    for recipe, whose in [*own, *peers]:
        value = _level(notebook, recipe)
        if recipe == best or recipe.files != best.files or value is None:
            continue
        behind = notebook.task.metric.improvement(value, level)
        if behind <= reach:
            found[recipe_id(recipe)] = (behind, recipe, whose)
    return [(recipe, whose) for _, (_, recipe, whose) in sorted(found.items(), key=lambda item: (item[1][0], item[0]))]


def _level(notebook: Notebook, recipe: Recipe) -> float | None:
    trials = notebook.values(recipe_id(recipe))
    return math.fsum(trials.values()) / len(trials) if trials else None
