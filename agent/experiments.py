"""The experiments in order of time: of all, of an author, on one knob, after a moment; and which recipes were tried."""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import attrgetter

from agent.cells import Near, near_class
from agent.entries import kept
from agent.evidence import Experiment, Moment
from trainer.knobs import Scalar
from trainer.recipe import BASELINE, Recipe, recipe_id
from trainer.task import Task

_MOMENT = attrgetter("moment")


class Experiments:
    """All usable experiments. me: whose trials are this node's own."""

    def __init__(self, task: Task, me: bytes) -> None:
        self._task = task
        self._me = me
        self._by_id: dict[bytes, Experiment] = {}
        self._ordered: list[Experiment] = []
        self._by_author: dict[bytes, list[Experiment]] = defaultdict(list)
        self._alone: dict[str, list[Experiment]] = defaultdict(list)
        self._near: dict[Near, list[Experiment]] = defaultdict(list)
        self._keeps: list[Experiment] = []
        self._makers: dict[bytes, list[Experiment]] = defaultdict(list)
        self._on_parent: dict[bytes, list[Experiment]] = defaultdict(list)
        self._tried_by_me: set[bytes] = set()
        self._tried: set[bytes] = set()
        self._own_keeps: dict[tuple[str, Scalar], Experiment] = {}
        self.latest_keeps: dict[bytes, Experiment] = {}
        self.device_classes: set[str] = set()

    def add(self, test: Experiment) -> None:
        """File one, wherever in time it belongs."""
        self._by_id[test.record_id] = test
        alone = len(test.change) == 1 and not test.edits_code
        lists = [
            self._ordered,
            self._by_author[test.author],
            self._on_parent[test.parent_id],
            self._near[near_class(self._task, test.candidate)],
            *(self._alone[knob] for knob in test.change.knobs if alone),
        ]
        for tests in lists:
            insort(tests, test, key=_MOMENT)
        self._tried.add(test.candidate_id)
        self.device_classes.add(test.result.device_class)
        if test.author == self._me:
            self._tried_by_me.add(test.candidate_id)
        if kept(test.verdict):
            for tests in (self._keeps, self._makers[test.candidate_id]):
                insort(tests, test, key=_MOMENT)
            self.latest_keeps[test.author] = max(self.latest_keeps.get(test.author, test), test, key=_MOMENT)
            if test.author == self._me:
                for knob, (_, new) in test.change.knobs.items():
                    before = self._own_keeps.get((knob, new), test)
                    self._own_keeps[(knob, new)] = max(before, test, key=_MOMENT)

    def get(self, record_id: bytes) -> Experiment | None:
        return self._by_id.get(record_id)

    def of(self, author: bytes | None = None) -> list[Experiment]:
        """All, or those of one author."""
        return list(self._ordered if author is None else self._by_author.get(author, ()))

    def after(self, moment: Moment) -> list[Experiment]:
        """Those that are later."""
        return self._ordered[bisect_right(self._ordered, moment, key=_MOMENT) :]

    def alone(self, knob: str) -> list[Experiment]:
        """Those that changed that knob and nothing else."""
        return list(self._alone.get(knob, ()))

    def by_parent(self) -> Iterator[Sequence[Experiment]]:
        """All, those on one parent together, in no order of parents."""
        yield from self._on_parent.values()

    def keeps(self, author: bytes | None = None) -> list[Experiment]:
        """Those that were kept, by anyone or by one author."""
        return list(self._keeps) if author is None else [test for test in self.of(author) if kept(test.verdict)]

    def makers(self, recipe: bytes) -> list[Experiment]:
        """The keeps whose candidate is that recipe (by id)."""
        return list(self._makers.get(recipe, ()))

    def on_parent(self, recipe: bytes) -> list[Experiment]:
        """Those whose parent is that recipe (by id)."""
        return list(self._on_parent.get(recipe, ()))

    def near(self, recipe: Recipe) -> list[Experiment]:
        """Those of recipes that are as good as the same (`agent.cells`)."""
        return list(self._near.get(near_class(self._task, recipe), ()))

    def was_tried(self, recipe: Recipe, *, by_anyone: bool) -> bool:
        """Whether there is a verdict on exactly this recipe. The baseline counts as tried."""
        return recipe == BASELINE or recipe_id(recipe) in (self._tried if by_anyone else self._tried_by_me)

    def own_gain(self, knob: str, value: Scalar) -> float:
        """What setting the knob to the value brought this node when it last kept that; 0 if it never did."""
        keep = self._own_keeps.get((knob, value))
        return (keep.effect or 0.0) / len(keep.change) if keep else 0.0

    def authors(self) -> Iterator[tuple[bytes, Sequence[Experiment]]]:
        """Each author with theirs."""
        yield from self._by_author.items()

    @property
    def tried_by_me(self) -> frozenset[bytes]:
        """Ids of the recipes that this node has a verdict on."""
        return frozenset(self._tried_by_me)
