"""What a node does again and again, as small pieces of work: what `bench.counts` and `bench.instructions` count.

Everything follows from fixed seeds, so that a piece is the same work in every run and on every machine.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from agent.entries import check
from agent.judge import WORTH, judge
from agent.noise import PairedNoise
from agent.notebook import Notebook
from agent.search import Search
from bench.notebook import made_up
from bench.web import made_up_world, opened, views
from gossip import negentropy
from gossip.items import Items
from gossip.log import Log
from gossip.reconcile import MAX_MESSAGE, SPLIT
from gossip.record import Record, decode
from node.simulation.node import identity
from node.view.live import Live
from node.view.steps import Steps
from node.web.api import encoded

RECORDS: Final = 500  # few, as valgrind makes their preparation last
BATCH: Final = 100
COMMON: Final = 9_950
DIFFERENT: Final = 50  # on each side
MONTH_MS: Final = 30 * 24 * 3600 * 1000
VIEWS: Final = ("status", "board", "effects")
WARM: Final = 2
"""Repetitions before any is counted: what is made at the first call, and kept."""

Piece = Callable[[], object]
"""One repetition; another piece of the same kind at each call."""


@dataclass(frozen=True)
class HotPath:
    """prepare: makes what one repetition needs, in an empty folder; repeats: how often it is counted."""

    name: str
    prepare: Callable[[Path], Piece]
    repeats: int = 5


@lru_cache(maxsize=1)
def records() -> Sequence[Record]:
    """Results of a made-up swarm, of `story-cpu`."""
    return list(itertools.islice(made_up(made_up_world(), random.Random(1)), RECORDS + 5 * BATCH))


def checking(_: Path) -> Piece:
    told = iter(records())

    def piece() -> None:
        record = next(told)
        check(decode(record.raw, record.time_ms))

    return piece


def appending(folder: Path) -> Piece:
    log, told = Log(folder / "one-by-one"), iter(records())
    return lambda: log.append([next(told)])


def appending_many(folder: Path) -> Piece:
    log, told = Log(folder / "batches"), iter(records())
    return lambda: log.append(list(itertools.islice(told, BATCH)))


def adding(_: Path) -> Piece:
    notebook, told = _notebook()
    return lambda: notebook.add(next(told))


def proposing(_: Path) -> Piece:
    notebook, told = _notebook()
    search = Search(1)

    def piece() -> object:
        notebook.add(next(told))  # as between any two proposals
        return search.propose(notebook, notebook.task)

    return piece


def _notebook() -> tuple[Notebook, Iterator[Record]]:
    """A notebook of RECORDS results, and further ones."""
    world = made_up_world()
    notebook, told = Notebook(world.task, identity(1).author, "cpu"), iter(records())
    for record in itertools.islice(told, RECORDS):
        notebook.add(record)
    return notebook, told


def judging(_: Path) -> Piece:
    rng = random.Random(1)
    return lambda: judge([rng.gauss(1.0, 1.0) for _ in range(3)], PairedNoise(2**0.5, 2), minimum=WORTH)


def reconciling(_: Path) -> Piece:
    ours, theirs = differing_sets()
    return lambda: reconcile(ours, theirs)


def differing_sets() -> tuple[Items, Items]:
    """Two sets with COMMON items, and DIFFERENT that only one has."""
    rng = random.Random(1)

    def drawn(count: int) -> list[tuple[int, bytes]]:
        return [(rng.randrange(MONTH_MS), rng.randbytes(32)) for _ in range(count)]

    common = drawn(COMMON)
    return Items(common + drawn(DIFFERENT)), Items(common + drawn(DIFFERENT))


def reconcile(ours: Items, theirs: Items) -> list[bytes]:
    """Every message of a reconciliation, from both sides."""
    message: bytes | None = negentropy.initiate(ours, limit=MAX_MESSAGE, split=SPLIT)
    sent = []
    while message is not None:
        answer = negentropy.reply(theirs, message, limit=MAX_MESSAGE, split=SPLIT)
        sent += [message, answer]
        message = negentropy.compare(ours, answer, limit=MAX_MESSAGE, split=SPLIT).message
    return sent


def answering(view: str) -> Callable[[Path], Piece]:
    """An answer of the API after a record came in."""

    def prepare(folder: Path) -> Piece:
        state, told = opened(folder, list(records()[:RECORDS])), iter(records()[RECORDS:])
        live = Live("bench", False, True, 0, peers=list, mesh=lambda: 0, done=lambda: 0)
        answer = views(state, live, records()[-1].time_ms)[view]

        def piece() -> bytes:
            record = next(told)
            state.log.append([record])
            state.take(record)
            return encoded(_ended(answer()))

        return piece

    return prepare


def _ended(steps: Steps[Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


PATHS: Final[Sequence[HotPath]] = (
    HotPath("a record decoded and checked", checking),
    HotPath("a record appended to the log", appending),
    HotPath(f"{BATCH} records appended to the log", appending_many, repeats=3),
    HotPath(f"a reconciliation of {2 * DIFFERENT} differences in {COMMON + DIFFERENT:,}", reconciling, repeats=1),
    HotPath(f"a result added to a notebook of {RECORDS}", adding, repeats=20),
    HotPath(f"a proposal of the search, {RECORDS} results known", proposing),
    HotPath("a verdict of the judge", judging),
    *(HotPath(f"the API's {view} of {RECORDS} records", answering(view), repeats=3) for view in VIEWS),
)
