"""A model that may be asked: within its budget, with retries, and with what every call cost.

What a call can cost is reserved before it and settled after it. A call that broke off, or took too long, counts in
full, since it may have been charged.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import trio

from agent.llm.prompt import Message
from node.config import Llm
from node.llm.process import CallerProcess, CallFailed, Reply
from node.llm.spending import Budget, Spending, Spent
from node.llm.terms import Address, Terms, check_terms

MAX_TOKENS: Final = 8_192  # of an answer, what reasoning models think included
TRIES: Final = 3
FIRST_PAUSE: Final = 2.0  # seconds
LONGEST_WAIT: Final = 60.0  # a server that wants longer is left alone meanwhile
PASSING: Final = frozenset({"busy", "server", "broken", "unreachable", "lost"})
BYTES_OF_A_TOKEN: Final = 2  # English and programs have 3 to 5, so this errs on the dear side


class Caller(Protocol):
    """What asks once; a `node.llm.process.CallerProcess`."""

    async def call(self, messages: Sequence[Message], *, max_tokens: int, seconds: float) -> Reply: ...


@dataclass(frozen=True)
class Cost:
    """What a call took, and what all calls have, today and ever."""

    tokens: int
    usd: float
    today: Spent
    total: Spent


class Model:
    """A model with its price and its budget. seconds: the longest that a call may take."""

    def __init__(self, name: str, caller: Caller, terms: Terms, spending: Spending, *, seconds: float) -> None:
        self.name = name
        self._caller = caller
        self._terms = terms
        self._spending = spending
        self._seconds = seconds

    async def ask(self, messages: Sequence[Message]) -> tuple[str, Cost]:
        """The model's answer. Raises CallFailed after the last try, BudgetSpent, LedgerError."""
        pause = FIRST_PAUSE
        for _ in range(TRIES - 1):
            try:
                return await self._call(messages)
            except CallFailed as failed:
                wait = max(pause, failed.retry_after or 0.0)
                if failed.kind not in PASSING or wait > LONGEST_WAIT:
                    raise
            await trio.sleep(wait * random.uniform(1.0, 1.25))
            pause *= 2
        return await self._call(messages)

    async def _call(self, messages: Sequence[Message]) -> tuple[str, Cost]:
        prompt = sum(_tokens(message.content) for message in messages)
        price = self._terms.usd
        number = await _off(self._spending.reserve, self.name, prompt + MAX_TOKENS, price(prompt, MAX_TOKENS))
        try:
            reply = await self._caller.call(messages, max_tokens=MAX_TOKENS, seconds=self._seconds)
        except CallFailed as failed:
            if not failed.charged:
                await _off(self._spending.settle, number, 0, 0.0)
            raise
        used = reply.tokens or (prompt, _tokens(reply.text))
        await _off(self._spending.settle, number, sum(used), price(*used))
        today, total = await _off(self._spending.today), await _off(self._spending.total)
        return reply.text, Cost(sum(used), price(*used), today, total)


@asynccontextmanager
async def open_model(wanted: Llm, ledger: Path) -> AsyncIterator[Model | None]:
    """The model, ready to be asked; None where none is wanted. ledger: the file that knows what was spent.

    Raises ModelRefused where nobody has such a model, its key is missing, or its price and the budget do not fit.
    """
    if wanted.model is None:
        yield None
        return
    address, budget = address_of(wanted), budget_of(wanted)
    async with aclosing(CallerProcess(address)) as caller:
        terms = await caller.describe()
        check_terms(address, terms, budget)
        yield Model(wanted.model, caller, terms, Spending(ledger, budget), seconds=wanted.seconds)


def address_of(wanted: Llm) -> Address:
    """Which model it is, and where."""
    assert wanted.model is not None
    return Address(wanted.model, wanted.base_url, wanted.api_key.get_secret_value() if wanted.api_key else None)


def budget_of(wanted: Llm) -> Budget:
    """What may be spent on it."""
    return Budget(wanted.budget_usd, wanted.budget_usd_day, wanted.budget_tokens, wanted.budget_tokens_day)


_off = trio.to_thread.run_sync  # the disk may be slow, and gossip waits for nothing


def _tokens(text: str) -> int:
    """At most so many tokens has a text."""
    return len(text.encode(errors="replace")) // BYTES_OF_A_TOKEN
