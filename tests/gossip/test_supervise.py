"""A task that fails is reported and runs again, less and less often; nothing vanishes silently."""

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from gossip.reasons import alone, reason_of
from gossip.supervise import FIRST_PAUSE, HEALTHY_AFTER, LONGEST_PAUSE, supervise


async def test_a_failing_task_runs_again_with_growing_pauses(autojump_clock: MockClock) -> None:
    starts: list[float] = []
    told: list[tuple[str, str]] = []

    async def fails() -> None:
        starts.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        raise OSError("no luck")

    with trio.move_on_after(600):
        await supervise("task", fails, lambda what, why: told.append((what, why)))
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert 0.5 * FIRST_PAUSE < pauses[0] < 1.5 * FIRST_PAUSE
    assert pauses[4] > 4 * pauses[0]
    assert max(pauses) < 1.5 * LONGEST_PAUSE
    assert len(starts) > 10
    assert set(told) == {("task", "OSError: no luck")}


async def test_the_pause_starts_over_after_a_healthy_time(autojump_clock: MockClock) -> None:
    ends: list[float] = []
    starts: list[float] = []

    async def lives_a_while() -> None:
        starts.append(trio.current_time())
        await trio.sleep(2 * HEALTHY_AFTER)
        ends.append(trio.current_time())
        raise OSError

    with trio.move_on_after(2000):
        await supervise("task", lives_a_while, lambda what, why: None)
    assert max(start - end for end, start in zip(ends, starts[1:], strict=False)) < 1.5 * FIRST_PAUSE


async def test_a_task_that_returns_is_done_and_a_fatal_error_is_raised() -> None:
    runs = 0

    async def once() -> None:
        nonlocal runs
        runs += 1
        await trio.lowlevel.checkpoint()

    await supervise("task", once, lambda what, why: None)
    assert runs == 1

    async def fails() -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await supervise("task", fails, lambda what, why: None, fatal=lambda: True)


def test_reasons_are_one_line_and_look_into_groups() -> None:
    group = ExceptionGroup("x", [ValueError("two\nlines"), ExceptionGroup("y", [KeyError(), ValueError("two\nlines")])])
    assert reason_of(group) == "ValueError: two lines; KeyError"


def test_an_error_alone_in_its_groups_is_found() -> None:
    inner = ValueError()
    two = ExceptionGroup("x", [inner, KeyError()])
    assert alone(ExceptionGroup("x", [ExceptionGroup("y", [inner])])) is inner
    assert alone(ExceptionGroup("x", [two])) is two
    assert alone(inner) is inner
