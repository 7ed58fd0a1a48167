"""Ideas of a model, while it is worth asking: a model that fails is left alone for a while, and the node searches.

Each failed question doubles the pause, whether the server was down, slow, or what it wrote could not be used, so a
model that is of no use costs next to nothing. A spent budget is told once, and the model is asked when there is room.

Nobody waits for a model that thinks for long: it goes on thinking while the node tests what the search has, and its
idea is taken up at the next exploration.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, TypeVar

import trio

from agent.llm import asking
from agent.llm.answer import BadAnswer
from agent.llm.prompt import Circumstances, Message
from agent.llm.synthesis import Entry
from agent.notebook import Notebook
from agent.proposal import Proposal
from node.llm.model import Model
from node.llm.process import CallFailed
from node.llm.spending import BudgetSpent, LedgerError
from node.told import Told
from trainer.recipe import Recipe
from trainer.task import Task

FIRST_PAUSE: Final = 60.0  # seconds
LONGEST_PAUSE: Final = 3600.0
PATIENCE: Final = 10.0  # seconds, about as long as a short trial takes

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Thought:
    """An idea, and the best recipe that it is meant for: that may have moved when the idea is taken up."""

    proposal: Proposal
    base: Recipe


class Proposing:
    """A model that proposes and concludes, or has nothing to say.

    nursery: of the research that it thinks for; patience: seconds that an exploration waits for its idea.
    """

    def __init__(self, model: Model, told: Told, nursery: trio.Nursery, *, patience: float = PATIENCE) -> None:
        self._model = model
        self._told = told
        self._nursery = nursery
        self._patience = patience
        self._thinking: trio.Event | None = None
        self._thought: Thought | None = None
        self._pause = FIRST_PAUSE
        self._resting_until = -math.inf

    async def propose(self, notebook: Notebook, task: Task, around: Circumstances) -> Thought | None:
        """What the model would try next; None, and the reason is told, where it is not asked or of no use.

        None, too, while it is still at it: what comes of that is had with a later call.
        """
        if self._thinking is None:
            self._thinking = trio.Event()
            self._nursery.start_soon(self._think, self._thinking, notebook, task, around)
        with trio.move_on_after(self._patience):
            await self._thinking.wait()
        if not self._thinking.is_set():
            if self._told.first("model thinking"):
                self._told.note(f"{self._model.name} is still thinking: the node searches until it has an idea")
            return None
        thought, self._thinking, self._thought = self._thought, None, None
        return thought

    async def _think(self, ready: trio.Event, notebook: Notebook, task: Task, around: Circumstances) -> None:
        name = self._model.name
        proposal = await self._try(lambda: asking.propose(self._ask, notebook, task, around, proposer=name))
        if proposal is not None:
            self._thought = Thought(proposal, notebook.best())
            self._told.forget("model thinking")
        ready.set()

    async def synthesise(self, notebook: Notebook, task: Task, around: Circumstances) -> Sequence[Entry]:
        """What the model concludes from everybody's results; nothing where it is not asked or of no use."""
        name = self._model.name
        return await self._try(lambda: asking.synthesise(self._ask, notebook, task, around, proposer=name)) or ()

    async def _try(self, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        if trio.current_time() < self._resting_until:
            return None
        try:
            answer = await question()
        except (BudgetSpent, LedgerError) as why:
            if self._told.first("model budget"):
                self._told.note(f"{why}: {self._model.name} is not asked until there is room, and the node searches")
            return None
        except CallFailed as failed:
            self._rest(f"{failed.kind}: {failed}", failed.retry_after or 0.0)
            return None
        except BadAnswer as why:
            self._rest(f"its answer cannot be used: {why}", 0.0)
            return None
        self._told.forget("model budget")
        self._pause = FIRST_PAUSE
        return answer

    async def _ask(self, messages: Sequence[Message]) -> str:
        answer, cost = await self._model.ask(messages)
        self._told.event(
            "model",
            model=self._model.name,
            tokens=cost.tokens,
            usd=cost.usd,
            today=asdict(cost.today),
            total=asdict(cost.total),
        )
        return answer

    def _rest(self, why: str, at_least: float) -> None:
        seconds = max(self._pause, at_least)
        self._resting_until = trio.current_time() + seconds
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._told.trouble(
            self._model.name, f"{why}; the node searches, and asks it again in {max(1, round(seconds / 60))} min"
        )
