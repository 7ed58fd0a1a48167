"""Events are told in order; noise is bounded, records are not lost."""

from itertools import pairwise

import trio
from trio.testing import wait_all_tasks_blocked

from gossip.events import MAX_NOISE, Event, EventQueue, RecordArrived, Trouble
from gossip.identity import new_identity
from tests.gossip.nodes import record


async def test_the_oldest_noise_goes_first_and_records_never() -> None:
    queue = EventQueue()
    arrived = [RecordArrived(record(new_identity()), "sync", "p") for _ in range(3)]
    for number in range(3 * MAX_NOISE):
        if number % MAX_NOISE == 0:
            queue.put(arrived[number // MAX_NOISE])
        queue.put(Trouble("x", f"{number}"))
    assert queue.records_waiting == 3
    told: list[Event] = [await queue.receive() for _ in range(MAX_NOISE + 3)]
    assert [event for event in told if isinstance(event, RecordArrived)] == arrived
    numbers = [int(event.why) for event in told if isinstance(event, Trouble)]
    assert numbers[0] == 2 * MAX_NOISE
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
    assert queue.records_waiting == 0


async def test_a_reader_waits_for_what_comes() -> None:
    queue = EventQueue()
    told: list[Event] = []

    async def read() -> None:
        while True:
            told.append(await queue.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for number in range(3):
            await wait_all_tasks_blocked()
            queue.put(Trouble("x", f"{number}"))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert told == [Trouble("x", f"{number}") for number in range(3)]
