"""The notebook: what a node knows, computed from the records it has.

Every view is a fold over a set of records: it does not depend on the order in which they came. `add` files a record
under what it says; views are made from these files when asked for, and only what a new record touched is made anew.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from agent.best import Best, Code, latest_run
from agent.board import BoardRow, board
from agent.cells import Cell, cell
from agent.discoveries import BELIEVED, Discovery, credibility, discover, is_replication, own_verdict, settled
from agent.effects import PooledEffect, Tests
from agent.entries import (
    NO_TASK,
    Calibration,
    Hypothesis,
    Insight,
    Profile,
    Result,
    Verdict,
    kept,
    read_if_known,
)
from agent.evidence import (
    MAX_VALUE,
    Experiment,
    Moment,
    NewValues,
    comparable,
    new_values,
    read_experiment,
    read_recipe,
)
from agent.judge import smallest_worth
from agent.noise import Noise, PairedNoise, Spread, paired, pool
from gossip.record import Record
from trainer.errors import RecipeError
from trainer.knobs import Scalar
from trainer.recipe import BASELINE, Recipe, recipe_id, values
from trainer.task import Task

KnobSetting: TypeAlias = tuple[str, Scalar]


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


class Notebook:
    """What `me` (32-byte author) knows about a task on a device of `device_class`."""

    def __init__(self, task: Task, me: bytes, device_class: str) -> None:
        self.task = task
        self.me = me
        self.device_class = device_class
        self._fingerprint = task.fingerprint
        self._seen: set[bytes] = set()
        self._experiments: dict[bytes, Experiment] = {}
        self._by_author: dict[bytes, list[Experiment]] = defaultdict(list)
        self._by_candidate: dict[bytes, list[Experiment]] = defaultdict(list)
        self._tests: dict[Cell, Tests] = defaultdict(Tests)
        self._by_setting: dict[KnobSetting, list[Experiment]] = defaultdict(list)
        self._by_change: dict[NewValues, list[Experiment]] = defaultdict(list)
        self._by_named: dict[bytes, list[Experiment]] = defaultdict(list)
        self._hypotheses: dict[bytes, ToldHypothesis] = {}
        self._insights: dict[bytes, ToldInsight] = {}
        self._by_replicated: dict[bytes, list[Experiment]] = defaultdict(list)
        self._device_classes: set[str] = set()
        self._latest_keeps: dict[bytes, Experiment] = {}
        self._trials: dict[bytes, dict[bytes, dict[int, tuple[Moment, float]]]] = {}
        self._spreads: dict[bytes, dict[bytes, Spread]] = defaultdict(dict)
        self._calibrated: set[tuple[bytes, bytes]] = set()
        self._profiles: dict[bytes, tuple[Moment, Profile]] = {}
        self._discoveries: dict[NewValues, Discovery] = {}
        self._stale: set[NewValues] = set()
        self._verdicts: dict[bytes, list[Verdict]] | None = None
        self._noise: Noise | None = None
        self._code: Code = "all"
        self._best = Best(task)

    def accept(self, code: Code) -> None:
        """Say whose edited code this node runs: what its best recipe is, and what it may replicate, follows from it.

        Without a word all of it counts, as for those who only look.
        """
        self._code = code
        self._choose_best()

    def add(self, record: Record) -> None:
        """File a record that passed `entries.check`; repeats, other tasks, and what cannot be compared are ignored."""
        if record.id in self._seen or record.task not in (self._fingerprint, NO_TASK):
            return
        self._seen.add(record.id)
        entry = read_if_known(record)
        if isinstance(entry, Profile):
            moment = (record.time_ms, record.id)
            if record.author not in self._profiles or self._profiles[record.author][0] < moment:
                self._profiles[record.author] = (moment, entry)
        elif isinstance(entry, Hypothesis):
            self._hypotheses[record.id] = ToldHypothesis((record.time_ms, record.id), record.author, entry)
        elif isinstance(entry, Insight):
            self._insights[record.id] = ToldInsight((record.time_ms, record.id), record.author, entry)
        elif isinstance(entry, Result | Calibration) and record.task == self._fingerprint:
            if not comparable(self.task, entry, self.device_class):
                return
            if isinstance(entry, Calibration):
                self._file_calibration(record, entry)
            elif (experiment := read_experiment(self.task, record, entry)) is not None:
                self._file_experiment(experiment)

    def _file_experiment(self, experiment: Experiment) -> None:
        self._experiments[experiment.record_id] = experiment
        self._by_author[experiment.author].append(experiment)
        self._device_classes.add(experiment.result.device_class)
        self._by_candidate[experiment.candidate_id].append(experiment)
        self._by_change[experiment.new_values].append(experiment)
        for knob, (_, new) in experiment.change.knobs.items():
            self._by_setting[(knob, new)].append(experiment)
            self._tests[self.cell(knob, new)].add(experiment)
        if kept(experiment.verdict):
            before = self._latest_keeps.get(experiment.author, experiment)
            self._latest_keeps[experiment.author] = max(before, experiment, key=lambda e: e.moment)
            if experiment.author == self.me:
                self._choose_best()
        self._stale.add(experiment.new_values)
        for named in experiment.result.inspired_by:
            self._by_named[named].append(experiment)
        replicated = experiment.result.replicates
        if replicated is not None:
            self._by_replicated[replicated].append(experiment)
            if replicated in self._experiments:
                self._stale.add(self._experiments[replicated].new_values)
        for pair in experiment.result.pairs:
            for recipe, value in ((experiment.candidate_id, pair.candidate), (experiment.parent_id, pair.parent)):
                if value is not None:
                    self._file_trial(experiment.moment, experiment.author, recipe, pair.seed, value)

    def _file_calibration(self, record: Record, calibration: Calibration) -> None:
        recipe = read_recipe(self.task, calibration.recipe)
        if recipe is None or any(abs(value) > MAX_VALUE for value in calibration.values.values()):
            return
        self._calibrated.add((record.author, recipe_id(recipe)))
        for seed, value in calibration.values.items():
            self._file_trial((record.time_ms, record.id), record.author, recipe_id(recipe), int(seed), value)

    def _file_trial(self, moment: Moment, author: bytes, recipe: bytes, seed: int, value: float) -> None:
        trials = self._trials.setdefault(recipe, {}).setdefault(author, {})
        # (moment, value) decides even between two spellings of one seed in one record
        if seed not in trials or (moment, value) < trials[seed]:
            trials[seed] = (moment, value)
            if len(trials) > 1:
                self._spreads[author][recipe] = Spread.of([value for _, value in trials.values()])
                self._noise = None

    # Trials and noise

    def values(self, recipe: bytes) -> dict[int, float]:
        """Seed -> value of a recipe (by id) over all authors; of two values for one seed the earliest stands."""
        merged: dict[int, tuple[Moment, float]] = {}
        for trials in self._trials.get(recipe, {}).values():
            for seed, trial in trials.items():
                merged[seed] = min(merged.get(seed, trial), trial)
        return {seed: value for seed, (_, value) in sorted(merged.items())}

    def own_trials(self, recipe: Recipe, seed: int) -> float | None:
        """The value of this node's own trial of a recipe on a seed, so that it is not run twice."""
        trial = self._trials.get(recipe_id(recipe), {}).get(self.me, {}).get(seed)
        return trial[1] if trial else None

    def noise(self) -> Noise:
        """The noise of one trial over seeds."""
        if self._noise is None:
            self._noise = self._pooled(without=None)
        return self._noise

    def paired_noise(self, parent: Recipe | None = None) -> PairedNoise:
        """The noise of one improvement over the parent (by default this node's best recipe), for the judge."""
        parent_id = recipe_id(parent or self.best())
        spread = self._spreads.get(self.me, {}).get(parent_id)
        return paired(self._pooled(without=parent_id), spread) if spread else paired(self.noise())

    def _pooled(self, without: bytes | None) -> Noise:
        own = [spread for recipe, spread in self._spreads.get(self.me, {}).items() if recipe != without]
        peers = {author: list(theirs.values()) for author, theirs in self._spreads.items() if author != self.me}
        return pool(self.task.metric.noise, own, peers)

    def calibrated(self, recipe: Recipe) -> bool:
        """Whether this node has published a calibration of the recipe."""
        return (self.me, recipe_id(recipe)) in self._calibrated

    # Recipes and experiments

    def best(self) -> Recipe:
        """This node's own best recipe: what its own trials have led to, nothing that it only heard."""
        return self._best.recipe

    def best_result(self) -> Result | None:
        """The result that made `best`; None while that is the baseline."""
        return self._best.keep.result if self._best.keep else None

    def _choose_best(self) -> None:
        if self._code == "all":
            self._best = Best(self.task, self._latest_keeps.get(self.me))
        else:
            keeps = [test for test in self.experiments(self.me) if kept(test.verdict)]
            self._best = Best(self.task, latest_run(keeps, self._code))

    def on_best(self, change: Mapping[str, Scalar], edits: Mapping[str, str] | None = None) -> Recipe:
        """This node's own best recipe with these values set, and files of its program replaced by these texts.

        Raises as `Best.with_change`.
        """
        return self._best.with_change(change, edits or {})

    def onto_best(self, discovery: Discovery) -> Recipe:
        """This node's own best recipe with a discovery's change. Raises MergeConflict and RecipeError."""
        return self._best.with_discovery(discovery)

    def experiments(self, author: bytes | None = None) -> list[Experiment]:
        """All usable experiments, or those of one author, by time and id."""
        found = self._experiments.values() if author is None else self._by_author.get(author, ())
        return sorted(found, key=lambda experiment: experiment.moment)

    def experiment(self, record_id: bytes) -> Experiment | None:
        """The usable experiment that this record is, if it is one."""
        return self._experiments.get(record_id)

    def tests(self, discovery: Discovery) -> list[Experiment]:
        """Every experiment that tested a discovery's change, the finders' own among them, by time and id."""
        return sorted(self._tests_of(new_values(discovery.change)), key=lambda test: test.moment)

    @property
    def tried(self) -> frozenset[bytes]:
        """Ids of the recipes that this node has a verdict on."""
        return frozenset(experiment.candidate_id for experiment in self._by_author.get(self.me, ()))

    def was_tried(self, recipe: Recipe, *, by_anyone: bool = False) -> bool:
        """Whether this node, or anyone, has a verdict on exactly this recipe. The baseline counts as tried."""
        tests = self._by_candidate.get(recipe_id(recipe), ())
        return recipe == BASELINE or any(by_anyone or test.author == self.me for test in tests)

    # Effects and discoveries

    def cell(self, knob: str, value: Scalar) -> Cell:
        """The cell of the knob's range that the value is pooled in."""
        return cell(self.task.knobs[knob], value)

    def effect(self, knob: str, value: Scalar, *, device: str | None = None) -> PooledEffect | None:
        """What all experiments that set the knob to (about) the value say together; None without any.

        device: only what was seen on that device class. Authors whom this node does not believe are left out.
        """
        tests = self._tests.get(self.cell(knob, value))
        return tests.pool(self.noise(), self._disbelieved(), device) if tests else None

    def effects(self) -> dict[Cell, PooledEffect]:
        """The pooled effect of every cell of a knob that anyone tried."""
        noise, without = self.noise(), self._disbelieved()
        return {cell: tests.pool(noise, without) for cell, tests in sorted(self._tests.items(), key=repr)}

    def _disbelieved(self) -> frozenset[bytes]:
        return frozenset(author for author in self._own_tests() if self.credibility(author) < BELIEVED)

    def discoveries(self) -> list[Discovery]:
        """Every change that someone kept on their own idea, by time and id."""
        if self._stale:
            self._verdicts = None
        for change in list(self._stale):
            self._discovery(change)
        return sorted(self._discoveries.values(), key=lambda discovery: (discovery.time_ms, discovery.record_id))

    def discovery(self, record_id: bytes) -> Discovery | None:
        """The discovery that a result made, tested or repeated; None if its change was never kept, or it is unknown."""
        test = self._experiments.get(record_id)
        if test is None:
            return None
        return self._discovery(self._experiments.get(test.result.replicates or record_id, test).new_values)

    def _discovery(self, change: NewValues) -> Discovery | None:
        if change in self._stale:
            self._stale.remove(change)
            discovery = discover(self._tests_of(change))
            if discovery is not None:
                self._discoveries[change] = discovery
        return self._discoveries.get(change)

    def _tests_of(self, change: NewValues) -> list[Experiment]:
        same = {test.record_id: test for test in self._by_change.get(change, ())}
        naming = [test for record_id in same for test in self._by_replicated.get(record_id, ())]
        return list((same | {test.record_id: test for test in naming if is_replication(test, change)}).values())

    def tests_of(self, change: Mapping[str, Scalar]) -> list[Experiment]:
        """The experiments that set exactly these values, or replicate what did, by time and id."""
        return sorted(self._tests_of(frozenset(change.items())), key=lambda test: test.moment)

    def latest_keeps(self) -> list[Experiment]:
        """What made each author's best recipe, by author."""
        return [keep for _, keep in sorted(self._latest_keeps.items())]

    def device_classes(self) -> set[str]:
        """The device classes of the nodes whose results count here."""
        return set(self._device_classes)

    def credibility(self, author: bytes) -> float:
        """How far this node trusts what an author keeps, in (0, 1): by its own tests of their discoveries alone."""
        tests = self._own_tests().get(author, [])
        return credibility(sum(map(kept, tests)), tests.count("discard"))

    def _own_tests(self) -> dict[bytes, list[Verdict]]:
        """Finder -> this node's verdicts on what they found."""
        discoveries = self.discoveries()
        if self._verdicts is None:
            self._verdicts = defaultdict(list)
            for discovery in discoveries:
                verdict = own_verdict(discovery, self.me)
                for finder in discovery.finders:
                    if verdict is not None and finder != self.me:
                        self._verdicts[finder].append(verdict)
        return self._verdicts

    def open_replications(self) -> list[Discovery]:
        """Discoveries of others that may improve this node's best recipe, the largest promise first.

        Left out is what was refuted, or only reported by its author's program; what this node has settled by its own
        tests, or what leads to a recipe it has tried (the same seeds would say the same); what its best recipe holds
        already; what promises less than this node has gained on the same knobs; and code, where this node runs none of
        peers', or where it does not fit onto its best recipe (see `misfits`).
        """
        found = [(self.gain(discovery), discovery) for discovery in self.discoveries() if self._is_open(discovery)]
        promising = [(gain, discovery) for gain, discovery in found if gain > 0]
        promising.sort(key=lambda pair: (-pair[0], pair[1].time_ms, pair[1].record_id))
        return [discovery for _, discovery in promising]

    def _is_open(self, discovery: Discovery) -> bool:
        if not self._is_wanted(discovery):
            return False
        try:
            candidate = self.onto_best(discovery)
        except RecipeError:
            return False
        return candidate != self.best() and not self.was_tried(candidate)

    def _is_wanted(self, discovery: Discovery) -> bool:
        if discovery.status == "refuted" or discovery.integrity == "reported":
            return False
        if discovery.edits_code and self._code != "all":
            return False
        own = [test for test in self._tests_of(new_values(discovery.change)) if test.author == self.me]
        return not settled(own)

    def misfits(self) -> list[tuple[Discovery, RecipeError]]:
        """Code of peers that this node would replicate, were there room for it in its best recipe; and why not."""
        found = []
        for discovery in self.discoveries():
            if discovery.edits_code and self._is_wanted(discovery):
                try:
                    self.onto_best(discovery)
                except RecipeError as error:
                    found.append((discovery, error))
        return found

    def gain(self, discovery: Discovery) -> float:
        """The improvement over this node's best recipe that a discovery promises if it holds, in the metric's unit.

        Being simpler is worth as much as the smallest effect worth having.
        Where this node has moved a knob away from what the finder started from, its own gain on that knob is lost.
        """
        mine = values(self.task, self.best())
        moved = [(knob, mine[knob]) for knob, (old, _) in discovery.change.knobs.items() if mine[knob] != old]
        worth = smallest_worth(self.noise()) if discovery.simpler else 0.0
        return max(discovery.expected, worth) - sum(self._own_gain(setting) for setting in moved)

    def _own_gain(self, setting: KnobSetting) -> float:
        keeps = [e for e in self._by_setting.get(setting, ()) if e.author == self.me and kept(e.verdict)]
        latest = max(keeps, key=lambda experiment: experiment.moment, default=None)
        return (latest.effect or 0.0) / len(latest.change) if latest else 0.0

    # What was said in words

    def hypotheses(self) -> list[ToldHypothesis]:
        """Every hypothesis, by time and id; `agent.hypotheses` says which are open."""
        return sorted(self._hypotheses.values(), key=lambda told: told.moment)

    def insights(self) -> list[ToldInsight]:
        """Every insight, by time and id."""
        return sorted(self._insights.values(), key=lambda told: told.moment)

    def naming(self, record_id: bytes) -> list[Experiment]:
        """The experiments that name a record as what inspired them, by time and id."""
        return sorted(self._by_named.get(record_id, ()), key=lambda test: test.moment)

    # Authors

    def profile(self, author: bytes) -> Profile | None:
        """The newest profile of an author."""
        known = self._profiles.get(author)
        return known[1] if known else None

    def baseline(self) -> float | None:
        """The value of the task's own program: mean of own trials, else the median of the other authors' means."""
        trials = self._trials.get(recipe_id(BASELINE), {})
        means = {author: statistics.fmean(value for _, value in seeds.values()) for author, seeds in trials.items()}
        return means.get(self.me, statistics.median(means.values())) if means else None

    def board(self) -> list[BoardRow]:
        """One row per author with a usable experiment, best value first."""
        return board(self.task.metric, self._by_author, self._latest_keeps, self.discoveries())
