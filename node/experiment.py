"""One experiment: a candidate against its parent on the same seeds, until the judge has seen enough.

The plan of the running experiment is on disk, and finished trials are remembered, so a node that was killed goes on
where it was.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import trio

from agent.complexity import complexity, is_simpler, price
from agent.entries import BudgetBody, Pair, Result, Verdict, kept
from agent.judge import MAX_SEEDS, Judgement, ignores_seed, judge, smallest_worth
from agent.noise import PairedNoise
from agent.notebook import Notebook
from agent.packed import edits_body, recipe_body
from agent.seeds import seeds
from gossip.reasons import alone
from node.trials import Trials
from trainer.device import Device
from trainer.errors import TrainerError
from trainer.integrity import level
from trainer.recipe import (
    Recipe,
    change_between,
    materialise,
    program_sha256,
    recipe_from_data,
    recipe_id,
    recipe_to_data,
)
from trainer.task import Task
from trainer.trial import Progress, Trial

SEEDLESS: Final = "its value is the same whatever the seed: one lucky seed is no discovery"
LARGEST_COUNT: Final = 2.0**53


@dataclass(frozen=True)
class Plan:
    """What is to be tested, and why.

    replicates: id of the record whose change this is, None for an own idea; proposal: the file that a person's idea
    waits in, which is removed when it was tested.
    """

    parent: Recipe
    candidate: Recipe
    hypothesis: str
    proposer: str
    inspired_by: tuple[bytes, ...] = ()
    replicates: bytes | None = None
    proposal: Path | None = None

    def save(self, path: Path) -> None:
        """Write the plan, whole or not at all."""
        data = {
            "parent": recipe_to_data(self.parent),
            "candidate": recipe_to_data(self.candidate),
            "hypothesis": self.hypothesis,
            "proposer": self.proposer,
            "inspired_by": [record_id.hex() for record_id in self.inspired_by],
            "replicates": self.replicates.hex() if self.replicates else None,
        }
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(data), encoding="utf-8")
        os.replace(temporary, path)


def load_plan(path: Path, task: Task) -> Plan | None:
    """The plan that a killed node left, or None where there is none that this task can use."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        parent, candidate = recipe_from_data(data["parent"]), recipe_from_data(data["candidate"])
        materialise(task, parent)
        materialise(task, candidate)
        return Plan(
            parent,
            candidate,
            str(data["hypothesis"]),
            str(data["proposer"]),
            tuple(bytes.fromhex(record_id) for record_id in data["inspired_by"]),
            bytes.fromhex(data["replicates"]) if data["replicates"] else None,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, TrainerError):
        # a plan of another task or version: the experiment was never published, so nobody misses it
        return None


