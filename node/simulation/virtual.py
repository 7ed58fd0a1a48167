"""Virtual time for a whole process: an hour takes as long as its work, and the same seed gives the same run.

`run` is `trio.run` with a clock that jumps to whatever comes next when nobody has anything to do. Tasks take turns in
the order of their age; threads are plain calls; `time` and `random` follow the clock and the seed; and peer ids hash to
the same in every process, so that sets of them have one order. Nothing else of a run may depend on chance: not on the
order of a set of other things, nor on `id` or `hash`.
"""

import gc
import heapq
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any, Final, TypeVar
from zlib import crc32

import trio
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import trio_manager, trio_tasks
from libp2p.tools.anyio_service.trio_manager import TrioManager
from libp2p.tools.timed_cache.base_timed_cache import BaseTimedCache
from trio._core import _run as scheduler

from gossip.reasons import alone

START_MS: Final = 1_700_000_000_000
TICKS_PER_SECOND: Final = 512  # what happens in one tick shares a turn of trio's loop; a power of two is exact
LOOK_EVERY: Final = 256  # turns of the loop; nothing is read from outside, but Ctrl-C comes that way
GARBAGE: Final = (3_000_000, 20, 100)  # thousands of nodes are millions of objects, and few of them garbage in a cycle

T = TypeVar("T")


class Standstill(Exception):
    """Virtual time cannot go on: no task can run, and none waits for a moment in time."""


class Clock(trio.abc.Clock):
    """A clock that stands still while anybody has work, and calls what was entered for a moment when that comes.

    Entered calls are what makes it fast: a task that wakes up from a deadline costs ten times as much. failed: called
    with an exception that such a call raised, or with Standstill.
    """

    def __init__(self, failed: Callable[[Exception], object]) -> None:
        self._tick = 0
        self._now = 0.0
        self._entered: list[tuple[int, int, Callable[[], object]]] = []
        self._order = count()
        self._failed = failed

    def start_clock(self) -> None:
        """Nothing to do: it stands."""

    def current_time(self) -> float:
        return self._now

    def enter(self, moment: float, call: Callable[[], object]) -> None:
        """Have `call` called in the first tick that is not before `moment`, in seconds."""
        tick = max(self._tick, math.ceil(moment * TICKS_PER_SECOND))
        heapq.heappush(self._entered, (tick, next(self._order), call))

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """trio asks this when nothing can run before `deadline`."""
        runner = scheduler.GLOBAL_RUN_CONTEXT.runner
        while not runner.runq:  # a turn of trio's loop costs more than most calls, and many make nobody run
            if not self._call_next(deadline):
                break
            deadline = runner.deadlines.next_deadline()
        return 0.0

    def _call_next(self, deadline: float) -> bool:
        """Go on to what comes next and make its calls; False if that is the deadline."""
        entered = self._entered
        tick = math.ceil(deadline * TICKS_PER_SECOND) if deadline < math.inf else None
        if not entered or (tick is not None and tick < entered[0][0]):
            if tick is None:
                self._failed(Standstill("every task waits for something that will not happen"))
            else:
                self._go_on(tick)
            return False
        self._go_on(entered[0][0])
        while entered and entered[0][0] <= self._tick:
            try:
                heapq.heappop(entered)[2]()
            except Exception as error:  # noqa: BLE001 - told to whoever runs this
                self._failed(error)
        return tick != self._tick

    def _go_on(self, tick: int) -> None:
        if tick > self._tick:
            self._tick = tick
            self._now = tick / TICKS_PER_SECOND


_clocks: Final[list[Clock]] = []  # the one of the run that is under way


def now_ms() -> int:
    """The virtual time as nodes read it: milliseconds since 1970."""
    return START_MS + int(trio.current_time() * 1000)


def at(moment: float, call: Callable[[], object]) -> None:
    """Have `call`, which must not block, called at a moment of virtual time, in seconds; at once if that is past.

    Of one moment, in the order they were entered. It is called outside of any task: it may set events and start tasks.
    """
    _clocks[-1].enter(moment, call)


