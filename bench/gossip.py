"""What a record costs and how long it takes through GossipSub, beside the plain library in the same run.

    python -m bench.gossip [NODES ...] [--seconds S] [--only plain|arnode|processes]

For each number of nodes (10, 30, 50, 100 unless told otherwise) the same random graph of eight connections a node, the
same records of 2 kB and the same rate, all nodes in one process on one core: first py-libp2p as it comes (`new_host()`
and GossipSub 1.2), then arnode's network, whole: records are checked as in a node and stored in a log on disk.

Processor time is the process's, without what it used while nothing was said; for arnode the main thread's share is
named too, since logs are written in threads. Latency is from just before `publish` to the event at the receiver.

Then eight nodes as processes, each connected to all, on one core, at 100 records a second together.
"""

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from agent.entries import Hypothesis, check, write
from bench.figures import figure, machine
from gossip.events import RecordArrived
from gossip.identity import Identity, new_identity
from gossip.log import Log
from gossip.network import Network, now_ms, open_network
from gossip.record import Record

LISTEN = "/ip4/127.0.0.1/tcp/0"
DEGREE = 8
RATES = {8: 100.0, 10: 4.0, 30: 1.0, 50: 0.5, 100: 0.15}
"""Records a second in all: so few that the plain library's core is about half busy; what 8 nodes in full mesh should
carry, with `8 --only arnode`.
"""
SETTLE_SECONDS = 15.0
SETTLE_SECONDS_A_NODE = 0.5
"""New connections cause history exchange, and questions for peers."""
QUIET_SECONDS = 30.0
"""As long as the longest of what a node does now and then: a ping of each peer."""
PATIENCE_SECONDS = 20.0
TOGETHER = 8
TOGETHER_RATE = 100.0

Say = Callable[[int], Awaitable[bytes]]
"""Let the node of that number publish; the key under which it will be heard."""


