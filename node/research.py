"""The research loop: pick what is worth most, run it, say what came of it, forever.

The loop decides nothing itself. The policy picks, a proposer has the idea, the trainer runs, the judge judges; here
they are put in order, and every experiment ends as a signed record whatever came of it.
"""

import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from agent.best import Code
from agent.entries import BudgetBody, Calibration, Entry, Presence, Result
from agent.evidence import claim_of
from agent.judge import MAX_SEEDS
from agent.packed import check_fits, recipe_body
from agent.policy import Calibrate, Claim, Explore, Replicate, choose
from agent.proposal import NothingLeft, Proposal
from agent.search import Search
from gossip.database import FULL_DISK
from gossip.supervise import alone
from node.events import Event, change_text, mean_values
from node.experiment import Plan, load_plan, run_experiment, seed_of
from node.propose import waiting_proposals
from node.state import Show, State
from node.trials import Trials
from trainer.errors import TrainerError
from trainer.knobs import Scalar
from trainer.merge import lines_changed
from trainer.recipe import Change, Recipe, apply_change, change_between, recipe_id
from trainer.trial import Progress, Trial

CLAIM_MS: Final = 10 * 60 * 1000
CALIBRATION_SEEDS: Final = 2
PRESENCE_SECONDS: Final = 20.0
FULL_DISK_SECONDS: Final = 10.0


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _accepted(trials: Trials) -> Code:
    """Whose edited code is run here."""
    if trials.accepts_code(own=True) is not None:
        return "none"
    return "own" if trials.accepts_code(own=False) is not None else "all"


def _in_words(change: Change) -> str:
    return change_text(change.knobs, {file: lines_changed(*texts) for file, texts in change.edits.items()})


