"""Ideas of a model, while it is worth asking: a model that fails is left alone for a while, and the node searches.

Each failed question doubles the pause, whether the server was down, slow, or what it wrote could not be used, so a
model that is of no use costs next to nothing. A spent budget is told once, and the model is asked when there is room.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
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
from trainer.task import Task

FIRST_PAUSE: Final = 60.0  # seconds
LONGEST_PAUSE: Final = 3600.0

Answer = TypeVar("Answer")


class Proposing:
    """A model that proposes and concludes, or has nothing to say."""

    def __init__(self, model: Model, told: Told) -> None:
        self._model = model
        self._told = told
        self._pause = FIRST_PAUSE
        self._resting_until = -math.inf

    async def propose(self, notebook: Notebook, task: Task, around: Circumstances) -> Proposal | None:
        """What the model would try next; None, and the reason is told, where it is not asked or of no use."""
        name = self._model.name
        return await self._try(lambda: asking.propose(self._ask, notebook, task, around, proposer=name))

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
