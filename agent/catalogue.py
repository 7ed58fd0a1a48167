"""The catalogue of discoveries: each made anew when one of its tests came, and whom they make credible."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from agent.credit import STRANGER, credit_of_all
from agent.discoveries import BELIEVED, Discovery, discover, is_replication
from agent.evidence import Experiment, NewValues


class Catalogue:
    """All discoveries in the eyes of `me`."""

    def __init__(self, me: bytes) -> None:
        self._me = me
        self._tests: dict[bytes, Experiment] = {}
        self._by_change: dict[NewValues, list[Experiment]] = defaultdict(list)
        self._by_replicated: dict[bytes, list[Experiment]] = defaultdict(list)
        self._found: dict[NewValues, Discovery] = {}
        self._stale: set[NewValues] = set()
        self._ordered: Sequence[Discovery] | None = None
        self._credit: tuple[float, Mapping[bytes, float], frozenset[bytes]] | None = None

    def add(self, test: Experiment) -> None:
        """File an experiment under what it changes, and what it replicates."""
        self._tests[test.record_id] = test
        self._by_change[test.new_values].append(test)
        self._stale.add(test.new_values)
        replicated = test.result.replicates
        if replicated is not None:
            self._by_replicated[replicated].append(test)
            if replicated in self._tests:
                self._stale.add(self._tests[replicated].new_values)

    def all(self) -> Sequence[Discovery]:
        """By time and id."""
        for change in list(self._stale):
            self._of(change)
        if self._ordered is None:
            self._ordered = sorted(self._found.values(), key=lambda one: (one.time_ms, one.record_id))
        return self._ordered

    def of_record(self, record_id: bytes) -> Discovery | None:
        """The discovery that a result made, tested or repeated; None if its change was never kept, or it is unknown."""
        test = self._tests.get(record_id)
        if test is None:
            return None
        return self._of(self._tests.get(test.result.replicates or record_id, test).new_values)

    def tests_of(self, change: NewValues) -> list[Experiment]:
        """The experiments that set exactly that, or replicate what did, by time and id."""
        same = {test.record_id: test for test in self._by_change.get(change, ())}
        naming = [test for record_id in same for test in self._by_replicated.get(record_id, ())]
        tests = same | {test.record_id: test for test in naming if is_replication(test, change)}
        return sorted(tests.values(), key=lambda test: test.moment)

    def credibility(self, author: bytes, sd: float) -> float:
        """How far this node trusts what an author says, in (0, 1): `agent.credit` has the rule. sd: of one trial."""
        return self._credits(sd)[0].get(author, STRANGER)

    def disbelieved(self, sd: float) -> frozenset[bytes]:
        """The authors whom this node does not believe."""
        return self._credits(sd)[1]

    def _of(self, change: NewValues) -> Discovery | None:
        if change in self._stale:
            self._stale.remove(change)
            discovery = discover(self.tests_of(change))
            if discovery is not None:
                self._found[change] = discovery
                self._ordered = self._credit = None
        return self._found.get(change)

    def _credits(self, sd: float) -> tuple[Mapping[bytes, float], frozenset[bytes]]:
        """The credibility of all, and who has too little of it; made anew when a discovery or the noise changed."""
        discoveries = self.all()
        if self._credit is None or self._credit[0] != sd:
            changes = (tests for discovery in discoveries for tests in discovery.same_changes)
            credit = credit_of_all(changes, self._me, sd)
            self._credit = sd, credit, frozenset(author for author, much in credit.items() if much < BELIEVED)
        return self._credit[1:]
