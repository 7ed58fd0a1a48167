"""Many nodes that know one address: the network that they become, without making that address a hub."""

from pathlib import Path

import pytest
import trio

from gossip.peers import WANTED_PEERS
from gossip.tuning import Tuning
from tests.gossip.nodes import Node, field_of_nodes

TUNING = Tuning(heartbeat=0.5)
FEW = 4
LEAST_MESH = 3


def connected_without(nodes: list[Node], absent: Node) -> bool:
    """Whether the others form one network by connections among themselves."""
    edges = {
        each.peer: {peer.peer for peer in each.network.peers()} - {absent.peer} for each in nodes if each is not absent
    }
    reached: set[str] = set()
    waiting = [next(iter(edges))]
    while waiting:
        peer = waiting.pop()
        if peer not in reached:
            reached.add(peer)
            waiting += edges.get(peer, ())
    return reached == set(edges)


def mesh_of(node: Node) -> set[str]:
    flood, topic = node.network._mesh.flood, node.network._mesh.records
    return {str(peer) for peer in flood.router.mesh.get(topic, ())} if flood else set()  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [12, pytest.param(30, marks=pytest.mark.soak)])
async def test_nodes_joined_through_one_bootstrap_are_a_mesh_of_which_it_is_no_hub(count: int, tmp_path: Path) -> None:
    async with field_of_nodes(tmp_path) as field:
        first = await field.start("first", tuning=TUNING)
        others = [
            await field.start(f"{number}", bootstrap=first.network.addresses, tuning=TUNING)
            for number in range(count - 1)
        ]
        everyone = [first, *others]
        wanted = min(WANTED_PEERS, count - 1)
        with trio.fail_after(60):
            for each in everyone:
                await each.until(lambda each=each: len(each.network.peers()) >= wanted, 60)  # type: ignore[misc]
                await each.until(lambda each=each: len(mesh_of(each)) >= LEAST_MESH, 60)  # type: ignore[misc]
        for each in others:
            assert len([peer for peer in each.network.peers() if peer.peer != first.peer]) >= FEW
        assert connected_without(everyone, first)
        sizes = [len(mesh_of(each)) for each in everyone]
        print("connections", [len(each.network.peers()) for each in everyone], "mesh", sizes)
        assert sizes[0] <= 12
        assert sizes[0] <= 3 * sum(sizes) / len(sizes)
        said = await others[0].say()
        for each in everyone:
            await each.until(lambda each=each: each.log.has(said.id))  # type: ignore[misc]
        await field.stop("first")
        said = await others[-1].say()
        for each in others:
            await each.until(lambda each=each: each.log.has(said.id))  # type: ignore[misc]
