"""The simulated network on which the real gossip code runs."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol

from gossip.frames import open_conversation
from gossip.host import peer_id_of
from gossip.intake import Intake
from gossip.log import Log
from gossip.record import BadField, Record, pack_body, sign
from gossip.router import DEGREE_LOW, Router
from gossip.schedule import PERIOD_SECONDS
from gossip.sync import PROTOCOL, lead
from node.simulation import virtual
from node.simulation.fabric import Fabric, open_fabric
from node.simulation.gossiper import SWARM, Gossiper
from node.simulation.links import INTERNET, MEGABIT, Access, Internet
from tests.node.simulation.swarms import TASK, Node

EVERYBODY_KNOWS_SECONDS = 600.0  # by when history exchange has brought what gossip has lost


def simulate(
    size: int,
    play: Callable[[Fabric, list[Node]], Awaitable[None]],
    *,
    internet: Internet = INTERNET,
    seed: int = 1,
) -> Fabric:
    """Have `play` run in a swarm whose nodes have been up for half a minute; the network, after the run."""

    async def main() -> Fabric:
        async with open_fabric(internet, seed=seed) as network:
            nodes = [Node(number) for number in range(size)]
            for node in nodes:
                await node.up(network)
            await trio.sleep(30)
            await play(network, nodes)
            return network

    network = virtual.run(main, seed=seed)
    assert network.troubles == []
    return network


async def until(holds: Callable[[], bool], seconds: float) -> float:
    """Wait until something holds, at most so many virtual seconds; how long it took."""
    began = trio.current_time()
    with trio.fail_after(seconds):
        while not holds():  # noqa: ASYNC110 - many nodes, and time costs nothing
            await trio.sleep(0.25)
    return trio.current_time() - began


def agree(nodes: list[Node]) -> bool:
    return all(node.ids() == nodes[0].ids() for node in nodes)


def test_a_record_reaches_every_node_by_gossip_in_a_few_hops() -> None:
    async def play(network: Fabric, nodes: list[Node]) -> None:
        record = await nodes[3].say("found")
        presence = await nodes[4].say("busy", "presence")
        await trio.sleep(5)
        assert all(node.heard == [presence] for node in nodes if node.number == 3)
        assert all(record in node.heard and record.id in node.ids() for node in nodes if node.number != 3)
        found = list(network.traffic.deliveries())
        assert {d.receiver for d in found} == set(range(15)) - {3}
        assert not any(d.by_sync for d in found)
        assert 1 < max(d.hops for d in found) < 8
        assert 0.005 < min(d.seconds for d in found) < max(d.seconds for d in found) < 2

    network = simulate(15, play, internet=Internet(loss=0))
    assert network.traffic.lost == 0
    assert network.traffic.duplicates > 0


def test_with_loss_and_nodes_that_come_and_go_everybody_gets_everything() -> None:
    async def play(network: Fabric, nodes: list[Node]) -> None:
        for step in range(5):
            gone = nodes[4 * step : 4 * step + 2]
            for node in gone:
                await node.down()
            speaker = nodes[(4 * step + 13) % 30]
            await speaker.say(f"result {step}")
            await trio.sleep(5)
            for node in gone:
                await node.up(network)
        await until(lambda: agree(nodes) and len(nodes[0].ids()) == 5, EVERYBODY_KNOWS_SECONDS)

    network = simulate(30, play, internet=Internet(loss=0.05))
    assert network.traffic.lost > 0
    assert any(network.traffic.by_sync)


def test_a_partition_parts_the_swarm_and_both_halves_agree_after_it() -> None:
    async def play(network: Fabric, nodes: list[Node]) -> None:
        west, east = nodes[:4], nodes[4:]
        network.partition([range(4)])
        await trio.sleep(60)
        for half in (west, east):
            for node in half:
                await node.say("what we found")
        await trio.sleep(120)
        assert agree(west)
        assert agree(east)
        assert (len(west[0].ids()), len(east[0].ids())) == (4, 6)
        assert not west[0].ids() & east[0].ids()
        network.heal()
        await until(lambda: agree(nodes), EVERYBODY_KNOWS_SECONDS)
        assert len(nodes[0].ids()) == 10

    simulate(10, play)


def test_a_node_that_was_down_comes_up_with_its_log_and_catches_up_by_history_exchange() -> None:
    async def play(network: Fabric, nodes: list[Node]) -> None:
        before = await nodes[0].say("before")
        await trio.sleep(5)
        await nodes[5].down()
        assert all(node.member.peers() for node in nodes if node.member)
        missed = [await nodes[0].say(f"missed {number}") for number in range(30)]
        await trio.sleep(60)
        assert nodes[5].ids() == {before.id}
        await nodes[5].up(network)
        await until(lambda: nodes[5].ids() == nodes[0].ids(), 60)
        assert {record.id for record in nodes[5].heard} == {before.id, *(record.id for record in missed)}
        assert [d.by_sync for d in network.traffic.deliveries() if d.receiver == 5] == [False] + [True] * 30

    simulate(8, play)


def test_bytes_take_the_time_that_the_narrowest_line_needs() -> None:
    """A newcomer fetches 2 MB from one node with an uplink of 1 Mbit/s, then of 10."""

    def seconds(up: float) -> float:
        took = []

        async def play(network: Fabric, nodes: list[Node]) -> None:
            source, newcomer = nodes[0], Node(1)
            body = {"text": "x" * 20_000}
            records = [sign(source.signer, "insight", TASK, virtual.now_ms() - n, pack_body(body)) for n in range(100)]
            source.log.append(records)
            await newcomer.up(network)
            took.append(await until(lambda: len(newcomer.ids()) == 100, 300))
            assert network.traffic.sent(0) > 2_000_000

        access = Access(up * MEGABIT, 100 * MEGABIT, 0.005)
        simulate(1, play, internet=Internet(access=[access], loss=0))
        return took[0]

    slow, fast = seconds(1), seconds(10)
    assert 16 < slow < 24
    assert 1.6 < fast < 5


def test_a_peer_that_says_what_nodes_refuse_is_shut_out() -> None:
    async def play(network: Fabric, nodes: list[Node]) -> None:
        for number in range(30):
            await nodes[0].say(f"nonsense {number}", "hypothesis")
            await trio.sleep(1)
        await until(lambda: not nodes[0].member or not nodes[0].member.peers(), 60)
        assert all(not node.ids() for node in nodes[1:])

    def check(record: Record) -> None:
        if record.kind == "hypothesis":
            raise BadField("nobody wants it")

    async def main() -> None:
        async with open_fabric(seed=1, check=check) as network:
            nodes = [Node(number) for number in range(5)]
            for node in nodes:
                await node.up(network)
            await trio.sleep(30)
            await play(network, nodes)
            assert network.metrics.value("arnode_bans_total") >= 4

    virtual.run(main, seed=1)


STORY = """
import trio
from node.simulation import virtual
from node.simulation.fabric import open_fabric
from tests.node.simulation.swarms import Node

