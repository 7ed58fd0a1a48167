"""One simulated node: what the research loop does, without the waiting."""

import hashlib
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.claims import Claim
from agent.discoveries import Discovery
from agent.entries import BudgetBody, Calibration, Entry, Pair, Result, Verdict
from agent.exploring import searched, settled
from agent.judge import MAX_SEEDS, smallest_worth
from agent.notebook import Notebook
from agent.packed import edits_body, recipe_body
from agent.policy import (
    CALIBRATION_SEEDS,
    Calibrate,
    Decision,
    Explore,
    Replicate,
    Synthesise,
    choose,
    choose_without_ideas,
)
from agent.proposal import NothingLeft, Proposal, Proposer
from agent.search import Search
from agent.seeds import seeds
from gossip.identity import Identity
from gossip.record import Record
from node.experiment import Plan, judged
from node.simulation.world import DEVICE_CLASS, World
from trainer.knobs import Scalar
from trainer.recipe import Recipe, change_between, recipe_id
from trainer.task import Task

Pairs: TypeAlias = Mapping[int, tuple[float | None, float | None]]
"""seed -> (candidate's value, parent's value)"""
PROGRAM: Final = bytes(32)
SYNTHESIS_SECONDS: Final = 0.1
NOTHING_LEFT_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Step:
    """What a node did: entries to publish after `seconds`. change, hypothesis: what it claims meanwhile."""

    entries: Sequence[Entry]
    seconds: float
    decision: Decision
    change: Mapping[str, Scalar] = field(default_factory=dict)
    hypothesis: bytes | None = None