async def run_experiment(
    plan: Plan,
    *,
    notebook: Notebook,
    trials: Trials,
    device: Device,
    on_trial: Callable[[Trial], None],
    on_progress: Callable[[str, int, Progress], None],
) -> Result:
    """Run trials until there is a verdict, and return the body of its record.

    on_trial: called as soon as a trial has ended, if it was run now. on_progress: called with "candidate" or "parent",
    the number of the seed, and the trial's progress.
    """
    task = trials.task
    change = change_between(task, plan.parent, plan.candidate)
    noise, worth = notebook.paired_noise(plan.parent), smallest_worth(notebook.noise())
    pairs: list[Pair] = []
    first: Trial | None = None
    parameters = {"parent": 0, "candidate": 0}
    seconds = 0.0
    effect: float | None = None
    interval: tuple[float, float] | None = None
    verdict: Verdict = "inconclusive"
    reason = ""

    for number, seed in enumerate(seeds(notebook, plan.parent, MAX_SEEDS)):
        outcome: dict[str, Trial] = {}
        for side, trial, is_new in await _both(plan, number, seed, trials, on_trial, on_progress):
            outcome[side] = trial
            seconds += trial.seconds if is_new else 0.0
        parent, candidate = outcome["parent"], outcome.get("candidate")
        pairs.append(Pair(seed=seed, candidate=candidate.value if candidate else None, parent=parent.value))
        if first is None and candidate is not None:
            first = candidate
            parameters = {side: _count(trial.metrics, "num_params") for side, trial in outcome.items()}
        if candidate is None or parent.status != "ok":
            reason = f"the parent failed on this seed ({parent.status}): {parent.reason}"
            break
        if candidate.status != "ok":
            verdict, reason = "crash", f"{candidate.status}: {candidate.reason}"
            break
        judgement, reason = judged(task, plan, pairs, noise, worth, parameters)
        effect, interval = judgement.effect, (judgement.low, judgement.high)
        if judgement.verdict is not None:
            verdict = judgement.verdict
            break

    metrics = first.metrics if first else {}
    return Result(
        candidate=recipe_body(plan.candidate),
        parent=recipe_id(plan.parent),
        change=dict(change.knobs),
        edits=edits_body(plan.parent, change),
        pairs=pairs,
        verdict=verdict,
        reason=reason[:200],
        effect=effect,
        interval=interval,
        budget=BudgetBody(kind=task.budget.kind, amount=task.budget.amount),
        integrity=level(task, plan.candidate),
        device_class=device.device_class,
        device=device.name,
        seconds=seconds,
        tokens=_count(metrics, "total_tokens"),
        steps=_count(metrics, "num_steps"),
        parameters=parameters["candidate"],
        parent_parameters=parameters["parent"],
        peak_memory_mb=max(0.0, float(metrics.get("peak_memory_mb", 0.0))),
        versions=device.software,
        program=program_sha256(materialise(task, plan.candidate)),
        hypothesis=plan.hypothesis,
        proposer=plan.proposer,
        inspired_by=list(plan.inspired_by),
        replicates=plan.replicates,
    )


def judged(
    task: Task, plan: Plan, pairs: Sequence[Pair], noise: PairedNoise, worth: float, parameters: Mapping[str, int]
) -> tuple[Judgement, str]:
    """The judgement on these pairs, and the reason where it is not what the judge says of the improvements.

    worth: the smallest improvement worth having, before the price of complexity; parameters: of "parent" and
    "candidate", 0 where unknown.
    """
    before = complexity(task, plan.parent, parameters["parent"])
    after = complexity(task, plan.candidate, parameters["candidate"])
    values = [(p.parent, p.candidate) for p in pairs if p.parent is not None and p.candidate is not None]
    judgement = judge(
        [task.metric.improvement(*pair) for pair in values],
        noise,
        minimum=worth * price(before, after),
        simpler=is_simpler(before, after),
    )
    if judgement.verdict is None or not kept(judgement.verdict):
        return judgement, ""
    of_parent, of_candidate = zip(*values, strict=True)
    seedless = ignores_seed(of_candidate, of_parent)
    if seedless is None:
        return replace(judgement, verdict=None), ""
    return (replace(judgement, verdict="discard"), SEEDLESS) if seedless else (judgement, "")


async def _both(
    plan: Plan,
    number: int,
    seed: int,
    trials: Trials,
    on_trial: Callable[[Trial], None],
    on_progress: Callable[[str, int, Progress], None],
) -> list[tuple[str, Trial, bool]]:
    """Parent and candidate on one seed, side by side where there is room: which, its trial, and whether it was run now.

    number: of the seed, for `on_progress`. Where the parent fails the candidate tells nothing, and is not run or not
    run to its end.
    """
    done: list[tuple[str, Trial, bool]] = []

    async def run(side: str, recipe: Recipe) -> bool:
        is_new = trials.known(recipe, seed) is None
        trial = await trials.run(recipe, seed, lambda progress: on_progress(side, number, progress))
        done.append((side, trial, is_new))
        if is_new:
            on_trial(trial)
        return trial.status == "ok"

    if trials.side_by_side == 1:
        if await run("parent", plan.parent):
            await run("candidate", plan.candidate)
        return done
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, "candidate", plan.candidate)
            if not await run("parent", plan.parent):
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise alone(group) from None
    return done


def _count(metrics: Mapping[str, float], name: str) -> int:
    """A count that the program gave, within what a record can hold: edited code may print anything."""
    return int(min(max(metrics.get(name, 0.0), 0.0), LARGEST_COUNT))
