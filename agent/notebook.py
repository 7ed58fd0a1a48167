"""The notebook: what a node knows, computed from the records it has.

Every view is a fold over a set of records: it does not depend on the order in which they came. `add` files a record
with the parts of the notebook, each of which has one idea; views are made from these files when asked for, and only
what a new record touched is made anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from agent.best import Best, Code, latest_run
from agent.board import BoardRow, board
from agent.catalogue import Catalogue
from agent.cells import Cell
from agent.discoveries import Discovery
from agent.effects import Effects, PooledEffect, Tests
from agent.entries import NO_TASK, Calibration, Entry, Hypothesis, Insight, Profile, Result, kept, read_if_known
from agent.evidence import MAX_VALUE, Experiment, Moment, Outcome, comparable, new_values, read_experiment, read_recipe
from agent.experiments import Experiments
from agent.gist import read_gist
from agent.judge import smallest_worth
from agent.noise import Noise, PairedNoise
from agent.replications import Replications
from agent.said import Said, ToldHypothesis, ToldInsight
from agent.trialbook import TrialBook
from gossip.record import Record
from trainer.errors import RecipeError
from trainer.knobs import Scalar
from trainer.recipe import Recipe, recipe_id
from trainer.task import Task

NEAR_TRIES: Final = 3  # of near-duplicates, by one node


class Notebook:
    """What `me` (32-byte author) knows about a task on a device of `device_class`."""

    def __init__(self, task: Task, me: bytes, device_class: str) -> None:
        self.task = task
        self.me = me
        self.device_class = device_class
        self._fingerprint = task.fingerprint
        self._seen: set[bytes] = set()
        self._experiments = Experiments(task, me)
        self._trials = TrialBook(me, task.metric.noise)
        self._effects = Effects(task)
        self._discoveries = Catalogue(me)
        self._replications = Replications(task, me, self._experiments, self._discoveries)
        self._said = Said()
        self._profiles: dict[bytes, tuple[Moment, Profile]] = {}
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
        if entry is not None:
            self._file((record.time_ms, record.id), record.author, record.task, entry)

    def add_gist(self, moment: Moment, author: bytes, task: bytes, gist: bytes) -> None:
        """File what is left of a result that was forgotten (agent/gist.py). Raises ValueError for other bytes."""
        if moment[1] not in self._seen and task == self._fingerprint:
            self._seen.add(moment[1])
            self._file(moment, author, task, read_gist(gist))

    def _file(self, moment: Moment, author: bytes, task: bytes, entry: Entry) -> None:
        if isinstance(entry, Profile):
            if author not in self._profiles or self._profiles[author][0] < moment:
                self._profiles[author] = (moment, entry)
        elif isinstance(entry, Hypothesis | Insight):
            self._said.add(moment, author, entry)
        elif isinstance(entry, Result | Calibration) and task == self._fingerprint:
            if not comparable(self.task, entry, self.device_class):
                return
            if isinstance(entry, Calibration):
                self._file_calibration(moment, author, entry)
            elif (experiment := read_experiment(self.task, moment, author, entry)) is not None:
                self._file_experiment(experiment)

    def _file_experiment(self, test: Experiment) -> None:
        for part in (self._experiments, self._effects, self._discoveries):
            part.add(test)
        self._said.note(test)
        for pair in test.result.pairs:
            for recipe, value in ((test.candidate_id, pair.candidate), (test.parent_id, pair.parent)):
                if value is not None:
                    self._trials.add(test.moment, test.author, recipe, pair.seed, value)
        if test.author == self.me and kept(test.verdict):
            self._choose_best()

    def _file_calibration(self, moment: Moment, author: bytes, calibration: Calibration) -> None:
        recipe = read_recipe(self.task, calibration.recipe)
        if recipe is None or any(abs(value) > MAX_VALUE for value in calibration.values.values()):
            return
        for seed, value in calibration.values.items():
            self._trials.add(moment, author, recipe_id(recipe), int(seed), value)

    # Trials and noise

    def values(self, recipe: bytes) -> dict[int, float]:
        """Seed -> value of a recipe (by id) over all authors; of two values for one seed the earliest stands."""
        return self._trials.values(recipe)

    def own_trials(self, recipe: Recipe, seed: int) -> float | None:
        """The value of this node's own trial of a recipe on a seed, so that it is not run twice."""
        return self._trials.own(recipe_id(recipe)).get(seed)

    def own_seeds(self, recipe: Recipe) -> int:
        """On how many seeds this node has run a recipe."""
        return len(self._trials.own(recipe_id(recipe)))

    def noise(self) -> Noise:
        """The noise of one trial over seeds."""
        return self._trials.noise()

    def paired_noise(self, parent: Recipe | None = None) -> PairedNoise:
        """The noise of one improvement over the parent (by default this node's best recipe), for the judge."""
        return self._trials.paired_noise(recipe_id(parent or self.best()))

    def baseline(self) -> float | None:
        """The value of the task's own program: mean of own trials, else the median of the other authors' means."""
        return self._trials.baseline()

    # Recipes and experiments

    def best(self) -> Recipe:
        """This node's own best recipe: what its own trials have led to, nothing that it only heard."""
        return self._best.recipe

    def best_result(self) -> Outcome | None:
        """The result that made `best`; None while that is the baseline."""
        return self._best.keep.result if self._best.keep else None

    def _choose_best(self) -> None:
        if self._code == "all":
            self._best = Best(self.task, self._experiments.latest_keeps.get(self.me))
        else:
            self._best = Best(self.task, latest_run(self.keeps(self.me), self._code))

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
        return self._experiments.of(author)

    def experiments_after(self, moment: Moment) -> list[Experiment]:
        """The usable experiments that are later than (time_ms, record id)."""
        return self._experiments.after(moment)

    def experiments_on(self, knob: str) -> list[Experiment]:
        """The usable experiments that changed that knob and nothing else, by time and id."""
        return self._experiments.alone(knob)

    def experiment(self, record_id: bytes) -> Experiment | None:
        """The usable experiment that this record is, if it is one."""
        return self._experiments.get(record_id)

    @property
    def tried(self) -> frozenset[bytes]:
        """Ids of the recipes that this node has a verdict on."""
        return self._experiments.tried_by_me

    def was_tried(self, recipe: Recipe, *, by_anyone: bool = False) -> bool:
        """Whether this node, or anyone, has a verdict on exactly this recipe. The baseline counts as tried."""
        return self._experiments.was_tried(recipe, by_anyone=by_anyone)

    def near(self, recipe: Recipe) -> list[Experiment]:
        """The experiments on near-duplicates of a recipe (`agent.cells` says what that is), by time and id."""
        return self._experiments.near(recipe)

    def keeps(self, author: bytes | None = None) -> list[Experiment]:
        """The experiments whose candidate was kept, by anyone or by one author, by time and id."""
        return self._experiments.keeps(author)

    def makers(self, recipe: bytes) -> list[Experiment]:
        """The keeps that made a recipe (by id), by time and id."""
        return self._experiments.makers(recipe)

    def experiments_by_parent(self) -> Iterator[Sequence[Experiment]]:
        """All usable experiments, those on one parent together by time and id; the parents in no order."""
        return self._experiments.by_parent()

    def experiments_on_parent(self, recipe: bytes) -> list[Experiment]:
        """The usable experiments on a parent (by id), by time and id."""
        return self._experiments.on_parent(recipe)

    def worn(self, recipe: Recipe) -> bool:
        """Whether this node has tried near-duplicates of a recipe as often as that makes sense."""
        return sum(test.author == self.me for test in self.near(recipe)) >= NEAR_TRIES

    def latest_keeps(self) -> list[Experiment]:
        """What made each author's best recipe, by author."""
        return [keep for _, keep in sorted(self._experiments.latest_keeps.items())]

    def device_classes(self) -> set[str]:
        """The device classes of the nodes whose results count here."""
        return set(self._experiments.device_classes)

    # Effects and discoveries

    def cell(self, knob: str, value: Scalar) -> Cell:
        """The cell of the knob's range that the value is pooled in."""
        return self._effects.cell(knob, value)

    def effect(self, knob: str, value: Scalar, *, device: str | None = None) -> PooledEffect | None:
        """What all experiments that set the knob to (about) the value say together; None without any.

        device: only what was seen on that device class. Authors whom this node does not believe are left out.
        """
        tests = self._effects.tests(knob, value)
        noise = self.noise()
        return tests.pool(noise, self._discoveries.disbelieved(noise.sd), device) if tests else None

    def effects(self) -> dict[Cell, PooledEffect]:
        """The pooled effect of every cell of a knob that anyone tried."""
        noise, without = self.noise(), self._discoveries.disbelieved(self.noise().sd)
        return {cell: tests.pool(noise, without) for cell, tests in self._effects.all()}

    def settings(self) -> Iterator[tuple[Cell, Tests]]:
        """What was added up of every cell of a knob that anyone tried, by knob and value."""
        return self._effects.all()

    def discoveries(self) -> list[Discovery]:
        """Every change that someone kept on their own idea, by time and id."""
        return list(self._discoveries.all())

    def discovery(self, record_id: bytes) -> Discovery | None:
        """The discovery that a result made, tested or repeated; None if its change was never kept, or it is unknown."""
        return self._discoveries.of_record(record_id)

    def tests(self, discovery: Discovery) -> list[Experiment]:
        """Every experiment that tested a discovery's change, the finders' own among them, by time and id."""
        return self._discoveries.tests_of(new_values(discovery.change))

    def tests_of(self, change: Mapping[str, Scalar]) -> list[Experiment]:
        """The experiments that set exactly these values, or replicate what did, by time and id."""
        return self._discoveries.tests_of(frozenset(change.items()))

    def credibility(self, author: bytes) -> float:
        """How far this node trusts what an author says, in (0, 1): `agent.credit` has the rule; 0.5 for a stranger."""
        return self._discoveries.credibility(author, self.noise().sd)

    def open_replications(self) -> list[Discovery]:
        """Discoveries of others that may improve this node's best recipe, the largest promise first.

        Left out is what was refuted, or only reported by its author's program; what this node has settled by its own
        tests, or what leads to a recipe it has tried (the same seeds would say the same); what its best recipe holds
        already; what promises less than this node has gained on the same knobs; code, where this node runs none of
        peers', or where it does not fit onto its best recipe (see `misfits`); and what comes after many others.
        """
        return self._replications.open(self._best, self._code, smallest_worth(self.noise()))

    def misfits(self) -> list[tuple[Discovery, RecipeError]]:
        """Code of peers that this node would replicate, were there room for it in its best recipe; and why not."""
        return self._replications.misfits(self._best, self._code)

    def gain(self, discovery: Discovery) -> float:
        """The improvement over this node's best recipe that a discovery promises if it holds, in the metric's unit.

        Being simpler is worth as much as the smallest effect worth having.
        Where this node has moved a knob away from what the finder started from, its own gain on that knob is lost.
        """
        return self._replications.gain(discovery, self._best, smallest_worth(self.noise()))

    # What was said in words

    def hypotheses(self) -> list[ToldHypothesis]:
        """Every hypothesis, by time and id; `agent.hypotheses` says which are open."""
        return self._said.hypotheses()

    def insights(self) -> list[ToldInsight]:
        """Every insight, by time and id."""
        return self._said.insights()

    def naming(self, record_id: bytes) -> list[Experiment]:
        """The experiments that name a record as what inspired them, by time and id."""
        return self._said.naming(record_id)

    # Authors

    def profile(self, author: bytes) -> Profile | None:
        """The newest profile of an author."""
        known = self._profiles.get(author)
        return known[1] if known else None

    def board(self) -> list[BoardRow]:
        """One row per author with a usable experiment, best value first."""
        authors = dict(self._experiments.authors())
        return board(self.task.metric, authors, self._experiments.latest_keeps, self.discoveries())
