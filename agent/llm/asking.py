"""One proposal of a model: a question, an answer, and one chance to mend it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from agent.llm.answer import BadAnswer, Draft, read_answer
from agent.llm.draft import proposal_of
from agent.llm.prompt import Circumstances, Message, proposal_messages, repair_messages
from agent.notebook import Notebook
from agent.proposal import Proposal
from trainer.task import Task

Ask: TypeAlias = Callable[[Sequence[Message]], Awaitable[str]]
"""Gives a model's answer to a conversation."""


async def propose(ask: Ask, notebook: Notebook, task: Task, around: Circumstances, *, proposer: str) -> Proposal:
    """What the model would try next. proposer: its name.

    Raises BadAnswer when the mended answer cannot be used either, and whatever `ask` raises.
    """
    messages = proposal_messages(notebook, task, around)

    def read(answer: str) -> Proposal:
        return proposal_of(read_answer(answer, Draft), notebook, task, around=around, proposer=proposer)

    answer = await ask(messages)
    try:
        return read(answer)
    except BadAnswer as why:
        return read(await ask(repair_messages(messages, answer, str(why))))
