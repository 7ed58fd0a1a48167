"""Doctor's check of the language model: known, affordable, with a key, reachable; asked only where that is wanted."""

import os
import socket
from collections.abc import Iterator
from contextlib import aclosing
from typing import Final
from urllib.parse import urlsplit

import trio

from agent.llm.prompt import Message
from node.config import Llm, load_config
from node.configfile import ConfigError
from node.finding import Case, Finding
from node.llm.model import Model, address_of, budget_of
from node.llm.process import CallerProcess, CallFailed
from node.llm.spending import BudgetSpent, LedgerError, Spending
from node.llm.terms import ModelRefused, Terms, check_terms

CONNECT_SECONDS: Final = 3.0
OLLAMA: Final = "http://127.0.0.1:11434"
LEAST_QUESTION: Final = [Message("user", "Answer with the word yes.")]


def model(case: Case) -> Iterator[Finding]:
    """The model that a node of this folder would ask."""
    try:
        wanted = load_config(case.home, os.environ, case.llm).config.llm
    except ConfigError as error:
        yield Finding("config", "failed", str(error), "correct it, and look at what applies", "arnode config show")
        return
    except OSError:
        return  # the check of the folder tells of it
    if wanted.model is None:
        yield Finding("model", "ok", "none is asked: ideas come from the search (docs/llm.md tells of models)")
        return
    yield trio.run(_look, wanted, case)


async def _look(wanted: Llm, case: Case) -> Finding:
    address = address_of(wanted)
    async with aclosing(CallerProcess(address)) as caller:
        try:
            terms = await caller.describe()
            check_terms(address, terms, budget_of(wanted))
        except (ModelRefused, CallFailed) as error:
            return Finding("model", "failed", str(error), "until then no node starts with it; without --model one does")
        ollama = os.environ.get("OLLAMA_API_BASE", OLLAMA) if "ollama" in terms.provider else None
        served = wanted.base_url or ollama
        if served is not None and (why := _unreachable(served)):
            return Finding("model", "failed", f"nothing answers at {served}: {why}", "start the model's server there")
        if not case.ask_model:
            return Finding("model", "ok", f"{address.model}, {_price(terms)}; --ask-model asks it something small")
        case.home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what it costs is noted there
        spending = Spending(case.home.spending, budget_of(wanted))
        return await _asked(Model(address.model, caller, terms, spending, seconds=wanted.seconds))


async def _asked(asked: Model) -> Finding:
    began = trio.current_time()
    try:
        text, cost = await asked.ask(LEAST_QUESTION)
    except (CallFailed, BudgetSpent, LedgerError) as error:
        return Finding("model", "failed", f"{asked.name} did not answer: {error}", "docs/llm.md says what to look at")
    took = f"{cost.tokens:,} tokens, ${cost.usd:.4f}, {trio.current_time() - began:.1f} s"
    return Finding("model", "ok", f"{asked.name} answers ({took}): {' '.join(text.split())[:60]}")


def _unreachable(url: str) -> str | None:
    """Why nobody can connect; None where somebody listens."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _price(terms: Terms) -> str:
    if terms.free:
        return "which costs nothing"
    if not terms.priced:
        return "whose price is not known, within the tokens that it may use"
    return f"${1e6 * (terms.usd_in or 0):g} for a million tokens read and ${1e6 * (terms.usd_out or 0):g} written"
