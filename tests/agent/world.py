"""A simulated swarm: a response surface with noise instead of training, virtual time, and the real agent code."""

import hashlib
import heapq
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import entries
from agent.discoveries import Discovery
from agent.entries import BudgetBody, Calibration, Pair, Result
from agent.judge import MAX_SEEDS, Judgement, judge, smallest_worth
from agent.notebook import Notebook
from agent.packed import edits_body, recipe_body
from agent.policy import Calibrate, Claim, Explore, Replicate, choose
from agent.proposal import Proposal, Proposer
from agent.sampler import options
from agent.search import Search
from agent.span import Span
from gossip.identity import Identity
from gossip.record import Record
from trainer.knobs import Scalar
from trainer.recipe import BASELINE, Recipe, change_between, recipe_id, values
from trainer.task import Budget, Knob, Limits, Metric, Task

SD = 0.006
TRIAL_SECONDS = 10.0
BUDGET = BudgetBody(kind="flops", amount=1e12)
DEVICE_CLASS = "cpu"


def knob(name: str, kind: str, default: Scalar, **more: object) -> Knob:
    return Knob.model_validate({"name": name, "type": kind, "default": default, **more})


KNOBS = [
    knob(
        "INIT", "choice", "default", choices=("default", "normal", "xavier", "kaiming", "orthogonal"), prior={"cpu": 2}
    ),
    knob("NORM", "choice", "layernorm", choices=("layernorm", "rmsnorm", "none"), prior={"cpu": 2}),
    knob("POSITIONS", "choice", "learned", choices=("learned", "rope")),
    knob("ACTIVATION", "choice", "gelu", choices=("gelu", "relu2", "swiglu")),
    knob("OPTIMIZER", "choice", "adamw", choices=("adamw", "muon")),
    knob("TIED", "bool", False),
    knob("QK_NORM", "bool", False),
    knob("LR", "float", 0.001, low=1e-4, high=3e-2, log=True),
    knob("WEIGHT_DECAY", "float", 0.01, low=0.0, high=0.5),
    knob("DEPTH", "int", 3, low=1, high=8),
    knob("BATCH", "int", 2048, low=256, high=16384, log=True),
    knob("WARMUP", "float", 0.0, low=0.0, high=0.5),
    knob("WARMDOWN", "float", 0.0, low=0.0, high=1.0),
    knob("Z_LOSS", "float", 0.0, low=0.0, high=0.01),
    knob("SOFTCAP", "int", 0, low=0, high=50),
    knob("X0_LAMBDA", "bool", False),
]
PAYS = {
    ("INIT", "normal"): 0.12,
    ("INIT", "xavier"): 0.08,
    ("INIT", "kaiming"): -0.05,
    ("INIT", "orthogonal"): 0.06,
    ("NORM", "rmsnorm"): 0.02,
    ("NORM", "none"): -0.4,
    ("POSITIONS", "rope"): 0.06,
    ("ACTIVATION", "relu2"): 0.04,
    ("ACTIVATION", "swiglu"): 0.02,
    ("OPTIMIZER", "muon"): 0.08,
    ("TIED", True): 0.05,
    ("X0_LAMBDA", True): -0.02,
}


def make_task(knobs: Sequence[Knob] = KNOBS, **budget: object) -> Task:
    return Task(
        name="surface",
        title="a response surface",
        metric=Metric(name="val_bpb", direction="minimize", unit="bits per byte", noise=0.005),
        budget=Budget.model_validate(budget or {"kind": "flops", "amount": 1e12}),
        limits=Limits(wall_seconds=60, memory_mb=1000, output_bytes=1000),
        knobs={knob.name: knob for knob in knobs},
        files={"train.py": ""},
        editable=("train.py",),
        command=("python",),
    )


def surface(task: Task, recipe: Recipe) -> float:
    """The true value of a recipe, lower is better: factors that mostly multiply, optima inside numeric ranges."""
    v = values(task, recipe)
    value = 1.0 * math.prod(1 - PAYS.get(setting, 0.0) for setting in v.items())
    best_lr = 0.003 if v["OPTIMIZER"] == "adamw" else 0.006
    value *= 1 + 0.2 * math.log10(float(v["LR"]) / best_lr) ** 2
    value *= 1 + 0.05 * math.log2(int(v["BATCH"]) / 1024) ** 2 / 4
    value *= 1 + 0.004 * (int(v["DEPTH"]) - 4) ** 2
    value *= 1 + 0.1 * (float(v["WARMDOWN"]) - 0.6) ** 2
    value *= 1 + 0.1 * (float(v["WEIGHT_DECAY"]) - 0.1) ** 2
    return value * (1.02 if v["INIT"] == "normal" and v["NORM"] == "none" else 1.0)


