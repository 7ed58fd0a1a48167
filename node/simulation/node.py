"""One simulated node: what the research loop does, without the waiting."""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.claims import Claim
from agent.entries import BudgetBody, Calibration, Pair, Result
from agent.judge import MAX_SEEDS, Judgement, judge, smallest_worth
from agent.notebook import Notebook
from agent.packed import edits_body, recipe_body
from agent.policy import Calibrate, Decision, Explore, Replicate, choose
from agent.proposal import Proposer
from agent.search import Search
from gossip.identity import Identity
from node.simulation.world import DEVICE_CLASS, World
from trainer.knobs import Scalar
from trainer.recipe import Recipe, change_between, recipe_id
from trainer.task import Task

Pairs: TypeAlias = Mapping[int, tuple[float | None, float | None]]
"""seed -> (candidate's value, parent's value)"""
PROGRAM: Final = bytes(32)


@dataclass(frozen=True)
class Step:
    """What a node did: an entry to publish after `seconds`. change: what it claims meanwhile."""

    entry: Result | Calibration
    seconds: float
    decision: Decision
    change: Mapping[str, Scalar]


@dataclass
class Node:
    """A simulated node. number: of its random streams; proposer: what has the ideas, the search by default."""

    world: World
    signer: Identity
    number: int
    device_class: str = DEVICE_CLASS

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

    def act(self, claims: Sequence[Claim], now_ms: int) -> Step:
        """Decide and do one thing. claims: of peers."""
        decision = choose(self.notebook, claims=claims, now_ms=now_ms, rng=self.rng)
        match decision:
            case Calibrate(recipe):
                calibration, seconds = self.calibrate(recipe)
                return Step(calibration, seconds, decision, {})
            case Replicate(discovery):
                result, seconds = self.experiment(self.notebook.onto_best(discovery), "", discovery.record_id)
                return Step(result, seconds, decision, discovery.new_values)
            case Explore():
                avoid = [claim.change for claim in claims]
                proposal = self.proposer.propose(self.notebook, self.world.task, avoid=avoid)
                result, seconds = self.experiment(self.notebook.on_best(proposal.change), proposal.hypothesis)
                return Step(result, seconds, decision, proposal.change)

    def experiment(
        self, candidate: Recipe, hypothesis: str = "", replicates: bytes | None = None
    ) -> tuple[Result, float]:
        """Trials of a candidate against the own best recipe until the judge decides, and the seconds they took."""
        parent = self.notebook.best()
        noise, worth = self.notebook.paired_noise(parent), smallest_worth(self.notebook.noise())
        pairs: dict[int, tuple[float | None, float | None]] = {}
        improvements: list[float] = []
        judgement: Judgement | None = None
        seconds = 0.0
        for number in range(MAX_SEEDS):
            seed = seed_of(self.author, parent, number)
            known = self.notebook.own_trials(parent, seed)
            seconds += self.world.seconds * (1 if known is not None else 2)
            before = self.world.trial(parent, seed) if known is None else known
            after = self.world.trial(candidate, seed)
            if not math.isfinite(after):
                pairs[seed] = (None, before)
                return self._result(candidate, pairs, "crash", seconds, hypothesis, replicates), seconds
            pairs[seed] = (after, before)
            improvements.append(self.world.task.metric.improvement(before, after))
            judgement = judge(improvements, noise, minimum=worth)
            if judgement.verdict is not None:
                break
        assert judgement is not None
        assert judgement.verdict is not None
        seen = {"effect": judgement.effect, "interval": (judgement.low, judgement.high)}
        return self._result(candidate, pairs, judgement.verdict, seconds, hypothesis, replicates, **seen), seconds

    def _result(
        self,
        candidate: Recipe,
        pairs: Pairs,
        verdict: str,
        seconds: float,
        hypothesis: str,
        replicates: bytes | None,
        **seen: object,
    ) -> Result:
        return make_result(
            self.world.task,
            self.notebook.best(),
            candidate,
            pairs,
            verdict,
            seconds=seconds,
            device_class=self.device_class,
            hypothesis=hypothesis,
            replicates=replicates,
            **seen,
        )

    def calibrate(self, recipe: Recipe) -> tuple[Calibration, float]:
        """The recipe on new seeds of this node's own, and the seconds that took."""
        seeds = [seed_of(self.author, recipe, number) for number in range(MAX_SEEDS)]
        seconds = self.world.seconds * sum(self.notebook.own_trials(recipe, seed) is None for seed in seeds)
        calibration = Calibration(
            recipe=recipe_body(recipe),
            values={str(seed): self.world.trial(recipe, seed) for seed in seeds},
            budget=budget_of(self.world.task),
            device_class=self.device_class,
            device="simulated",
            seconds=seconds,
        )
        return calibration, seconds


def seed_of(author: bytes, parent: Recipe, number: int) -> int:
    """The number-th seed of an author's experiments on a parent, as `node.experiment` has it."""
    return int.from_bytes(hashlib.sha256(author + recipe_id(parent) + bytes([number])).digest()[:6], "big")


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