@dataclass
class Research:
    """What the loop works with, and what it is doing right now.

    publish: sign an entry, put it in the log and the notebook, and tell peers. announce: send a presence.
    experiments_wanted: when to stop, None for never; deadline: by trio's clock, seconds.
    """

    state: State
    publish: Callable[[Entry], Awaitable[None]]
    announce: Callable[[Presence], Awaitable[None]]
    show: Show
    progress: Callable[[str, Progress | None], None]
    alias: str
    experiments_wanted: int | None = None
    deadline: float = math.inf
    experiments: int = 0
    _claims: dict[bytes, Claim] = field(default_factory=dict)
    _presence: Presence | None = None
    _any_trial: bool = False
    _told: set[str] = field(default_factory=set)

    async def run(self, trials: Trials) -> None:
        """Do research until a limit is reached. One that the deadline cuts short goes on at the next start."""
        rng = random.Random(self.state.me + time.time_ns().to_bytes(8, "big"))
        search = Search(seed=rng.getrandbits(31))
        self.state.notebook.accept(_accepted(trials))
        with trio.CancelScope(deadline=self.deadline):
            while self.experiments_wanted is None or self.experiments < self.experiments_wanted:
                try:
                    plan = self._left_open(trials) or self._proposed(trials) or await self._plan(trials, search, rng)
                    if plan is not None:
                        await self._experiment(trials, plan)
                    self._told.discard("trial")
                except OSError as error:
                    if error.errno not in FULL_DISK:
                        raise
                    self._say_once("trial", f"no trial can be set up ({error}); trying until there is room")
                    await trio.sleep(FULL_DISK_SECONDS)

    def note_claim(self, claim: Claim) -> None:
        """Take note of what a peer says it is testing; an empty change takes its claim back."""
        now = now_ms()
        self._claims = {author: known for author, known in self._claims.items() if known.expires_ms > now}
        self._claims.pop(claim.author, None)
        if claim.change:
            self._claims[claim.author] = replace(claim, expires_ms=min(claim.expires_ms, now + CLAIM_MS))

    def _left_open(self, trials: Trials) -> Plan | None:
        """The experiment that a killed node was running, unless its record was written after all."""
        plan = load_plan(self.state.home.experiment, self.state.task)
        if plan is None or plan.parent != self.state.notebook.best() or self.state.notebook.was_tried(plan.candidate):
            return None
        edited = plan.candidate.files != plan.parent.files
        return None if edited and trials.accepts_code(own=plan.replicates is None) else plan

    def _proposed(self, trials: Trials) -> Plan | None:
        """What this node's person proposed, on its best recipe; what cannot be tested is told and dropped."""
        notebook, task = self.state.notebook, self.state.task
        for waiting in waiting_proposals(self.state.home, task):
            if waiting.change.edits and (why_not := trials.accepts_code(own=True)):
                self._say_once(waiting.path.name, f"a proposal waits: {why_not}")
                continue
            best = notebook.best()
            try:
                candidate = apply_change(task, best, waiting.change)
                check_fits(best, candidate, change_between(task, best, candidate))
            except TrainerError as error:
                self._trouble("proposal", f"it cannot be tested on this node's best recipe: {error}")
                waiting.path.unlink(missing_ok=True)
                continue
            if candidate == best or notebook.was_tried(candidate):
                self._trouble("proposal", "it was tested already, or is held by this node's best recipe")
                waiting.path.unlink(missing_ok=True)
                continue
            return Plan(best, candidate, waiting.hypothesis, "person", proposal=waiting.path)
        return None

    async def _plan(self, trials: Trials, search: Search, rng: random.Random) -> Plan | None:
        """The next experiment, or None after something else was done."""
        notebook, task = self.state.notebook, self.state.task
        now = now_ms()
        claims = [claim for claim in self._claims.values() if claim.expires_ms > now]
        best = notebook.best()
        self._tell_misfits()
        match choose(notebook, claims=claims, now_ms=now, rng=rng):
            case Calibrate(recipe):
                await self._calibrate(trials, recipe)
                return None
            case Replicate(found):
                finder = self.state.alias(found.author)
                return Plan(
                    best,
                    notebook.onto_best(found),
                    f"what {finder} found holds on this node's best recipe too",
                    "replication",
                    inspired_by=(found.record_id,),
                    replicates=found.record_id,
                )
            case Explore():
                try:
                    proposal = search.propose(notebook, task, avoid=[claim.change for claim in claims])
                except NothingLeft as nothing:
                    self._trouble("search", str(nothing))
                    await trio.sleep(60)  # until then peers may have found something to replicate
                    return None
                await trio.lowlevel.checkpoint()  # ideas that cannot be tested must not keep the node from all else
                return self._plan_of(proposal, trials)

    def _plan_of(self, proposal: Proposal, trials: Trials) -> Plan | None:
        """An idea as a plan; None, and the reason is told, for an edit that cannot be tested here."""
        notebook = self.state.notebook
        why_not = trials.accepts_code(own=True) if proposal.edits else None
        try:
            candidate = notebook.on_best(proposal.change, proposal.edits)
        except TrainerError as error:
            why_not = str(error)
        if why_not:
            self._trouble(proposal.proposer, f"its edit cannot be tested: {why_not}")
            return None
        return Plan(notebook.best(), candidate, proposal.hypothesis, proposal.proposer, proposal.inspired_by)

    def _tell_misfits(self) -> None:
        """Say once of each code change of peers why it is not tried on the best recipe as it is."""
        for found, why in self.state.notebook.misfits():
            key = f"{found.record_id.hex()} {why}"
            if key not in self._told:
                self._told.add(key)
                text = f"not tried, though {self.state.alias(found.author)} kept it: {_in_words(found.change)}: {why}"
                self.show(Event("note", now_ms(), self.alias, True, {"text": text}))

    def _say_once(self, what: str, why: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._trouble("research", why)

    async def _experiment(self, trials: Trials, plan: Plan) -> None:
        try:
            plan.save(self.state.home.experiment)
            self._told.discard("plan")
        except OSError as error:
            self._say_once("plan", f"experiments cannot be noted; one that is cut short starts over ({error})")
        change = change_between(self.state.task, plan.parent, plan.candidate)
        text = _in_words(change)
        verb = "replicating" if plan.replicates else "exploring"
        await self.say(f"{verb} {text}", claim_of(change))

        def on_progress(side: str, number: int, progress: Progress) -> None:
            self.progress(text if side == "candidate" else f"parent, seed {number + 1}", progress)

        result: Result = await run_experiment(
            plan,
            me=self.state.me,
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
        """Run one recipe on seeds of its own, so that the noise is known."""
        await self.say("calibrating", {})
        task = self.state.task
        values: dict[str, float] = {}
        seconds = 0.0
        known = self.state.notebook.values(recipe_id(recipe))
        # the seeds that experiments on this recipe use, so that these trials serve them too
        seeds = [seed for seed in (seed_of(self.state.me, recipe, n) for n in range(MAX_SEEDS)) if seed not in known]

        async def run(seed: int) -> None:
            nonlocal seconds
            trial = await trials.run(recipe, seed, lambda p: self.progress("calibration", p))
            self._trial_ended(trial)
            seconds += trial.seconds
            if trial.value is not None:
                values[str(seed)] = trial.value

        try:
            async with trio.open_nursery() as nursery:
                for seed in seeds[:CALIBRATION_SEEDS]:
                    nursery.start_soon(run, seed)  # those for which there is no room wait
        except BaseExceptionGroup as group:
            raise alone(group) from None
        if len(values) < CALIBRATION_SEEDS:
            self._trouble("calibration", "the trials gave no values; see the lines above")
            await trio.sleep(1)
            return
        device = self.state.device
        await self.publish(
            Calibration(
                recipe=recipe_body(recipe),
                values=values,
                budget=BudgetBody(kind=task.budget.kind, amount=task.budget.amount),
                device_class=device.device_class,
                device=device.name,
                seconds=seconds,
                versions=device.software,
            )
        )

    def _trial_ended(self, trial: Trial) -> None:
        self.progress("", None)
        data = {
            "seed": trial.seed,
            "status": trial.status,
            "metric": self.state.task.metric.name,
            "value": trial.value,
            "seconds": trial.seconds,
            "reason": trial.reason,
            "first": trial.status == "ok" and not self._any_trial,
        }
        self._any_trial = self._any_trial or trial.status == "ok"
        self.show(Event("trial", now_ms(), self.alias, True, data))

    def _trouble(self, what: str, why: str) -> None:
        self.show(Event("trouble", now_ms(), self.alias, True, {"what": what, "why": why}))

    async def say(self, activity: str, claim: Mapping[str, Scalar]) -> None:
        """Tell peers what this node is doing, so that they pick something else."""
        result = self.state.notebook.best_result()
        self._presence = Presence(
            alias=self.alias,
            activity=activity[:200],
            claim=dict(claim),
            expires_ms=now_ms() + CLAIM_MS if claim else 0,
            best=mean_values(result.pairs)[0] if result else None,
        )
        await self.announce(self._presence)

    async def keep_saying(self) -> None:
        """Repeat the presence, for peers that came later or missed it."""
        while True:
            await trio.sleep(PRESENCE_SECONDS)
            if self._presence is not None:
                await self.announce(self._presence)
