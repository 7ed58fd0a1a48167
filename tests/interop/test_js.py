"""A stranger's client, written in JavaScript from docs/protocol.md alone, is a full member of a swarm."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import trio

from agent.entries import NO_TASK, check
from gossip.events import PeerConnected, PeerLost, PeerRejected, PresenceArrived, RecordArrived
from gossip.identity import Identity, new_identity
from gossip.metrics import Reason, Role
from gossip.record import Record, pack_body, sign
from gossip.swarmkey import SwarmKey, new_swarm_key
from node.archive import to_line
from tests.e2e.processes import arnode, running_node
from tests.gossip import nodes
from tests.gossip.nodes import Node, now_ms
from tests.interop.javascript import Script, js_node, run_script, scripts
from tests.interop.vectors import typed
from trainer.recipe import BASELINE, recipe_id
from trainer.task import Task, load_task

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
    assert {event.via for event in node.all(RecordArrived)} == {"gossip"}
    kept = node.log.get(bytes.fromhex(published))
    assert kept is not None
    assert kept.author.hex() == js.heard[0]["author"]
    assert kept.value() == {"text": "from JavaScript"}

    await js.tell(
        "publish", {"kind": "presence", "task": TASK, "body": {"alias": "jane", "activity": "watching", "best": 1}}
    )
    await node.until(lambda: bool(node.all(PresenceArrived)))
    assert_content(node)


def assert_content(node: Node) -> None:
    """Nobody was refused, blamed or lost."""
    assert not node.all([PeerRejected, PeerLost])
    value = node.network.metrics.value
    assert not any(value("arnode_rejected_total", reason=reason) for reason in get_args(Reason))
    assert not any(value("arnode_syncs_total", role=role, outcome="broken") for role in get_args(Role))


async def test_a_node_that_dials_in_publishes_and_receives(tmp_path: Path, folder: Path) -> None:
    async with (
        nodes.node(tmp_path / "a", check=check) as node,
        js_node(folder, seed=SEED, gossip_only=True, dial=[node.network.addresses[0]]) as js,
    ):
        await exchange(node, js)


async def test_a_node_that_is_dialled_publishes_and_receives(tmp_path: Path, folder: Path) -> None:
    async with (
        js_node(folder, seed=SEED, gossip_only=True) as js,
        nodes.node(tmp_path / "a", check=check, bootstrap=[js.heard[0]["address"]]) as node,
    ):
        await exchange(node, js)


async def test_records_cross_a_client_that_speaks_gossip_alone(tmp_path: Path, folder: Path) -> None:
    async with (
        js_node(folder, seed=SEED, gossip_only=True) as js,
        nodes.node(tmp_path / "a", check=check, bootstrap=[js.heard[0]["address"]]) as a,
        nodes.node(tmp_path / "b", check=check, bootstrap=[js.heard[0]["address"]]) as b,
    ):
        await until_both_listen(a, js)
        await until_both_listen(b, js)
        said = insight(a.identity, "across")
        await a.network.publish(said)
        await b.until(lambda: bool(b.all(RecordArrived)))
        between = js.heard[0]["address"].rsplit("/", 1)[1]
        assert [event.peer for event in b.all(RecordArrived)] == [between]
        for node in (a, b):
            assert [event.peer.peer for event in node.all(PeerConnected)] == [between]
            assert_content(node)


async def test_a_node_finds_another_through_it(tmp_path: Path, folder: Path) -> None:
    async with (
        js_node(folder, seed=SEED) as js,
        nodes.node(tmp_path / "a", bootstrap=[js.heard[0]["address"]]) as a,
        nodes.node(tmp_path / "b", bootstrap=[js.heard[0]["address"]]) as b,
    ):
        for one, other in ((a, b), (b, a)):
            await one.until(lambda peer=other.peer, to=one: peer in {known.peer for known in to.network.peers()})  # type: ignore[misc]
        for node in (a, b):
            assert_content(node)


async def test_it_finds_a_node_through_another(tmp_path: Path, folder: Path) -> None:
    async with (
        nodes.node(tmp_path / "a") as a,
        nodes.node(tmp_path / "b", bootstrap=[a.network.addresses[0]]) as b,
        js_node(folder, seed=SEED, dial=[a.network.addresses[0]]) as js,
    ):
        await a.until(lambda: len(a.network.peers()) == 2)
        await js.tell("explore", a.peer)
        await js.until("connected", lambda event: event["peer"] == b.peer)


async def test_what_was_said_before_it_came_is_exchanged(tmp_path: Path, folder: Path) -> None:
    others = [new_identity() for _ in range(3)]
    old = [insight(others[number % 3], f"{number} " + number % 7 * 100 * "words ") for number in range(700)]
    async with (
        nodes.node(tmp_path / "a", check=check, records=old) as node,
        js_node(folder, seed=SEED, gossip_only=True) as js,
    ):
        for number in range(3):
            await js.tell("publish", {"kind": "insight", "task": TASK, "body": {"text": f"alone {number}"}})
        await js.tell("dial", node.network.addresses[0])
        await js.tell("sync", node.peer)
        synced = await js.until("synced")
        assert (synced["received"], synced["sent"]) == (len(old), 3)
        assert synced["ids"] == sorted(record_id.hex() for _, record_id in node.log.ids())
        assert {bytes.fromhex(record_id) for record_id in synced["ids"]} > {record.id for record in old}

        await js.tell("sync", node.peer)
        again = await js.until("synced", lambda event: event is not synced)
        assert (again["received"], again["sent"]) == (0, 0)
        assert_content(node)


async def test_a_node_that_leads_an_exchange_with_it_brings_both_up_to_date(tmp_path: Path, folder: Path) -> None:
    old = [insight(new_identity(), f"{number}") for number in range(300)]
    async with js_node(folder, seed=SEED) as js:
        for number in range(40):
            await js.tell("publish", {"kind": "insight", "task": TASK, "body": {"text": f"alone {number}"}})
        await js.until("published", lambda _: sum(told["event"] == "published" for told in js.heard) == 40)
        async with nodes.node(tmp_path / "a", check=check, records=old, bootstrap=[js.heard[0]["address"]]) as node:
            await node.until(lambda: len(node.log.ids()) == 340)
            first = await js.until("followed")
            assert (first["received"], first["sent"]) == (300, 40)
            assert_content(node)


async def test_a_running_node_shows_what_it_says(tmp_path: Path, folder: Path) -> None:
    home = tmp_path / "home"
    task = load_task("story-cpu")
    with running_node(home, "--no-research", "--alias", "ada") as ada:
        address = await trio.to_thread.run_sync(ada.listening)
        async with js_node(folder, seed=SEED, swarm="main", dial=[address]) as js:
            await js.until("graft", lambda event: event["topic"].endswith("/records"))
            for kind, about, body in (
                ("profile", NO_TASK, {"alias": "jane", "device_class": "cpu", "device": "a browser"}),
                ("result", task.fingerprint, result_body(task)),
            ):
                await js.tell("publish", {"kind": kind, "task": typed(about), "body": typed(body)})

            shown = await trio.to_thread.run_sync(ada.wait_for, lambda event: event["event"] == "result")
            assert (shown["own"], shown["verdict"], shown["who"]) == (False, "keep", "jane")

            await js.tell("sync", address.rsplit("/", 1)[1])
            held = (await js.until("synced"))["ids"]
        assert ada.stop() < 10
    board = json.loads(arnode("board", "--json", home=home).stdout)
    assert [discovery["change"] for discovery in board["discoveries"]] == [{"DEPTH": [task.knobs["DEPTH"].default, 5]}]
    exported = arnode("export", "--format", "jsonl", home=home).stdout
    assert sorted(json.loads(line)["id"] for line in exported.splitlines()) == held
    assert run_script(folder, "verify.mjs", exported).returncode == 0


def result_body(task: Task) -> dict[str, object]:
    """A discovery, as another client might report it."""
    change = {"DEPTH": [task.knobs["DEPTH"].default, 5]}
    machine = {"device_class": "cpu", "device": "a browser", "seconds": 20.0}
    return {
        "candidate": {"knobs": {"DEPTH": 5}, "files": {}},
        "parent": recipe_id(BASELINE),
        "change": change,
        "pairs": [{"seed": seed, "candidate": 1.5, "parent": 1.75} for seed in range(4)],
        "verdict": "keep",
        "effect": 0.25,
        "interval": [0.125, 0.375],
        "budget": {"kind": task.budget.kind, "amount": task.budget.amount},
        "integrity": "trusted",
        "program": bytes(32),
        "proposer": "a person",
        **machine,
    }


async def test_in_a_private_swarm_it_needs_the_key(tmp_path: Path, folder: Path) -> None:
    key, another = new_swarm_key().secret.hex(), new_swarm_key().secret.hex()
    async with (
        nodes.node(tmp_path / "a", check=check, key=SwarmKey(bytes.fromhex(key))) as node,
        js_node(folder, seed=bytes(32)) as without_key,
        js_node(folder, seed=bytes(32), key=another) as with_another,
    ):
        for js in (without_key, with_another):
            await js.tell("dial", node.network.addresses[0])
        async with js_node(folder, seed=SEED, key=key, gossip_only=True, dial=[node.network.addresses[0]]) as js:
            await exchange(node, js)
        for js in (without_key, with_another):
            await js.until("failed")
        assert len(node.all(PeerConnected)) == 1


async def test_a_node_with_a_swarm_key_dials_it(tmp_path: Path, folder: Path) -> None:
    key = new_swarm_key()
    async with (
        js_node(folder, seed=SEED, key=key.secret.hex(), gossip_only=True) as js,
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
