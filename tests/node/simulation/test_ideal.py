"""The simplest simulated network, and virtual time."""

import random
import time

import pytest
import trio

from node.simulation import virtual
from node.simulation.network import open_ideal
from tests.node.simulation.swarms import Node


def test_an_hour_passes_at_once_and_clocks_agree() -> None:
    async def main() -> tuple[float, int]:
        await trio.sleep(3600)
        return trio.current_time(), virtual.now_ms() - virtual.START_MS

    began = time.monotonic()
    assert virtual.run(main, seed=1) == (3600, 3_600_000)
    assert time.monotonic() - began < 60


def test_who_waits_for_nothing_is_told_so() -> None:
    with pytest.raises(virtual.Standstill):
        virtual.run(trio.sleep_forever, seed=1)


def test_tasks_take_their_turns_in_one_order_and_nothing_is_left_changed() -> None:
    async def main() -> list[float]:
        order = [random.random(), time.time()]

        async def note(number: int) -> None:
            await trio.sleep(1)
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(note, number)
        return [*order, time.time()]

    before = random.getstate(), trio.to_thread.run_sync, trio.sleep, time.time
    found = virtual.run(main, seed=1)
    assert found == virtual.run(main, seed=1)
    assert found[0] != virtual.run(main, seed=2)[0]
    assert (found[1], found[-1]) == (virtual.START_MS / 1000, virtual.START_MS / 1000 + 1)
    assert (random.getstate(), trio.to_thread.run_sync, trio.sleep, time.time) == before


def test_what_a_call_raises_comes_out() -> None:
    async def main() -> None:
        virtual.at(5, lambda: {}["nothing"])
        await trio.sleep(10)

    with pytest.raises(KeyError):
        virtual.run(main, seed=1)


def test_a_record_reaches_every_node_after_the_latency_and_is_one_hop_away() -> None:
    async def main() -> None:
        async with open_ideal(0.25) as network:
            nodes = [Node(number) for number in range(3)]
            for node in nodes:
                await node.up(network)
            await trio.sleep(1)
            record = await nodes[0].say("it works")
            await trio.sleep(0.3)
            assert [node.heard for node in nodes] == [[], [record], [record]]
            assert all(node.log.has(record.id) for node in nodes)
            found = list(network.traffic.deliveries())
            assert [(d.publisher, d.receiver, d.hops, round(d.seconds, 6)) for d in found] == [
                (0, 1, 1, 0.25),
                (0, 2, 1, 0.25),
            ]
            assert network.traffic.sent(0) == 2 * len(record.raw)

    virtual.run(main, seed=1)


def test_who_was_cut_off_or_down_catches_up() -> None:
    async def main() -> None:
        async with open_ideal() as network:
            nodes = [Node(number) for number in range(4)]
            for node in nodes:
                await node.up(network)
            await trio.sleep(1)
            network.partition([[0, 1]])
            await nodes[3].down()
            await nodes[0].say("here")
            await nodes[2].say("there")
            await trio.sleep(1)
            assert [len(node.ids()) for node in nodes] == [1, 1, 1, 0]
            assert nodes[0].ids() == nodes[1].ids() != nodes[2].ids()
            await nodes[3].up(network)
            await trio.sleep(1)
            assert nodes[3].ids() == nodes[2].ids()
            network.heal()
            await trio.sleep(1)
            assert all(len(node.ids()) == 2 and node.ids() == nodes[0].ids() for node in nodes)

    virtual.run(main, seed=1)


def test_presence_is_heard_and_not_kept() -> None:
    async def main() -> None:
        async with open_ideal() as network:
            nodes = [Node(number) for number in range(2)]
            for node in nodes:
                await node.up(network)
            record = await nodes[0].say("busy", "presence")
            await trio.sleep(1)
            assert nodes[1].heard == [record]
            assert not nodes[1].ids()
            assert not len(network.traffic.record)

    virtual.run(main, seed=1)
