"""A stranger's client, written in JavaScript from docs/protocol.md alone, is a full member of a swarm."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.entries import check
from gossip.events import PeerConnected, PeerLost, PeerRejected, PresenceArrived, RecordArrived
from gossip.identity import Identity, new_identity
from gossip.record import Record, pack_body, sign
from gossip.swarmkey import new_swarm_key
from node.archive import to_line
from tests.gossip import nodes
from tests.gossip.nodes import Node, now_ms
from tests.interop.javascript import Script, js_node, run_script, scripts

SEED = bytes(range(32))
TASK = {"hex": "11" * 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the JavaScript scripts can run."""
    return scripts(tmp_path_factory.mktemp("interop"))


def insight(who: Identity, text: str) -> Record:
    return sign(who, "insight", bytes(32), now_ms(), pack_body({"text": text, "evidence": []}))


async def until_both_listen(node: Node, js: Script) -> None:
    """Wait until gossip of each reaches the other."""
    await node.until_heard_by()
    await js.until("subscribed", lambda event: event["peer"] == node.peer and len(event["topics"]) == 2)


async def exchange(node: Node, js: Script) -> None:
    """Each publishes a record and a presence, and the other takes them."""
    await until_both_listen(node, js)
    said = insight(node.identity, "from Python")
    node.log.append([said])
    await node.network.publish(said)
    heard = await js.until("record", lambda event: event["id"] == said.id.hex())
    assert heard["raw"] == said.raw.hex()
    assert heard["body"] == {"evidence": [], "text": "from Python"}

    await js.tell("publish", {"kind": "insight", "task": TASK, "body": {"text": "from JavaScript"}})
    published = (await js.until("published"))["id"]
    await node.until(lambda: any(event.record.id.hex() == published for event in node.all(RecordArrived)))
    kept = node.log.get(bytes.fromhex(published))
    assert kept is not None
    assert kept.author.hex() == js.heard[0]["author"]
    assert kept.value() == {"text": "from JavaScript"}

    await js.tell(
        "publish", {"kind": "presence", "task": TASK, "body": {"alias": "jane", "activity": "watching", "best": 1}}
    )
    await node.until(lambda: bool(node.all(PresenceArrived)))
    assert not node.all([PeerRejected, PeerLost])


async def test_a_node_that_dials_in_publishes_and_receives(tmp_path: Path, folder: Path) -> None:
    async with (
        nodes.node(tmp_path / "a", check=check) as node,
        js_node(folder, seed=SEED, dial=[node.network.addresses[0]]) as js,
    ):
        await exchange(node, js)


async def test_a_node_that_is_dialled_publishes_and_receives(tmp_path: Path, folder: Path) -> None:
    async with (
        js_node(folder, seed=SEED) as js,
        nodes.node(tmp_path / "a", check=check, bootstrap=[js.heard[0]["address"]]) as node,
    ):
        await exchange(node, js)


async def test_records_cross_it_between_nodes_that_are_not_connected(tmp_path: Path, folder: Path) -> None:
    async with (
        js_node(folder, seed=SEED) as js,
        nodes.node(tmp_path / "a", check=check, bootstrap=[js.heard[0]["address"]]) as a,
    ):
        one_peer = nodes.Tuning(max_connections=1, heartbeat=0.3)
        async with nodes.node(tmp_path / "b", check=check, bootstrap=[js.heard[0]["address"]], tuning=one_peer) as b:
            await until_both_listen(a, js)
            await until_both_listen(b, js)
            said = insight(a.identity, "across")
            await a.network.publish(said)
            await b.until(lambda: b.log.get(said.id) is not None)
            arrived = next(event for event in b.all(RecordArrived) if event.record.id == said.id)
            assert arrived.peer == js.heard[0]["address"].rsplit("/", 1)[1]
            assert [event.peer.peer for event in b.all(PeerConnected)] == [arrived.peer]


async def test_a_node_finds_another_through_it(tmp_path: Path, folder: Path) -> None:
    async with (
        js_node(folder, seed=SEED) as js,
        nodes.node(tmp_path / "a", bootstrap=[js.heard[0]["address"]]) as a,
        nodes.node(tmp_path / "b", bootstrap=[js.heard[0]["address"]]) as b,
    ):
        for one, other in ((a, b), (b, a)):
            await one.until(lambda peer=other.peer, to=one: peer in {known.peer for known in to.network.peers()})  # type: ignore[misc]
        assert not [event for node in (a, b) for event in node.all(PeerRejected)]


async def test_it_finds_a_node_through_another(tmp_path: Path, folder: Path) -> None:
    async with (
        nodes.node(tmp_path / "a") as a,
        nodes.node(tmp_path / "b", bootstrap=[a.network.addresses[0]]) as b,
        js_node(folder, seed=SEED, dial=[a.network.addresses[0]]) as js,
    ):
        await a.until(lambda: len(a.network.peers()) == 2)
        await js.tell("explore", a.peer)
        await js.until("connected", lambda event: event["peer"] == b.peer)


async def test_in_a_private_swarm_it_needs_the_key(tmp_path: Path, folder: Path) -> None:
    key, another = new_swarm_key(), new_swarm_key()
    async with nodes.node(tmp_path / "a", check=check, key=key) as node:
        async with js_node(folder, seed=SEED, key=key.secret.hex(), dial=[node.network.addresses[0]]) as js:
            await exchange(node, js)
        for wrong in ({}, {"key": another.secret.hex()}):
            async with js_node(folder, seed=bytes(32), **wrong) as js:
                await js.tell("dial", node.network.addresses[0])
                await js.until("failed")
        assert len(node.all(PeerConnected)) == 1


async def test_a_node_with_a_swarm_key_dials_it(tmp_path: Path, folder: Path) -> None:
    key = new_swarm_key()
    async with (
        js_node(folder, seed=SEED, key=key.secret.hex()) as js,
        nodes.node(tmp_path / "a", check=check, key=key, bootstrap=[js.heard[0]["address"]]) as node,
    ):
        await exchange(node, js)


@pytest.mark.parametrize("script", ["verify.mjs", "verify.py"])
def test_thirty_lines_verify_what_the_network_delivers(script: str, folder: Path) -> None:
    good = [insight(new_identity(), f"text {number}") for number in range(3)]
    forged = base64.b64encode(good[0].raw[:-1] + bytes([good[0].raw[-1] ^ 1])).decode()
    lines = [to_line(record) for record in good]

    def run(text: str) -> subprocess.CompletedProcess[str]:
        if script == "verify.mjs":
            return run_script(folder, script, text)
        here = Path(__file__).parent / script
        return subprocess.run(
            [sys.executable, "-I", here], input=text, capture_output=True, text=True, timeout=60, check=False
        )

    done = run("\n".join(lines))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [record.id.hex() for record in good]
    done = run("\n".join([*lines, json.dumps({"record": forged})]))
    assert done.returncode == 1
    assert [line.startswith("FALSE") for line in done.stdout.splitlines()] == [False, False, False, True]
