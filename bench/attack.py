"""What a flood costs the node that it hits, and how long honest records are delayed meanwhile.

    python -m bench.attack [MESSAGES]

The victim, an honest node that says ten records a second, and the attacker are processes of their own. For each attack
the victim's processor time is read by psutil over the flood and over as long a time without one, which is taken off.
The delay of a record is from its time, stamped just before it is published, to the victim's event.

One peer sends MESSAGES (10,000 unless told otherwise) as fast as it can, until it is cut off; then as many come from
peers with ever new keys. The victim treats the attacker's loopback address as a public one.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.pb import rpc_pb2

from bench.figures import figure, machine
from gossip import upstream
from gossip.clock import now_ms
from gossip.door import PUBLIC
from gossip.events import PeerRejected, RecordArrived
from gossip.host import parse_peer_address
from gossip.identity import new_identity
from gossip.log import Log
from gossip.network import Network, open_network
from gossip.record import pack_body, sign
from gossip.stamp import Stamps
from gossip.tuning import Tuning
from tests.gossip import bare
from tests.gossip.hostile import INVALID, RECORDS, identity_of, ignore_the_window, meshsub, signed_message
from tests.gossip.nodes import record

LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
RATE: Final = 10
REST_SECONDS: Final = 3.0
LONGEST_SECONDS: Final = 60.0
AT_ONCE: Final = 20
Told = dict[str, Any]
Make = Callable[[BasicHost], rpc_pb2.Message]
Attack = Callable[[str, Make, int], Awaitable[float]]


# ---- the processes ----


async def live(role: str, folder: Path, bootstrap: list[str]) -> None:
    """A node that answers each line on stdin with what it has measured since the last."""
    me, stamps = new_identity(), Stamps()
    tuning = Tuning(local=PUBLIC) if role == "victim" else Tuning()
    delays: list[float] = []
    bans = 0

    async def say(network: Network) -> None:
        for number in range(10**9):
            body = pack_body({"n": number, "text": "x" * 900})
            new = sign(me, "insight", bytes(32), stamps.next(now_ms()), body)
            await trio.to_thread.run_sync(log.append, [new])
            await network.publish(new)
            await trio.sleep(1 / RATE)

    async def listen(network: Network) -> None:
        nonlocal bans
        async for event in network.events:
            bans += isinstance(event, PeerRejected)
            if isinstance(event, RecordArrived) and event.record.kind == "insight":
                delays.append(now_ms() - event.record.time_ms)

    with Log(folder / "log") as log:
        async with (
            open_network(
                me, log, swarm="test", listen=[LISTEN], bootstrap=bootstrap, check=lambda record: None, tuning=tuning
            ) as network,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(listen, network)
            if role == "honest":
                nursery.start_soon(say, network)
            tell(address=network.addresses[0])
            while await trio.to_thread.run_sync(sys.stdin.readline):
                tell(delays=delays, bans=bans, peers=len(network.peers()))
                delays = []
            nursery.cancel_scope.cancel()


def tell(**told: object) -> None:
    print(json.dumps(told), flush=True)


@dataclass
class Process:
    """One of them, from outside."""

    popen: subprocess.Popen[str]

    def ask(self) -> Told:
        assert self.popen.stdin is not None
        self.popen.stdin.write("?\n")
        self.popen.stdin.flush()
        return self.told()

    def told(self) -> Told:
        assert self.popen.stdout is not None
        told: Told = json.loads(self.popen.stdout.readline())
        return told

    def memory(self) -> int:
        rss: int = psutil.Process(self.popen.pid).memory_info().rss
        return rss

    def cpu(self) -> float:
        times = psutil.Process(self.popen.pid).cpu_times()
        return times.user + times.system


def start(role: str, folder: Path, *bootstrap: str) -> Process:
    folder.mkdir()
    command = [sys.executable, "-m", "bench.attack", role, str(folder), *bootstrap]
    return Process(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))


# ---- the attacks ----


async def flood(host: BasicHost, peer: ID, rpcs: Iterable[bytes]) -> None:
    """Send until the connection ends, on new streams as they are ended."""
    stream = None
    for rpc in rpcs:
        try:
            stream = stream or await meshsub(host, peer)
            await stream.write(rpc)
        except BaseLibp2pError:
            stream = None
            if not host.get_connected_peers():
                return


def rpcs(messages: list[rpc_pb2.Message]) -> list[bytes]:
    return [
        bare.framed(rpc_pb2.RPC(publish=messages[start : start + AT_ONCE]))
        for start in range(0, len(messages), AT_ONCE)
    ]


async def from_one_peer(address: str, make: Make, messages: int) -> float:
    """Seconds that the flood took."""
    peer, target = parse_peer_address(address)
    async with bare.running(bare.stranger()) as host:
        ready = rpcs([make(host) for _ in range(messages)])
        await host.connect(PeerInfo(peer, [target]))
        started = time.perf_counter()
        with trio.move_on_after(LONGEST_SECONDS):
            await flood(host, peer, ready)
        return time.perf_counter() - started


async def from_new_peers(address: str, make: Make, messages: int) -> float:
    """As many messages, each AT_ONCE of them under a new key."""
    peer, target = parse_peer_address(address)
    started = time.perf_counter()
    with trio.move_on_after(LONGEST_SECONDS):
        for _ in range(messages // AT_ONCE):
            async with bare.running(bare.stranger()) as host:
                try:
                    await host.connect(PeerInfo(peer, [target]))
                    await flood(host, peer, rpcs([make(host) for _ in range(AT_ONCE)]))
                    await trio.sleep(0.05)
                except BaseLibp2pError:
                    await trio.sleep(0.02)
    return time.perf_counter() - started


async def beyond_the_window(address: str, make: Make, messages: int) -> float:
    """300 MB on one stream in frames of 60 kB, whatever the window allows."""
    peer, target = parse_peer_address(address)
    started = time.perf_counter()
    async with bare.running(bare.stranger()) as host:
        await host.connect(PeerInfo(peer, [target]))
        with trio.move_on_after(LONGEST_SECONDS):
            await ignore_the_window(host, peer, "/ipfs/ping/1.0.0", 5000)
    return time.perf_counter() - started


def replayed() -> Make:
    """One true record in ever new messages."""
    first: list[rpc_pb2.Message] = []

    def make(host: BasicHost) -> rpc_pb2.Message:
        if not first:
            first.append(signed_message(host, RECORDS, record(identity_of(host)).raw))
        return signed_message(host, RECORDS, first[0].data)

    return make


def true_records(host: BasicHost) -> rpc_pb2.Message:
    return signed_message(host, RECORDS, record(identity_of(host), "hypothesis", text="x" * 900).raw)


def measure(name: str, base: Path, attack: Attack, make: Make, messages: int) -> None:
    """Print its figures."""
    folder = base / name.replace(" ", "-").replace(",", "")
    folder.mkdir()
    victim = start("victim", folder / "victim")
    address = victim.told()["address"]
    honest = start("honest", folder / "honest", address)
    honest.told()
    try:
        time.sleep(REST_SECONDS)
        victim.ask()
        before, memory = victim.cpu(), victim.memory()
        seconds = trio.run(attack, address, make, messages)
        time.sleep(1.0)
        used, grown, during = victim.cpu() - before, victim.memory() - memory, victim.ask()
        time.sleep(REST_SECONDS)
        quiet_from, quiet_cpu = time.perf_counter(), victim.cpu()
        time.sleep(REST_SECONDS)
        quiet = (victim.cpu() - quiet_cpu) / (time.perf_counter() - quiet_from)
        delays = sorted(during["delays"]) or [0.0]
        print(figure(f"{name}, of the victim", "s of CPU", [max(0.0, used - quiet * (seconds + 1))]))
        print(figure("… flood over after", "s", [seconds]))
        print(figure("… bans", "", [during["bans"]]))
        print(figure("… delay of honest records", "ms", delays))
        print(figure("… memory", "MB", [grown / 1e6]), flush=True)
    finally:
        for process in (honest, victim):
            process.popen.communicate(timeout=20)


def main() -> None:
    if sys.argv[1:2] in (["victim"], ["honest"]):
        trio.run(live, sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
        return
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    upstream.install()  # the attacker's library is silent, too
    print(machine(), flush=True)
    print(f"{messages} messages, {os.cpu_count()} cores for victim, honest node and attacker")
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        for kind in ("false_envelope", "false_record", "not_a_record", "not_canonical", "of_another", "too_large"):
            measure(kind.replace("_", " "), base, from_one_peer, INVALID[kind], messages)
        measure("window ignored", base, beyond_the_window, INVALID["false_envelope"], messages)
        measure("replayed record", base, from_one_peer, replayed(), messages)
        measure("true records of one author", base, from_one_peer, true_records, messages)
        measure("false envelope, new keys", base, from_new_peers, INVALID["false_envelope"], messages)


if __name__ == "__main__":
    main()