async def main():
    async with open_fabric(seed=SEED) as network:
        nodes = [Node(number) for number in range(10)]
        for node in nodes:
            await node.up(network)
        await trio.sleep(20)
        for step in range(4):
            await nodes[step].down()
            network.partition([range(5)] if step % 2 else [])
            await nodes[step + 4].say(f"result {step}")
            await nodes[step + 5].say("busy", "presence")
            await trio.sleep(20)
            await nodes[step].up(network)
        network.heal()
        await trio.sleep(60)
        return network.traffic.digest(), [len(node.heard) for node in nodes]

print(virtual.run(main, seed=SEED))
"""


def told(seed: int, hash_seed: str) -> str:
    """What a process prints that runs the same story."""
    program = STORY.replace("SEED", str(seed))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_seed_gives_the_same_run_in_any_process() -> None:
    first = told(1, "0")
    assert told(1, "12345") == first


def test_of_two_nodes_that_meet_the_one_who_dialled_leads_twice_and_the_other_need_not() -> None:
    async def play(network: Fabric, nodes: list[Node]) -> None:
        read = network.metrics.registry.get_sample_value
        ended = [read("arnode_syncs_total", {"role": role, "outcome": "done"}) for role in ("leader", "follower")]
        assert ended == [2, 2]

    simulate(2, play, internet=Internet(loss=0))


def test_after_an_hour_of_silence_a_mesh_that_lost_its_peers_is_whole_again_at_once() -> None:
    async def play(network: Fabric, nodes: list[Node]) -> None:
        await trio.sleep(3600)
        member = nodes[0].member
        assert isinstance(member, Gossiper)
        assert member.mesh.flood is not None
        router = member.mesh.flood.router
        assert isinstance(router, Router)
        gone = [node for node in nodes if peer_id_of(node.signer.author) in member.mesh.members()]
        assert len(gone) >= DEGREE_LOW
        for node in gone:
            await node.down()
        await until(router.is_whole, 3)
        await nodes[0].say("here")  # a heartbeat follows, and those that nobody needed are caught up
        await trio.sleep(1)
        assert router.beats == pytest.approx(trio.current_time(), abs=2)
        assert len(router.mcache.msgs) == 1, "what was said is as young as it is"

    simulate(12, play, internet=Internet(loss=0))


def test_who_is_visited_all_the_time_still_asks_others_every_other_time() -> None:
    """As a peer that visited would otherwise decide what is told to this node."""

    async def play(network: Fabric, nodes: list[Node]) -> None:
        host, visitor = [node.member.host for node in nodes if isinstance(node.member, Gossiper)]
        follow, led = visitor.handlers[PROTOCOL], []

        async def count(stream: INetStream) -> None:
            led.append(trio.current_time())
            await follow(stream)

        intake = Intake(visited_log, lambda record: None, virtual.now_ms, lambda event: None, lambda: 0)
        await trio.sleep(PERIOD_SECONDS)
        visitor.set_stream_handler(TProtocol(PROTOCOL), count)
        for _ in range(360):
            async with open_conversation(
                visitor, host.get_id(), TProtocol(PROTOCOL), budget=1 << 20, seconds=10
            ) as frames:
                await lead(frames, intake, SWARM, "visited")
            await trio.sleep(10)
        assert 3600 / PERIOD_SECONDS / 2.5 <= len(led) <= 3600 / PERIOD_SECONDS / 1.5

    visited_log = Log(Path(":memory:"))
    simulate(2, play, internet=Internet(loss=0))
