"""What to do next: an experiment that was cut short, a person's proposal, or what the policy picks, as a plan.

Nothing is run here. The policy decides, a proposer has the idea; what cannot be tested on this node is told.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import trio

from agent.best import Code, changed
from agent.entries import Hypothesis, Insight
from agent.exploring import searched, settled
from agent.hypotheses import Idea, is_of_own_person, open_ideas, takeable
from agent.llm.prompt import MOST_IDEAS, Circumstances
from agent.packed import check_fits
from agent.policy import Calibrate, Decision, Explore, Replicate, Synthesise, choose, choose_without_ideas
from agent.proposal import NothingLeft, Proposal
from agent.search import Search
from agent.strategy import CLIMB, Strategy
from gossip.clock import now_ms
from node.claims import Claims
from node.events import change_text
from node.experiment import Plan, load_plan
from node.ideas import PERSON
from node.llm.proposing import Proposing, Thought
from node.propose import waiting_proposals
from node.state import State
from node.told import Told
from node.trials import Trials
from trainer.errors import TrainerError
from trainer.knobs import Scalar
from trainer.merge import lines_changed
from trainer.recipe import Change, Recipe, apply_change, change_between

NOTHING_LEFT_SECONDS: Final = 60.0  # until it is searched again
IDLE_SECONDS: Final = 5.0

Step: TypeAlias = Plan | Calibrate | Synthesise
"""What the research loop can do next."""


def accepted(trials: Trials) -> Code:
    """Whose edited code is run here."""
    if trials.accepts_code(own=True) is not None:
        return "none"
    return "own" if trials.accepts_code(own=False) is not None else "all"


def in_words(change: Change) -> str:
    """The change as the feed shows it."""
    return change_text(change.knobs, {file: lines_changed(*texts) for file, texts in change.edits.items()})


class Planner:
    """Plans for one node. rng: its stream of randomness; model: has ideas before the search does, None for none."""

    def __init__(
        self,
        state: State,
        trials: Trials,
        claims: Claims,
        told: Told,
        rng: random.Random,
        model: Proposing | None = None,
    ) -> None:
        self.state = state
        self.trials = trials
        self.claims = claims
        self.told = told
        self.rng = rng
        self.search = Search(seed=rng.getrandbits(31))
        self.model = model
        self.strategy = CLIMB
        self._searched_in_vain_on: Recipe | None = None
        self._search_again = 0.0

    async def next(self) -> Step | None:
        """The next thing to do; None where an idea came to nothing, and the next call has another."""
        return self._left_open() or self._proposed() or self._of_person() or await self._chosen()

    def _left_open(self) -> Plan | None:
        """The experiment that a killed node was running, unless its record was written after all."""
        plan = load_plan(self.state.home.experiment, self.state.task)
        if plan is None or plan.parent != self.state.notebook.best() or self.state.notebook.was_tried(plan.candidate):
            return None
        edited = plan.candidate.files != plan.parent.files
        return None if edited and self.trials.accepts_code(own=plan.replicates is None) else plan

    def _proposed(self) -> Plan | None:
        """What this node's person proposed, on its best recipe; what cannot be tested is told and dropped."""
        notebook, task = self.state.notebook, self.state.task
        for waiting in waiting_proposals(self.state.home, task):
            if waiting.change.edits and (why_not := self.trials.accepts_code(own=True)):
                if self.told.first(waiting.path.name):
                    self.told.trouble("research", f"a proposal waits: {why_not}")
                continue
            best = notebook.best()
            try:
                candidate = apply_change(task, best, waiting.change)
                check_fits(best, candidate, change_between(task, best, candidate))
            except TrainerError as error:
                self.told.trouble("proposal", f"it cannot be tested on this node's best recipe: {error}")
                waiting.path.unlink(missing_ok=True)
                continue
            if candidate == best or notebook.was_tried(candidate):
                self.told.trouble("proposal", "it was tested already, or is held by this node's best recipe")
                waiting.path.unlink(missing_ok=True)
                continue
            return Plan(best, candidate, waiting.hypothesis, "person", proposal=waiting.path)
        return None

    def _of_person(self) -> Plan | None:
        """What this node's person told all nodes, and nobody has tested yet."""
        notebook = self.state.notebook
        for idea in takeable(notebook, claims=self.claims.live(), now_ms=now_ms()):
            if is_of_own_person(notebook, idea):
                said = idea.hypothesis
                return Plan(
                    notebook.best(), notebook.on_best(said.change), said.text, PERSON, inspired_by=(idea.record_id,)
                )
        return None

    async def _chosen(self) -> Step | None:
        """What the policy picks."""
        self._tell_misfits()
        return await self._decided(
            choose(self.state.notebook, claims=self.claims.live(), now_ms=now_ms(), rng=self.rng)
        )

    async def _decided(self, decision: Decision) -> Step | None:
        notebook = self.state.notebook
        match decision:
            case Calibrate() as step:
                return step
            case Synthesise(entries, reason):
                return Synthesise([*entries, *await self._concluded()], reason)
            case Replicate(found):
                finder = self.state.alias(found.author)
                return Plan(
                    notebook.best(),
                    notebook.onto_best(found),
                    f"what {finder} found holds on this node's best recipe too",
                    "replication",
                    inspired_by=(found.record_id,),
                    replicates=found.record_id,
                )
            case Explore(_, strategy, idea):
                self._tell_shift(strategy)
                return await self._idea(strategy, idea)

    async def _idea(self, strategy: Strategy, idea: Idea | None) -> Step | None:
        """An open hypothesis, what the strategy has settled, or what a proposer wants to try."""
        notebook = self.state.notebook
        avoid = [claim.change for claim in self.claims.live()]
        if (proposal := settled(notebook, strategy, idea)) is not None:
            return self._plan_of(proposal)
        if (thought := await self._asked(strategy)) is not None:
            return self._plan_of(thought.proposal, thought.base)
        return await self._searched(strategy, avoid)

    async def _searched(self, strategy: Strategy, avoid: Sequence[Mapping[str, Scalar]]) -> Step | None:
        """What the search finds, else what peers' discoveries and ideas leave to do.

        None, after a while, where that is nothing either. A search in vain takes long: it is not soon repeated.
        """
        notebook, now = self.state.notebook, trio.current_time()
        if notebook.best() != self._searched_in_vain_on or now >= self._search_again:
            try:
                found = searched(notebook, self.search, strategy, avoid)
            except NothingLeft as nothing:
                if self.told.first("search"):
                    self.told.trouble("search", str(nothing))
                self._searched_in_vain_on, self._search_again = notebook.best(), now + NOTHING_LEFT_SECONDS
            else:
                self.told.forget("search")
                await trio.lowlevel.checkpoint()  # ideas that cannot be tested must not keep the node from all else
                return self._plan_of(found)
        while trio.current_time() < self._search_again:
            decision = choose_without_ideas(notebook, claims=self.claims.live(), now_ms=now_ms(), rng=self.rng)
            await trio.sleep(0 if decision else IDLE_SECONDS)
            if decision:
                return await self._decided(decision)
        return None

    async def _asked(self, strategy: Strategy) -> Thought | None:
        """What the model wants to try, if there is one."""
        if self.model is None:
            return None
        around = replace(self._circumstances(), need=strategy.reason)
        return await self.model.propose(self.state.notebook, self.state.task, around)

    async def _concluded(self) -> Sequence[Insight | Hypothesis]:
        """What the model concludes from everybody's results, if there is one."""
        if self.model is None:
            return ()
        return await self.model.synthesise(self.state.notebook, self.state.task, self._circumstances())

    def _circumstances(self) -> Circumstances:
        live = self.claims.live()
        return Circumstances(
            device=self.state.device.name,
            output=self.trials.last_failure,
            no_edits_because=self.trials.accepts_code(own=True),
            avoid=[claim.change for claim in live],
            ideas=open_ideas(self.state.notebook, claims=live, now_ms=now_ms())[:MOST_IDEAS],
        )

    def _plan_of(self, proposal: Proposal, base: Recipe | None = None) -> Plan | None:
        """An idea as a plan; None, and the reason is told, for what cannot be tested here, or any more.

        base: the recipe that it was meant for, by default the best one.
        """
        notebook, task = self.state.notebook, self.state.task
        best = notebook.best()
        why_not = self.trials.accepts_code(own=True) if proposal.edits else None
        try:
            candidate = changed(task, base or best, proposal.change, proposal.edits)
            if base is not None and base != best:
                candidate = apply_change(task, best, change_between(task, base, candidate))
                check_fits(best, candidate, change_between(task, best, candidate))
        except TrainerError as error:
            why_not = str(error)
        if why_not:
            self.told.trouble(proposal.proposer, f"its edit cannot be tested: {why_not}")
            return None
        if base is not None and (candidate == best or notebook.was_tried(candidate)):
            self.told.note(f"{proposal.proposer} had an idea that was tested before it could be taken up")
            return None
        return Plan(best, candidate, proposal.hypothesis, proposal.proposer, proposal.inspired_by)

    def _tell_shift(self, strategy: Strategy) -> None:
        """Say why this node explores otherwise from now on."""
        if (strategy.kind, strategy.start) == (self.strategy.kind, self.strategy.start):
            return
        self.strategy = strategy
        self.told.note(f"strategy: {strategy.reason or 'the best recipe has moved: small steps from there'}")

    def _tell_misfits(self) -> None:
        """Say once of each code change of peers why it is not tried on the best recipe as it is."""
        for found, why in self.state.notebook.misfits():
            if self.told.first(f"{found.record_id.hex()} {why}"):
                finder = self.state.alias(found.author)
                self.told.note(f"not tried, though {finder} kept it: {in_words(found.change)}: {why}")
