"""The research loop: pick what is worth most, run it, say what came of it, forever.

The loop decides nothing itself. The planner picks, the trainer runs, the judge judges; here they are put in order, and
every experiment ends as a signed record whatever came of it.
"""

import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from agent.entries import Entry, Presence, Result
from agent.evidence import claim_of
from agent.hypotheses import answered_by
from agent.policy import Calibrate, Synthesise
from gossip.database import FULL_DISK
from node.calibrate import run_calibration
from node.claims import Claims
from node.events import mean_values, value_text
from node.experiment import Plan, run_experiment
from node.llm.model import Model
from node.llm.proposing import Proposing
from node.planning import Planner, Step, accepted, in_words
from node.state import Show, State
from node.told import Told
from node.trials import Trials
from trainer.recipe import Recipe, change_between
from trainer.trial import Progress, Trial

FULL_DISK_SECONDS: Final = 10.0


@dataclass
class Research:
    """What the loop works with, and what it is doing right now.

    publish: sign an entry, put it in the log and the notebook, and tell peers. announce: send a presence. model: has
    ideas before the search does, None for no model.
    When to stop: experiments_wanted and until, a value of the metric that the kept best has to reach, None for never;
    deadline, by trio's clock, seconds.
    """

    state: State
    publish: Callable[[Entry], Awaitable[None]]
    announce: Callable[[Presence], Awaitable[None]]
    show: Show
    progress: Callable[[str, Progress | None], None]
    alias: str
    model: Model | None = None
    experiments_wanted: int | None = None
    until: float | None = None
    deadline: float = math.inf
    experiments: int = 0
    claims: Claims = field(init=False)
    _told: Told = field(init=False)
    _any_trial: bool = False

    def __post_init__(self) -> None:
        self.claims = Claims(self.state, self.alias, self.announce)
        self._told = Told(self.show, self.alias)

    async def run(self, trials: Trials) -> None:
        """Do research until a limit is reached. One that the deadline cuts short goes on at the next start."""
        rng = random.Random(self.state.me + time.time_ns().to_bytes(8, "big"))
        self.state.notebook.accept(accepted(trials))
        with trio.CancelScope(deadline=self.deadline):
            async with trio.open_nursery() as thoughts:  # of the model, which nobody waits for
                asked = Proposing(self.model, self._told, thoughts) if self.model else None
                planner = Planner(self.state, trials, self.claims, self._told, rng, asked)
                while not self._done():
                    await self._go_on(trials, planner)
                thoughts.cancel_scope.cancel()

    async def _go_on(self, trials: Trials, planner: Planner) -> None:
        """Plan and do one thing. A disk without room is waited for."""
        try:
            step = await planner.next()
            if step is not None:
                await self._do(trials, step)
            self._told.forget("trial")
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            if self._told.first("trial"):
                why = f"no trial can be set up ({error}); trying until there is room"
                self._told.trouble("research", why)
            await trio.sleep(FULL_DISK_SECONDS)

    def _done(self) -> bool:
        """Whether a limit is reached."""
        metric, best = self.state.task.metric, self.state.notebook.best_result()
        # the mean of the trials that it was kept on: one lucky trial reaches nothing
        value = mean_values(best.pairs)[0] if best else None
        if self.until is not None and value is not None and metric.improvement(self.until, value) >= 0:
            self._told.note(
                f"goal reached: {metric.name} {value_text(value)}, and {value_text(self.until)} was asked for"
            )
            return True
        return self.experiments_wanted is not None and self.experiments >= self.experiments_wanted

    async def _do(self, trials: Trials, step: Step) -> None:
        match step:
            case Plan():
                await self._experiment(trials, step)
            case Calibrate(recipe):
                await self._calibrate(trials, recipe)
            case Synthesise(entries):
                await self.claims.say("synthesising", {})
                for entry in entries:
                    await self.publish(entry)

    async def _experiment(self, trials: Trials, plan: Plan) -> None:
        try:
            plan.save(self.state.home.experiment)
            self._told.forget("plan")
        except OSError as error:
            if self._told.first("plan"):
                why = f"experiments cannot be noted; one that is cut short starts over ({error})"
                self._told.trouble("research", why)
        change = change_between(self.state.task, plan.parent, plan.candidate)
        text = in_words(change)
        verb = "replicating" if plan.replicates else "exploring"
        hypothesis = answered_by(self.state.notebook, change, plan.inspired_by)
        await self.claims.say(f"{verb} {text}", claim_of(change), hypothesis)

        def on_progress(side: str, number: int, progress: Progress) -> None:
            self.progress(f"seed {number + 1}: {text if side == 'candidate' else 'parent'}", progress)

        result: Result = await run_experiment(
            plan,
            notebook=self.state.notebook,
            trials=trials,
            device=self.state.device,
            on_trial=self._trial_ended,
            on_progress=on_progress,
        )
        await self.publish(result)
        self.state.home.experiment.unlink(missing_ok=True)
        if plan.proposal is not None:
            plan.proposal.unlink(missing_ok=True)
        self.experiments += 1

    async def _calibrate(self, trials: Trials, recipe: Recipe) -> None:
        await self.claims.say("calibrating", {})
        calibration = await run_calibration(
            recipe,
            notebook=self.state.notebook,
            trials=trials,
            device=self.state.device,
            on_trial=partial(self._trial_ended, judged=False),
            on_progress=lambda number, progress: self.progress(f"seed {number + 1}: calibration", progress),
        )
        if calibration is None:
            self._told.trouble("calibration", "the trials gave no values; see the lines above")
            await trio.sleep(1)
            return
        await self.publish(calibration)

    def _trial_ended(self, trial: Trial, *, judged: bool = True) -> None:
        """judged: whether a verdict follows, which says what became of it."""
        self.progress("", None)
        self._told.event(
            "trial",
            seed=trial.seed,
            status=trial.status,
            metric=self.state.task.metric.name,
            value=trial.value,
            seconds=trial.seconds,
            reason=trial.reason,
            first=trial.status == "ok" and not self._any_trial,
            judged=judged,
        )
        self._any_trial = self._any_trial or trial.status == "ok"