async def sleep(seconds: float) -> None:
    """In the place of `trio.sleep`, which makes a deadline and a cancellation of it."""
    if seconds <= 0:
        await trio.lowlevel.checkpoint()
        return
    task = trio.lowlevel.current_task()
    asleep = True

    def wake() -> None:
        nonlocal asleep
        if asleep:
            asleep = False
            trio.lowlevel.reschedule(task)

    def abort(_: object) -> trio.lowlevel.Abort:
        nonlocal asleep
        asleep = False
        return trio.lowlevel.Abort.SUCCEEDED

    at(trio.current_time() + seconds, wake)
    await trio.lowlevel.wait_task_rescheduled(abort)


def run(main: Callable[[], Awaitable[T]], *, seed: int) -> T:
    """Call `main` under virtual time and return what it returns; `random` follows from `seed`.

    One run at a time in a process. Raises Standstill, and what `main` or a call entered by `at` raises.
    """
    scope = trio.CancelScope()
    failures: list[Exception] = []

    def failed(error: Exception) -> None:
        failures.append(error)
        scope.cancel()

    async def until_failure() -> T:
        with scope:
            return await main()
        raise failures[0]

    clock = Clock(failed)
    with _reproducible(clock, seed):
        try:
            return trio.run(until_failure, clock=clock)
        except BaseExceptionGroup as group:
            raise alone(group)  # noqa: B904 - the same error, or Ctrl-C, without the nurseries around it


class _InOrder(random.Random):
    """In the place of trio's own randomness, by which it shuffles the tasks that can run."""

    def shuffle(self, x: Any) -> None:
        """Leave them in the order of their age, the youngest first."""


def _rarely(get_events: Callable[..., Any]) -> Callable[..., Any]:
    """In the place of a system call at each turn."""
    turns = count()
    return lambda *args: [] if next(turns) % LOOK_EVERY else get_events(*args)


@contextmanager
def _reproducible(clock: Clock, seed: int) -> Iterator[None]:
    if _clocks:
        raise RuntimeError("one run under virtual time at a time: their clocks would be mixed up")
    state = random.getstate()
    io: Any = vars(scheduler)["TheIOManager"]
    random.seed(seed)
    changed: Sequence[tuple[Any, str, Any]] = [
        # tasks that became runnable at the same time lie in the order of their addresses until they are sorted
        (scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        (scheduler, "_r", _InOrder()),
        (io, "get_events", _rarely(io.get_events)),
        (trio, "sleep", sleep),
        (trio, "current_time", clock.current_time),
        (trio.to_thread, "run_sync", _call),
        (time, "time", lambda: START_MS / 1000 + clock.current_time()),
        (time, "time_ns", lambda: START_MS * 1_000_000 + int(clock.current_time() * 1e9)),
        (time, "monotonic", clock.current_time),
        (ID, "__hash__", _hash),
        (BaseTimedCache, "__init__", _without_thread),
        (BaseTimedCache, "stop", lambda _: None),
        # a service of libp2p looks through all its tasks for the parent of a new one, and keeps them in sets of UUIDs
        (TrioManager, "_find_parent_task", lambda _, __: None),
        (trio_manager, "get_task_name", lambda *_: "a task"),  # which looks for names and types to show them
        (trio_tasks, "uuid", SimpleNamespace(uuid4=count().__next__)),
    ]
    _clocks.append(clock)
    thresholds = gc.get_threshold()
    gc.set_threshold(*GARBAGE)
    try:
        with replaced(changed):
            yield
    finally:
        _clocks.clear()
        gc.set_threshold(*thresholds)
        random.setstate(state)


@contextmanager
def replaced(changed: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    """While the block lasts, what is at these places by these names is something else."""
    before = [(place, name, getattr(place, name)) for place, name, _ in changed]
    try:
        for place, name, value in changed:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)


async def _call(work: Callable[..., T], *args: Any, **_options: Any) -> T:
    """In the place of `trio.to_thread.run_sync`: threads end in no order that could be repeated."""
    await trio.lowlevel.checkpoint_if_cancelled()
    return work(*args)


def _hash(peer: ID) -> int:
    try:
        known: int = peer.__dict__["_crc32"]
    except KeyError:
        known = peer.__dict__["_crc32"] = crc32(peer._bytes)
    return known


class _NoLock:
    """In the place of a lock: all happens in one thread."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def _without_thread(cache: BaseTimedCache, ttl: int, sweep_interval: int = 60) -> None:
    """In the place of a constructor that starts a thread to forget what is old."""
    cache.ttl, cache.sweep_interval, cache.cache = ttl, sweep_interval, {}
    vars(cache)["lock"] = _NoLock()
