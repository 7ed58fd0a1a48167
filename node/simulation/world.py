"""What is simulated of training: a task, the true value of every recipe, and the noise of a trial.

`surface_world` is a made-up task whose truth is known: factors that mostly multiply, optima inside numeric ranges.
"""

import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trainer.knobs import Scalar
from trainer.recipe import Recipe, recipe_id, values
from trainer.schema import Budget, Knob, Limits, Metric
from trainer.task import Task

SD: Final = 0.006
TRIAL_SECONDS: Final = 10.0
DEVICE_CLASS: Final = "cpu"
PARAMETERS: Final = 1_000_000
PARAMETERS_OF_A_LAYER: Final = 200_000


@dataclass(frozen=True)
class World:
    """truth: the value of a recipe without noise, infinite where its program fails; sd: of a trial around it;
    seconds: what a trial takes; parameters: of a recipe's model, 0 where nobody counts them.
    """

    task: Task
    truth: Callable[[Recipe], float]
    sd: float = SD
    seconds: float = TRIAL_SECONDS
    parameters: Callable[[Recipe], int] = lambda recipe: 0

    def trial(self, recipe: Recipe, seed: int) -> float:
        """The truth with the noise of a seed; the same recipe and seed give the same value."""
        digest = hashlib.sha256(recipe_id(recipe) + seed.to_bytes(8, "big")).digest()
        return self.truth(recipe) + random.Random(digest).gauss(0, self.sd)

    def gain(self, parent: Recipe, candidate: Recipe) -> float:
        """The true improvement, positive is better."""
        return self.task.metric.improvement(self.truth(parent), self.truth(candidate))


def knob(name: str, kind: str, default: Scalar, **more: object) -> Knob:
    """A knob as a task file has it."""
    return Knob.model_validate({"name": name, "type": kind, "default": default, **more})


INITS: Final = ("default", "normal", "xavier", "kaiming", "orthogonal")
KNOBS: Final = [
    knob("INIT", "choice", "default", choices=INITS, prior={"cpu": 2}),
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
PAYS: Final[Mapping[tuple[str, Scalar], float]] = {
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
    """The made-up task with these knobs."""
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
    """The true value of a recipe of the made-up task, lower is better."""
    v = values(task, recipe)
    value = 1.0 * math.prod(1 - PAYS.get(setting, 0.0) for setting in v.items())
    best_lr = 0.003 if v["OPTIMIZER"] == "adamw" else 0.006
    value *= 1 + 0.2 * math.log10(float(v["LR"]) / best_lr) ** 2
    value *= 1 + 0.05 * math.log2(int(v["BATCH"]) / 1024) ** 2 / 4
    value *= 1 + 0.004 * (int(v["DEPTH"]) - 4) ** 2
    value *= 1 + 0.1 * (float(v["WARMDOWN"]) - 0.6) ** 2
    value *= 1 + 0.1 * (float(v["WEIGHT_DECAY"]) - 0.1) ** 2
    return value * (1.02 if v["INIT"] == "normal" and v["NORM"] == "none" else 1.0)


def surface_world(*, sd: float = SD, seconds: float = TRIAL_SECONDS) -> World:
    """The world of the made-up task."""
    task = make_task()

    def parameters(recipe: Recipe) -> int:
        return PARAMETERS + PARAMETERS_OF_A_LAYER * int(values(task, recipe)["DEPTH"])

    return World(task, lambda recipe: surface(task, recipe), sd, seconds, parameters)