@dataclass
class Node:
    """A simulated node. number: of its random streams; proposer: what has the ideas, the search by default.

    trial_seconds: of a trial on its device, the world's by default; own_noise: deviation that its device adds to a
    trial's value.
    """

    world: World
    signer: Identity
    number: int
    device_class: str = DEVICE_CLASS
    trial_seconds: float | None = None
    own_noise: float = 0.0

    notebook: Notebook = field(init=False)
    proposer: Proposer = field(init=False)
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.notebook = Notebook(self.world.task, self.author, self.device_class)
        self.proposer = Search(self.number)
        self.rng = random.Random(self.number)

    @property
    def author(self) -> bytes:
        return self.signer.author

    @property
    def seconds(self) -> float:
        """What a trial takes here."""
        return self.world.seconds if self.trial_seconds is None else self.trial_seconds

    @property
    def announces(self) -> bool:
        """Whether it tells others what it is at."""
        return True

    def hear(self, record: Record) -> None:
        """Take in a record, its own or another's."""
        self.notebook.add(record)

    def wake(self, records: Iterable[Record]) -> None:
        """Start, or start again, from what its log holds."""
        self.notebook = Notebook(self.world.task, self.author, self.device_class)
        for record in records:
            self.hear(record)

    def act(self, claims: Sequence[Claim], now_ms: int) -> Step:
        """Decide and do one thing. claims: of peers."""
        decision = choose(self.notebook, claims=claims, now_ms=now_ms, rng=self.rng)
        try:
            return self._do(decision, claims)
        except NothingLeft:
            other = choose_without_ideas(self.notebook, claims=claims, now_ms=now_ms, rng=self.rng)
            return self._do(other, claims) if other else Step((), NOTHING_LEFT_SECONDS, decision)

    def _do(self, decision: Decision, claims: Sequence[Claim]) -> Step:
        match decision:
            case Synthesise(entries):
                return Step(entries, SYNTHESIS_SECONDS, decision)
            case Calibrate(recipe):
                calibration, seconds = self.calibrate(recipe)
                return Step([calibration], seconds, decision)
            case Replicate(discovery):
                plan = Proposal(discovery.new_values, "", "replication", (discovery.record_id,))
                return self._test(plan, decision, replicates=discovery.record_id)
            case Explore(_, strategy, idea):
                proposal = settled(self.notebook, strategy, idea) or searched(
                    self.notebook, self.proposer, strategy, [claim.change for claim in claims]
                )
                return self._test(proposal, decision, hypothesis=idea.record_id if idea else None)

    def _test(
        self,
        proposal: Proposal,
        decision: Decision,
        *,
        replicates: bytes | None = None,
        hypothesis: bytes | None = None,
    ) -> Step:
        result, seconds = self.experiment(self.plan(proposal, replicates))
        return Step([result], seconds, decision, proposal.change, hypothesis)

    def plan(self, proposal: Proposal, replicates: bytes | None = None) -> Plan:
        """A proposal as what is to be tested against the own best recipe."""
        candidate = self.notebook.on_best(proposal.change)
        inspired_by = tuple(proposal.inspired_by)
        return Plan(self.notebook.best(), candidate, proposal.hypothesis, proposal.proposer, inspired_by, replicates)

    def replication(self, found: Discovery) -> Plan:
        """The test of what another node found."""
        best = self.notebook.best()
        return Plan(best, self.notebook.onto_best(found), "", "replication", replicates=found.record_id)

    def trial(self, recipe: Recipe, seed: int) -> float:
        """What a trial here gives: the world's value, and this device's own noise on it; the same each time."""
        value = self.world.trial(recipe, seed)
        if not self.own_noise:
            return value
        own = hashlib.sha256(self.author + recipe_id(recipe) + seed.to_bytes(8, "big")).digest()
        return value + random.Random(own).gauss(0, self.own_noise)

    def experiment(self, plan: Plan) -> tuple[Result, float]:
        """Trials of a candidate against its parent until the judge decides, and the seconds they took."""
        noise, worth = self.notebook.paired_noise(plan.parent), smallest_worth(self.notebook.noise())
        count = {"parent": self.world.parameters(plan.parent), "candidate": self.world.parameters(plan.candidate)}
        pairs: list[Pair] = []
        seen: dict[str, object] = {}
        verdict: Verdict = "inconclusive"
        seconds = 0.0
        for seed in seeds(self.notebook, plan.parent, MAX_SEEDS):
            known = self.notebook.own_trials(plan.parent, seed)
            seconds += self.seconds * (1 if known is not None else 2)
            before = self.trial(plan.parent, seed) if known is None else known
            after = self.trial(plan.candidate, seed)
            if not math.isfinite(after):
                pairs.append(Pair(seed=seed, candidate=None, parent=before))
                verdict = "crash"
                break
            pairs.append(Pair(seed=seed, candidate=after, parent=before))
            judgement, reason = judged(self.world.task, plan, pairs, noise, worth, count)
            seen = {"effect": judgement.effect, "interval": (judgement.low, judgement.high), "reason": reason}
            if judgement.verdict is not None:
                verdict = judgement.verdict
                break
        result = make_result(
            self.world.task,
            plan.parent,
            plan.candidate,
            {pair.seed: (pair.candidate, pair.parent) for pair in pairs},
            verdict,
            seconds=seconds,
            device_class=self.device_class,
            parameters=count["candidate"],
            parent_parameters=count["parent"],
            hypothesis=plan.hypothesis,
            replicates=plan.replicates,
            inspired_by=list(plan.inspired_by),
            **seen,
        )
        return result, seconds

    def calibrate(self, recipe: Recipe) -> tuple[Calibration, float]:
        """The recipe on new seeds of this node's own, and the seconds that took."""
        known = self.notebook.values(recipe_id(recipe))
        new = [seed for seed in seeds(self.notebook, recipe, MAX_SEEDS) if seed not in known][:CALIBRATION_SEEDS]
        seconds = self.seconds * len(new)
        calibration = Calibration(
            recipe=recipe_body(recipe),
            values={str(seed): self.trial(recipe, seed) for seed in new},
            budget=budget_of(self.world.task),
            device_class=self.device_class,
            device="simulated",
            seconds=seconds,
        )
        return calibration, seconds


def identity(number: int) -> Identity:
    """The key pair of a simulated node; number >= 1."""
    return Identity(Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big")))


def budget_of(task: Task) -> BudgetBody:
    """The task's budget as records carry it."""
    return BudgetBody(kind=task.budget.kind, amount=task.budget.amount)


def make_result(task: Task, parent: Recipe, candidate: Recipe, pairs: Pairs, verdict: str, **more: object) -> Result:
    """A result with that outcome. more: further fields of the body."""
    change = change_between(task, parent, candidate)
    fields = {
        "candidate": recipe_body(candidate),
        "parent": recipe_id(parent),
        "change": change.knobs,
        "edits": edits_body(parent, change),
        "pairs": [Pair(seed=seed, candidate=c, parent=p) for seed, (c, p) in pairs.items()],
        "verdict": verdict,
        "budget": budget_of(task),
        "integrity": "trusted",
        "device_class": DEVICE_CLASS,
        "device": "simulated",
        "seconds": 10.0 * len(pairs),
        "program": PROGRAM,
        "proposer": "search",
    }
    return Result.model_validate(fields | more)
