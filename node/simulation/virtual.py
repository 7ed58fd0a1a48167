"""Virtual time for a whole process: a run of an hour takes as long as its work, and the same seed gives the same run.

`run` is `trio.run` with a clock that jumps to the next deadline when nobody has anything to do, tasks taken in an order
that follows from the seed, and threads replaced by plain calls.
"""

import math
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import trio
from trio._core import _run as scheduler

START_MS: Final = 1_700_000_000_000

T = TypeVar("T")


class JumpingClock(trio.abc.Clock):
    """A clock that stands still while anybody has work, and then jumps to the next deadline. Starts at 0.

    stuck: called when no task can run and none waits for a moment in time. trio's MockClock jumps in two turns of the
    loop where this takes one.
    """

    def __init__(self, stuck: Callable[[], None]) -> None:
        self._now = 0.0
        self._stuck = stuck

    def start_clock(self) -> None:
        """Nothing to do: it stands."""

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """trio asks this when nothing can run before `deadline`."""
        if deadline == math.inf:
            self._stuck()
        else:
            self._now = max(self._now, deadline)
        return 0.0


class Standstill(Exception):
    """Virtual time cannot go on: no task can run, and none waits for a moment in time."""


def now_ms() -> int:
    """The virtual time as nodes read it: milliseconds since 1970."""
    return START_MS + int(trio.current_time() * 1000)


def run(main: Callable[[], Awaitable[T]], *, seed: int) -> T:
    """Call `main` under virtual time and return what it returns; `random` and trio's scheduler follow from `seed`.

    Raises Standstill, and what `main` raises.
    """
    scope = trio.CancelScope()

    async def until_stuck() -> T:
        with scope:
            return await main()
        raise Standstill("every task waits for something that will not happen")

    with _reproducible(seed):
        return trio.run(until_stuck, clock=JumpingClock(scope.cancel))


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    state = random.getstate()
    random.seed(seed)
    changed: dict[tuple[Any, str], Any] = {
        # tasks that became runnable at the same time lie in the order of their addresses until they are sorted
        (scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING"): True,
        (scheduler, "_r"): random.Random(seed),
        (trio.to_thread, "run_sync"): _call,
    }
    before = {(place, name): getattr(place, name) for place, name in changed}
    try:
        for (place, name), value in changed.items():
            setattr(place, name, value)
        yield
    finally:
        for (place, name), value in before.items():
            setattr(place, name, value)
        random.setstate(state)


async def _call(work: Callable[..., T], *args: Any, **_options: Any) -> T:
    """In the place of `trio.to_thread.run_sync`: threads end in no order that could be repeated."""
    await trio.lowlevel.checkpoint()
    return work(*args)