def trial(task: Task, recipe: Recipe, seed: int) -> float:
    """The surface with the noise of a seed; the same recipe and seed give the same value."""
    digest = hashlib.sha256(recipe_id(recipe) + seed.to_bytes(8, "big")).digest()
    return surface(task, recipe) + random.Random(digest).gauss(0, SD)


def seed_of(author: bytes, parent: Recipe, k: int) -> int:
    return int.from_bytes(hashlib.sha256(author + recipe_id(parent) + bytes([k])).digest()[:6], "big")


def identity(number: int) -> Identity:
    return Identity(Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big")))


def make_result(
    task: Task,
    parent: Recipe,
    candidate: Recipe,
    pairs: Mapping[int, tuple[float | None, float | None]],
    verdict: str,
    **more: object,
) -> Result:
    """pairs: seed -> (candidate's value, parent's value)."""
    change = change_between(task, parent, candidate)
    fields = {
        "candidate": recipe_body(candidate),
        "parent": recipe_id(parent),
        "change": change.knobs,
        "edits": edits_body(parent, change),
        "pairs": [Pair(seed=seed, candidate=c, parent=p) for seed, (c, p) in pairs.items()],
        "verdict": verdict,
        "budget": BUDGET,
        "integrity": "trusted",
        "device_class": DEVICE_CLASS,
        "device": "simulated",
        "seconds": TRIAL_SECONDS * len(pairs),
        "program": bytes(32),
        "proposer": "search",
    }
    return Result.model_validate(fields | more)


@dataclass
class Node:
    """One simulated researcher: what the node's loop does, without the waiting."""

    task: Task
    signer: Identity
    number: int
    notebook: Notebook = field(init=False)
    log: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notebook = Notebook(self.task, self.signer.author, DEVICE_CLASS)
        self.proposer: Proposer = Search(self.number)
        self.rng = random.Random(self.number)

    def experiment(
        self, change: Mapping[str, Scalar], hypothesis: str, replicates: Discovery | None, now_ms: int
    ) -> tuple[Record, float]:
        """Run trials until the judge decides. Returns the record and the seconds it took."""
        parent = self.notebook.best()
        candidate = self.notebook.on_best(change)
        noise = self.notebook.paired_noise(parent)
        pairs: dict[int, tuple[float | None, float | None]] = {}
        improvements: list[float] = []
        judgement: Judgement | None = None
        seconds = 0.0
        for k in range(MAX_SEEDS):
            seed = seed_of(self.signer.author, parent, k)
            known = self.notebook.own_trials(parent, seed)
            seconds += TRIAL_SECONDS * (1 if known is not None else 2)
            before = trial(self.task, parent, seed) if known is None else known
            after = trial(self.task, candidate, seed)
            pairs[seed] = (after, before)
            improvements.append(self.task.metric.improvement(before, after))
            judgement = judge(improvements, noise, minimum=smallest_worth(self.notebook.noise()))
            if judgement.verdict is not None:
                break
        assert judgement is not None
        assert judgement.verdict is not None
        result = make_result(
            self.task,
            parent,
            candidate,
            pairs,
            judgement.verdict,
            effect=judgement.effect,
            interval=(judgement.low, judgement.high),
            seconds=seconds,
            hypothesis=hypothesis,
            replicates=replicates.record_id if replicates else None,
        )
        return entries.write(self.signer, self.task.fingerprint, now_ms + int(1000 * seconds), result), seconds

    def calibrate(self, recipe: Recipe, now_ms: int) -> tuple[Record, float]:
        seeds = [seed_of(self.signer.author, recipe, k) for k in range(MAX_SEEDS)]
        seconds = TRIAL_SECONDS * sum(self.notebook.own_trials(recipe, seed) is None for seed in seeds)
        calibration = Calibration(
            recipe=recipe_body(recipe),
            values={str(seed): trial(self.task, recipe, seed) for seed in seeds},
            budget=BUDGET,
            device_class=DEVICE_CLASS,
            device="simulated",
            seconds=seconds,
        )
        return entries.write(self.signer, self.task.fingerprint, now_ms + int(1000 * seconds), calibration), seconds


LIE = 0.2


class Liar(Node):
    """Publishes a great gain for whatever it was about to test, on seeds that always agree."""

    def experiment(
        self, change: Mapping[str, Scalar], hypothesis: str, replicates: Discovery | None, now_ms: int
    ) -> tuple[Record, float]:
        parent = self.notebook.best()
        claimed = surface(self.task, parent)
        result = make_result(
            self.task,
            parent,
            self.notebook.on_best(change),
            {seed_of(self.signer.author, parent, k): (claimed - LIE, claimed) for k in range(3)},
            "keep",
            effect=LIE,
            interval=(LIE, LIE),
        )
        return entries.write(self.signer, self.task.fingerprint, now_ms + 20_000, result), 20.0


@dataclass
class Swarm:
    """Nodes that hear each other's records and claims `latency` seconds later."""

    task: Task
    nodes: list[Node]
    latency: float = 1.0
    records: list[Record] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=lambda: {"explore": 0.0, "replicate": 0.0, "calibrate": 0.0})

    def run(self, minutes: float) -> None:
        order = count()
        events: list[tuple[float, int, Callable[[], None]]] = []
        claims: dict[bytes, Claim] = {}

        def at(time: float, do: Callable[[], None]) -> None:
            heapq.heappush(events, (time, next(order), do))

        def act(node: Node, time: float) -> None:
            now_ms = 1_700_000_000_000 + int(time * 1000)
            others = [claim for claim in claims.values() if claim.author != node.signer.author]
            decision = choose(node.notebook, claims=others, now_ms=now_ms, rng=node.rng)
            change: Mapping[str, Scalar] = {}
            match decision:
                case Explore():
                    proposal = node.proposer.propose(node.notebook, self.task, avoid=[claim.change for claim in others])
                    change = proposal.change
                    record, seconds = node.experiment(change, proposal.hypothesis, None, now_ms)
                    kind = "explore"
                case Replicate(discovery):
                    change = discovery.new_values
                    record, seconds = node.experiment(change, "", discovery, now_ms)
                    kind = "replicate"
                case Calibrate(recipe):
                    record, seconds = node.calibrate(recipe, now_ms)
                    kind = "calibrate"
            self.spent[kind] += seconds
            node.log.append((time, kind))
            claim = Claim(node.signer.author, change, now_ms + 60_000)
            at(time + self.latency, lambda: claims.__setitem__(claim.author, claim))
            at(time + seconds, lambda: finish(node, record, time + seconds))

        def finish(node: Node, record: Record, time: float) -> None:
            self.records.append(record)
            node.notebook.add(record)
            for other in self.nodes:
                if other is not node:
                    at(time + self.latency, lambda other=other: other.notebook.add(record))  # type: ignore[misc]
            act(node, time)

        for index, node in enumerate(self.nodes):
            at(index * 3.0, lambda node=node, index=index: act(node, index * 3.0))  # type: ignore[misc]
        while events and events[0][0] < minutes * 60:
            heapq.heappop(events)[2]()