@dataclass
class Heard:
    """Deliveries, by all nodes: when each message was said, and the seconds to each receiver."""

    said: dict[bytes, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def hear(self, key: bytes) -> None:
        if key in self.said:
            self.seconds.append(time.perf_counter() - self.said[key])


def graph(nodes: int, seed: int = 1) -> list[tuple[int, int]]:
    """A random connected graph in which every node has about DEGREE edges; all there are, if the nodes are few."""
    if nodes <= DEGREE + 1:
        return list(itertools.combinations(range(nodes), 2))
    stream = random.Random(seed)
    edges: set[tuple[int, int]] = set()
    for _ in range(DEGREE // 2):
        ring = list(range(nodes))
        stream.shuffle(ring)
        edges |= {(min(pair), max(pair)) for pair in zip(ring, ring[1:] + ring[:1], strict=True)}
    return sorted(edges)


def entry(author: Identity, number: int) -> Record:
    """A record of about 2 kB that passes the node's own check."""
    text = "".join(random.choices("abcdefghijklmnopqrstuvwxyz ", k=1000))
    evidence = [random.randbytes(32) for _ in range(22)]
    return write(author, bytes(32), now_ms() + number % 2, Hypothesis(text=text, evidence=evidence))


# ---- the two networks ----


@asynccontextmanager
async def plain(nodes: int, heard: Heard, folder: Path) -> AsyncIterator[Say]:
    """The library as it comes."""
    async with AsyncExitStack() as stack:
        made: list[tuple[Pubsub, Identity]] = []
        hosts = []
        nursery = await stack.enter_async_context(trio.open_nursery())

        async def listen(pubsub: Pubsub) -> None:
            subscription = await pubsub.subscribe("bench")
            while True:
                message = await subscription.get()
                if message.from_id != pubsub.my_id.to_bytes():
                    heard.hear(message.from_id + message.seqno)

        for _ in range(nodes):
            host = new_host(key_pair=create_new_key_pair())
            router = GossipSub([PROTOCOL_ID_V12], degree=6, degree_low=4, degree_high=12)
            pubsub = Pubsub(host, router)
            await stack.enter_async_context(host.run([Multiaddr(LISTEN)]))
            await stack.enter_async_context(background_trio_service(pubsub))
            await stack.enter_async_context(background_trio_service(router))
            await pubsub.wait_until_ready()
            nursery.start_soon(listen, pubsub)
            made.append((pubsub, new_identity()))
            hosts.append(host)
        limit = trio.CapacityLimiter(8)

        async def connect(a: int, b: int) -> None:
            async with limit:
                await hosts[a].connect(PeerInfo(hosts[b].get_id(), hosts[b].get_transport_addrs()))

        async with trio.open_nursery() as connecting:
            for a, b in graph(nodes):
                connecting.start_soon(connect, a, b)

        async def say(number: int) -> bytes:
            pubsub, author = made[number]
            data = entry(author, number).raw
            key = pubsub.my_id.to_bytes() + (pubsub.counter + 1).to_bytes(8, "big")
            heard.said[key] = time.perf_counter()
            await pubsub.publish("bench", data)
            return key

        try:
            yield say
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(20):
                async with trio.open_nursery() as closing:
                    for host in hosts:
                        closing.start_soon(host.close)
            for pubsub, _ in made:
                pubsub.seen_messages._stop_event.set()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def arnode(nodes: int, heard: Heard, folder: Path) -> AsyncIterator[Say]:
    """arnode's network, with the check and the log of a node."""
    async with AsyncExitStack() as stack:
        made: list[tuple[Network, Identity, Log]] = []
        nursery = await stack.enter_async_context(trio.open_nursery())

        async def listen(network: Network) -> None:
            async for event in network.events:
                if isinstance(event, RecordArrived):
                    heard.hear(event.record.id)

        edges = graph(nodes)
        for number in range(nodes):
            identity = new_identity()
            log = stack.enter_context(Log(folder / f"log-{number}"))
            dialled = [made[a][0].addresses[0] for a, b in edges if b == number]
            network = await stack.enter_async_context(
                open_network(identity, log, swarm="bench", listen=[LISTEN], bootstrap=dialled, check=check)
            )
            nursery.start_soon(listen, network)
            made.append((network, identity, log))
        wanted = 2 * len(edges)
        with trio.fail_after(120):
            while sum(_subscribers(network) for network, _, _ in made) < wanted:  # noqa: ASYNC110
                await trio.sleep(0.2)

        async def say(number: int) -> bytes:
            network, identity, log = made[number]
            record = entry(identity, number)
            await trio.to_thread.run_sync(log.append, [record])
            heard.said[record.id] = time.perf_counter()
            await network.publish(record)
            return record.id

        yield say
        nursery.cancel_scope.cancel()


def _subscribers(network: Network) -> int:
    flood = network._mesh.flood
    return len(flood.peer_topics.get(network._mesh.records, ())) if flood else 0


# ---- one process ----


def in_one_process(name: str, nodes: int, seconds: float) -> float:
    """Print the figures of one network; returns its milliseconds of CPU for a delivery."""
    heard = Heard()
    rate = RATES.get(nodes, 40 / nodes / nodes**0.5)
    count = max(4, round(rate * seconds))
    networks = {"plain": plain, "arnode": arnode}

    async def run() -> tuple[float, float, float]:
        with tempfile.TemporaryDirectory() as folder:
            async with networks[name](nodes, heard, Path(folder)) as say:
                await trio.sleep(SETTLE_SECONDS + SETTLE_SECONDS_A_NODE * nodes)
                began, idle = time.perf_counter(), time.process_time()
                await trio.sleep(QUIET_SECONDS)
                idle = (time.process_time() - idle) / (time.perf_counter() - began)
                began, used, main = time.perf_counter(), time.process_time(), time.thread_time()
                for number in range(count):
                    await trio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                    await say(random.Random(number).randrange(nodes))
                said = time.perf_counter() - began
                with trio.move_on_after(PATIENCE_SECONDS):
                    while len(heard.seconds) < count * (nodes - 1):  # noqa: ASYNC110
                        await trio.sleep(0.05)
                took = time.perf_counter() - began
                print(f"{name}, {nodes} nodes: {count} records said in {said:.3g} s")
                return idle, time.process_time() - used - idle * took, time.thread_time() - main - idle * took

    idle, used, main = trio.run(run)
    delivered = len(heard.seconds)
    cost = 1000 * used / delivered
    what = f"{name}, {nodes} nodes"
    print(figure(f"{what}: delivered at {rate:.3g} records/s", "%", [100 * delivered / count / (nodes - 1)]))
    print(figure(f"{what}, a delivered record", "ms of CPU", [cost]))
    print(figure("… in the main thread", "ms of CPU", [1000 * main / delivered]))
    print(figure(f"{what}, a node while nothing is said", "% of a core", [100 * idle / nodes]))
    print(latencies(what, heard.seconds), flush=True)
    return cost


def alone(name: str, nodes: int, seconds: float) -> float:
    """`in_one_process` in a process of its own, since arnode's mends would reach the plain library too."""
    command = [sys.executable, "-m", "bench.gossip", "--in-one-process", name, str(nodes), str(seconds)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    *lines, cost = run.stdout.splitlines()
    print(*lines, sep="\n", flush=True)
    return float(cost)


def latencies(what: str, seconds: Sequence[float]) -> str:
    """Two lines: the median with its spread, and the 99th percentile."""
    ordered = sorted(1000 * each for each in seconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{figure(f'{what}, latency', 'ms', ordered)}\n{figure('… 99 of 100 below', 'ms', [p99])}"


# ---- eight processes, each connected to all, on one core ----


async def as_process(folder: Path, bootstrap: Sequence[str], rate: float, seconds: float) -> None:
    """One of them: prints its address, `ready` when all hear it, and in the end what it said and heard, and when."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    identity = new_identity()
    said: dict[str, float] = {}
    heard: dict[str, float] = {}
    synced = 0
    with Log(folder / "log") as log:
        async with (
            open_network(identity, log, swarm="bench", listen=[LISTEN], bootstrap=bootstrap, check=check) as network,
            trio.open_nursery() as nursery,
        ):

            async def listen() -> None:
                nonlocal synced
                async for event in network.events:
                    if isinstance(event, RecordArrived):
                        heard[event.record.id.hex()] = time.time()
                        synced += event.via == "sync"

            nursery.start_soon(listen)
            print(network.addresses[0], flush=True)
            while _subscribers(network) < TOGETHER - 1:  # noqa: ASYNC110
                await trio.sleep(0.1)
            print("ready", flush=True)
            await trio.to_thread.run_sync(sys.stdin.readline)
            began, used = trio.current_time() + random.random() / rate, time.process_time()
            for number in range(round(rate * seconds)):
                await trio.sleep_until(began + number / rate)
                record = entry(identity, number)
                await trio.to_thread.run_sync(log.append, [record])
                said[record.id.hex()] = time.time()
                await network.publish(record)
            late = trio.current_time() - began - seconds
            await trio.to_thread.run_sync(sys.stdin.readline)
            used = time.process_time() - used
            print(json.dumps({"said": said, "heard": heard, "cpu": used, "late": late, "synced": synced}), flush=True)
            nursery.cancel_scope.cancel()


def together(rate: float, seconds: float) -> None:
    """Print the figures of TOGETHER processes in full mesh at `rate` records a second."""
    with tempfile.TemporaryDirectory() as name:
        processes: list[subprocess.Popen[str]] = []
        try:
            addresses: list[str] = []
            for number in range(TOGETHER):
                folder = Path(name) / str(number)
                folder.mkdir()
                each = [str(folder), str(rate / TOGETHER), str(seconds), *addresses]
                command = [sys.executable, "-m", "bench.gossip", "--one-of-eight", *each]
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                processes.append(process)
                addresses.append(_line(process))
            for process in processes:
                _line(process)
            time.sleep(2)
            _tell(processes)
            time.sleep(seconds + 5)
            _tell(processes)
            ends = [json.loads(_line(process)) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.communicate()
    said = {key: when for end in ends for key, when in end["said"].items()}
    seconds_each = [when - said[key] for end in ends for key, when in end["heard"].items()]
    what = f"{TOGETHER} processes on one core at {rate:g} records/s"
    synced = sum(end["synced"] for end in ends)
    print(figure(f"{what}: delivered", "%", [100 * len(seconds_each) / len(said) / (TOGETHER - 1)]))
    print(figure("… of them by history exchange", "", [synced]))
    print(figure("… said later than planned by", "s", [max(end["late"] for end in ends)]))
    cpu = sum(end["cpu"] for end in ends)
    print(figure("… a delivered record", "ms of CPU", [1000 * cpu / len(seconds_each)]))
    print(latencies(what, seconds_each), flush=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise SystemExit("a node of the benchmark ended")
    return line


def _tell(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("now\n")
        process.stdin.flush()


def main() -> None:
    if sys.argv[1:2] == ["--one-of-eight"]:
        folder, rate, seconds, *bootstrap = sys.argv[2:]
        trio.run(as_process, Path(folder), bootstrap, float(rate), float(seconds))
        return
    if sys.argv[1:2] == ["--in-one-process"]:
        print(in_one_process(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("nodes", nargs="*", type=int, default=[10, 30, 50, 100])
    parser.add_argument("--seconds", type=float, default=20.0, help="for how long records are published")
    parser.add_argument("--rate", type=float, default=TOGETHER_RATE, help="records a second of the eight processes")
    parser.add_argument("--only", choices=("plain", "arnode", "processes"), help="not all of it")
    options = parser.parse_args()
    print(machine())
    for nodes in options.nodes if options.only != "processes" else ():
        costs = [alone(n, nodes, options.seconds) for n in ("plain", "arnode") if options.only in (None, n)]
        if len(costs) == 2:
            times = [costs[0] / costs[1]]
            print(figure(f"{nodes} nodes: the plain library's cost over arnode's", "", times, better="higher"))
    if options.only in (None, "processes"):
        together(options.rate, options.seconds)


if __name__ == "__main__":
    main()
