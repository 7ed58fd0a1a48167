"""A question to a model, an answer, and one chance to mend it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

from agent.llm.answer import BadAnswer, Draft, read_answer
from agent.llm.draft import proposal_of
from agent.llm.prompt import Circumstances, Message, proposal_messages, repair_messages
from agent.llm.synthesis import Entry, Synthesis, entries_of, listed, synthesis_messages
from agent.notebook import Notebook
from agent.proposal import Proposal
from trainer.task import Task

Ask: TypeAlias = Callable[[Sequence[Message]], Awaitable[str]]
"""Gives a model's answer to a conversation."""

Read = TypeVar("Read")


async def propose(ask: Ask, notebook: Notebook, task: Task, around: Circumstances, *, proposer: str) -> Proposal:
    """What the model would try next. proposer: its name.

    Raises BadAnswer when the mended answer cannot be used either, and whatever `ask` raises.
    """

    def read(answer: str) -> Proposal:
        return proposal_of(read_answer(answer, Draft), notebook, task, around=around, proposer=proposer)

    return await _asked(ask, proposal_messages(notebook, task, around), read)


async def synthesise(ask: Ask, notebook: Notebook, task: Task, around: Circumstances, *, proposer: str) -> list[Entry]:
    """What the model concludes from everybody's results. Raises as `propose` does."""
    experiments = listed(notebook)

    def read(answer: str) -> list[Entry]:
        return entries_of(read_answer(answer, Synthesis), notebook, task, experiments, proposer=proposer)

    return await _asked(ask, synthesis_messages(notebook, task, around, experiments), read)


async def _asked(ask: Ask, messages: Sequence[Message], read: Callable[[str], Read]) -> Read:
    answer = await ask(messages)
    try:
        return read(answer)
    except BadAnswer as why:
        return read(await ask(repair_messages(messages, answer, str(why))))