def make_swarm(size: int, first: int = 1) -> Swarm:
    task = make_task()
    return Swarm(task, [Node(task, identity(first + i), first + i) for i in range(size)])


@dataclass
class Uniform:
    """The proposer to beat: any knob, any value of its range, all alike."""

    seed: int

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def propose(self, notebook: Notebook, task: Task, *, avoid: Sequence[Mapping[str, Scalar]] = ()) -> Proposal:
        while True:
            knob = self.rng.choice(list(task.knobs.values()))
            span = Span.of(knob)
            value = self.rng.choice(options(knob)) if span is None else span.value(self.rng.random())
            if not notebook.was_tried(notebook.on_best({knob.name: value})):
                return Proposal({knob.name: value}, "", "uniform")


def experiments_to(proposer: Proposer, number: int, target: float, limit: int) -> int:
    """How many experiments one node needs until its best recipe is at most `target` of the baseline; at most limit."""
    task = make_task()
    node = Node(task, identity(number), number)
    now_ms = 1_700_000_000_000
    for done in range(1, limit + 1):
        proposal = proposer.propose(node.notebook, task)
        record, seconds = node.experiment(proposal.change, proposal.hypothesis, None, now_ms)
        node.notebook.add(record)
        now_ms += int(1000 * seconds) + 1
        if surface(task, node.notebook.best()) <= target * surface(task, BASELINE):
            return done
    return limit


def results(swarm: Swarm) -> Iterator[tuple[Record, Result]]:
    for record in swarm.records:
        entry = entries.read(record)
        if isinstance(entry, Result):
            yield record, entry
