"""Virtual time: what happens when, and in which order."""

import signal
from collections.abc import Callable

import pytest
import trio

from node.simulation import virtual
from node.simulation.pulse import Pulse


def test_calls_come_in_the_order_of_their_moments_and_those_of_one_moment_as_they_were_entered() -> None:
    said: list[tuple[str, float]] = []

    def say(what: str) -> None:
        said.append((what, trio.current_time()))

    async def main() -> None:
        for what, moment in (("late", 3.0), ("first", 1.0), ("second", 1.0), ("past", 0.0)):
            virtual.at(moment, lambda what=what: say(what))
        await trio.sleep(2)
        say("a task")
        await trio.sleep(2)

    virtual.run(main, seed=1)
    assert said == [("past", 0.0), ("first", 1.0), ("second", 1.0), ("a task", 2.0), ("late", 3.0)]


def test_a_heartbeat_comes_every_second_in_its_phase_until_it_ends() -> None:
    beats: dict[str, list[float]] = {"short": [], "long": [], "apart": []}

    def beating(name: str, times: int) -> Callable[[], bool]:
        def beat() -> bool:
            beats[name].append(trio.current_time())
            return len(beats[name]) < times

        return beat

    async def main() -> None:
        pulse = Pulse()
        pulse.add(0.49, beating("short", 2))
        pulse.add(0.5, beating("long", 4))
        pulse.add(0.75, beating("apart", 1))
        await trio.sleep(60)
        pulse.add(60.5, beating("short", 3))
        await trio.sleep(60)

    virtual.run(main, seed=1)
    assert beats == {"short": [0.5, 1.5, 60.5], "long": [0.5, 1.5, 2.5, 3.5], "apart": [0.75]}


def test_a_deadline_that_a_call_brings_forward_is_met_in_time() -> None:
    async def main() -> float:
        with trio.CancelScope() as scope:
            virtual.at(1.0, lambda: setattr(scope, "deadline", 2.0))
            virtual.at(5.0, lambda: None)
            await trio.sleep_forever()
        return trio.current_time()

    assert virtual.run(main, seed=1) == 2.0


def test_what_a_call_raises_ends_the_run() -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        virtual.run(lambda: _enter_and_wait(fail), seed=1)


async def _enter_and_wait(call: Callable[[], None]) -> None:
    virtual.at(1.0, call)
    await trio.sleep(2)


def test_tasks_that_wait_for_what_cannot_happen_are_a_standstill() -> None:
    with pytest.raises(virtual.Standstill):
        virtual.run(trio.sleep_forever, seed=1)


def test_ctrl_c_ends_a_run_and_comes_without_the_nurseries_around_it() -> None:
    async def work() -> None:
        for _ in range(100_000):
            await trio.sleep(0.1)

    async def main() -> None:
        virtual.at(1.0, lambda: signal.raise_signal(signal.SIGINT))
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(work)
            inner.start_soon(work)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started without
    try:
        with pytest.raises(KeyboardInterrupt):
            virtual.run(main, seed=1)
    finally:
        signal.signal(signal.SIGINT, before)
