"""The values of trials: by recipe, author and seed, and how noisy they are.

Of two values for one seed of an author the earliest stands. Spreads are reckoned when they are asked for, not with
each trial: an author may have thousands of one recipe. What is pooled from them is kept until a spread changes, author
by author: one more trial does not make everybody's figures anew.
"""

import statistics
from collections import defaultdict
from typing import TypeAlias

from agent.evidence import Moment
from agent.noise import Figure, Noise, PairedNoise, Spread, figure, own_noise, paired, with_peers
from trainer.recipe import BASELINE, recipe_id

Values: TypeAlias = dict[int, tuple[Moment, float]]


class TrialBook:
    """The trials of all authors. prior_sd: the task's guess of the noise, > 0."""

    def __init__(self, me: bytes, prior_sd: float) -> None:
        self._me = me
        self._prior_sd = prior_sd
        self._trials: dict[bytes, dict[bytes, Values]] = {}
        self._known_spreads: dict[bytes, dict[bytes, Spread]] = defaultdict(dict)
        self._changed: dict[tuple[bytes, bytes], None] = {}  # author and recipe, of spreads that have to be made anew
        self._figures: dict[bytes, Figure] = {}
        self._own: Noise | None = None
        self._noise: Noise | None = None

    def add(self, moment: Moment, author: bytes, recipe: bytes, seed: int, value: float) -> None:
        """File a trial's value. recipe: its id."""
        trials = self._trials.setdefault(recipe, {}).setdefault(author, {})
        # (moment, value) decides even between two spellings of one seed in one record
        if seed in trials and (moment, value) >= trials[seed]:
            return
        trials[seed] = (moment, value)
        if len(trials) > 1:
            self._changed[author, recipe] = None
            self._figures.pop(author, None)
            self._noise = None
            if author == self._me:
                self._own = None

    def values(self, recipe: bytes) -> dict[int, float]:
        """Seed -> value of a recipe over all authors; of two authors' values for one seed the earliest."""
        merged: Values = {}
        for trials in self._trials.get(recipe, {}).values():
            for seed, trial in trials.items():
                merged[seed] = min(merged.get(seed, trial), trial)
        return {seed: value for seed, (_, value) in sorted(merged.items())}

    def own(self, recipe: bytes) -> dict[int, float]:
        """Seed -> value of this node's own trials of a recipe."""
        return {seed: value for seed, (_, value) in self._trials.get(recipe, {}).get(self._me, {}).items()}

    def baseline(self) -> float | None:
        """The value of the task's own program: mean of own trials, else the median of the other authors' means."""
        trials = self._trials.get(recipe_id(BASELINE), {})
        means = {author: statistics.fmean(value for _, value in seeds.values()) for author, seeds in trials.items()}
        return means.get(self._me, statistics.median(means.values())) if means else None

    def noise(self) -> Noise:
        """The noise of one trial over seeds."""
        if self._noise is None:
            if self._own is None:
                self._own = own_noise(self._prior_sd, list(self._spreads().get(self._me, {}).values()))
            self._noise = with_peers(self._own, self._of_peers())
        return self._noise

    def paired_noise(self, parent: bytes) -> PairedNoise:
        """The noise of one improvement over the parent (by id), for the judge."""
        mine = self._spreads().get(self._me, {})
        spread = mine.get(parent)
        if spread is None:
            return paired(self.noise())
        others = own_noise(self._prior_sd, [known for recipe, known in mine.items() if recipe != parent])
        return paired(with_peers(others, self._of_peers()), spread)

    def _spreads(self) -> dict[bytes, dict[bytes, Spread]]:
        for author, recipe in self._changed:
            values = [value for _, value in self._trials[recipe][author].values()]
            self._known_spreads[author][recipe] = Spread.of(values)
        self._changed.clear()
        return self._known_spreads

    def _of_peers(self) -> list[Figure]:
        spreads = self._spreads()
        for author in spreads.keys() - self._figures.keys() - {self._me}:
            self._figures[author] = figure(list(spreads[author].values()), self._prior_sd)
        return [self._figures[author] for author in sorted(self._figures)]
