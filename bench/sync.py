"""History exchange between two real nodes on loopback: what reconciling costs, and how fast a new node catches up.

    python -m bench.sync [RECORDS] [RUNS]

Both nodes are processes of their own, with real logs and the real check of bodies. The nodes that reconcile have
RECORDS in common and 50 each that the other lacks, scattered over all times. The new node starts with nothing.
Processor time is of each process from the connection to the end of the exchange. Then what each step costs that a
record goes through, so that the speed on more or fewer cores can be told: giving, reading and storing, and checking go
on at the same time. And a new node whose checking processes say yes unread, to see what two cores carry besides: what
more cores for the checks would show. Then as many bytes through the same transport without any records, to tell what
the transport costs. Last, what the set of items costs at 1,000,000.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import psutil
import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from agent.entries import check
from bench.figures import figure, machine
from bench.records import typical_results
from gossip import checkers, frames, negentropy, upstream
from gossip.batches import BATCH_BYTES, BATCH_RECORDS
from gossip.door import Door
from gossip.events import PeerConnected, SyncFinished
from gossip.frames import ByteStream, Frames
from gossip.identity import Identity, new_identity
from gossip.items import Items
from gossip.leading import TOGETHER
from gossip.log import Log
from gossip.network import open_network
from gossip.record import Record, outline, pack_body, parse, sign, verify

RECORD_BYTES: Final = 1500
DIFFERENT: Final = 50
MONTH_MS: Final = 30 * 24 * 3600 * 1000
START_MS: Final = 1_700_000_000_000
MEGABYTE: Final = 1_000_000
PIECE_BYTES: Final = 64 * 1024
APPROVING: Final = "ARNODE_BENCH_APPROVING"
"""Environment variable of a node: its checking processes say yes unread."""
BYTES_PROTOCOL: Final = TProtocol("/bench/bytes")


# ---- one node: a process of its own ----


class Counted(Frames):
    """Frames that are remembered, with how many reconciliation messages went out."""

    made: ClassVar[list["Counted"]] = []

    def __init__(self, stream: ByteStream, *, budget: int) -> None:
        super().__init__(stream, budget=budget)
        self.messages = 0
        Counted.made.append(self)

    async def send(self, *message: Any) -> None:
        self.messages += message[0] == "reconcile"
        await super().send(*message)


async def run_node(folder: Path, until: int, bootstrap: list[str]) -> None:
    """Run a node; print its address, then one line when its log holds `until` records after an exchange."""
    vars(frames)["Frames"] = Counted
    if os.environ.get(APPROVING):
        vars(checkers)["COMMAND"] = (sys.executable, "-P", "-m", "bench.approve")
    with Log(folder / "log.sqlite") as log:
        before, size_before = log.count(), _bytes_in(log)
        options: dict[str, Any] = {"swarm": "bench", "listen": ["/ip4/127.0.0.1/tcp/0"], "bootstrap": bootstrap}
        async with open_network(new_identity(), log, check=check, **options) as network:
            idle = psutil.Process().memory_info().rss
            print(network.addresses[0], flush=True)
            wall = cpu = 0.0
            async for event in network.events:
                if isinstance(event, PeerConnected):
                    wall, cpu = time.perf_counter(), time.process_time()
                elif isinstance(event, SyncFinished) and log.count() >= until:
                    break
            told = {
                "seconds": time.perf_counter() - wall,
                "cpu": time.process_time() - cpu,
                "new": log.count() - before,
                "messages": sum(one.messages for one in Counted.made),
                "bytes": sum(one.sent + one.received for one in Counted.made),
                "record_bytes": _bytes_in(log) - size_before,
                "memory": _peak_bytes() - idle,
            }
            helpers = psutil.Process().children()  # they stay a while when nothing comes any more
            told["checkers"] = len(helpers)
            told["checkers_cpu"] = sum(sum(helper.cpu_times()[:2]) for helper in helpers)
            told["memory"] += sum(helper.memory_full_info().uss for helper in helpers)
            print(json.dumps(told), flush=True)
            sys.stdin.readline()


def _peak_bytes() -> int:
    """The most memory that this process ever held; getrusage also counts what the one that started it held."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _bytes_in(log: Log) -> int:
    return sum(size for _, size in log.usage().values())


# ---- the transport alone: two hosts, each a process of its own, and a stream of bytes ----


async def give_bytes(count: int, where: str | None) -> None:
    """Serve `count` bytes to whoever opens a stream, or fetch them from `where` and print the seconds it took."""
    upstream.install()
    host = upstream.noise_host(
        create_new_key_pair(),
        max_connections=4,
        door=Door(),
        admit=lambda peer: True,
        blame=lambda peer, reason: None,
        report=lambda what, why: None,
        addresses=list,
    )

    async def serve(stream: INetStream) -> None:
        for _ in range(count // PIECE_BYTES):
            await stream.write(bytes(PIECE_BYTES))
        await stream.close()

    host.set_stream_handler(BYTES_PROTOCOL, serve)
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        if where is None:
            print(f"{host.get_transport_addrs()[0]}/p2p/{host.get_id()}", flush=True)
            await trio.to_thread.run_sync(sys.stdin.readline)
            return
        info = info_from_p2p_addr(Multiaddr(where))
        await upstream.swarm_of(host).dial_addr(info.addrs[0], info.peer_id)
        stream = await host.new_stream(info.peer_id, [BYTES_PROTOCOL])
        started, left = time.perf_counter(), count // PIECE_BYTES * PIECE_BYTES
        while left:
            left -= len(await stream.read(PIECE_BYTES))
        print(time.perf_counter() - started, flush=True)


def measure_transport(count: int) -> float:
    """MB/s of a stream between two processes."""

    def start_host(*where: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "bench.sync", "--bytes", str(count), *where]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with start_host() as giver, start_host(line_of(giver)) as taker:
        seconds = float(line_of(taker))
        giver.communicate("\n", timeout=20)
    return count / MEGABYTE / seconds


# ---- the measurements ----


def make_records(count: int, signer: Identity) -> list[Record]:
    """Results like a node's, of RECORD_BYTES, at any times of a month."""
    template = typical_results(1)[0]
    body = template.value()
    body["hypothesis"] = "x" * (len(body["hypothesis"]) + RECORD_BYTES - len(template.raw))
    made = []
    for _ in range(count):
        body["seconds"] = random.random() * 60
        made.append(sign(signer, "result", template.task, START_MS + random.randrange(MONTH_MS), pack_body(body)))
    return made


def make_log(folder: Path, count: int) -> None:
    """A log of so many records of ten authors."""
    folder.mkdir()
    with Log(folder / "log.sqlite") as log:
        for _ in range(10):
            log.append(make_records(count // 10, new_identity()))


def copy_log(source: Path, folder: Path, more: int) -> None:
    """The same log with `more` records of its own."""
    shutil.copytree(source, folder)
    with Log(folder / "log.sqlite") as log:
        log.append(make_records(more, new_identity()))


def exchange(old: Path, young: Path, until: int, **young_env: str) -> tuple[dict[str, float], dict[str, float]]:
    """Let the node of `young` dial that of `old`; what each told."""
    with start(old, until) as first:
        address = line_of(first)
        with start(young, until, address, **young_env) as second:
            line_of(second)
            told = json.loads(line_of(second)), json.loads(line_of(first))
            for process in (second, first):
                process.communicate("\n", timeout=20)
    return told


def start(folder: Path, until: int, *bootstrap: str, **env: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.sync", "--node", str(folder), str(until), *bootstrap]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | env)


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise SystemExit("a node ended before its exchange did")
    return line


def measure_unchecked(base: Path, count: int, runs: int) -> None:
    """A new node to whose speed the checks do not matter, as if they had cores of their own."""
    young, old = [], []
    for run in range(runs):
        (base / f"believing{run}").mkdir()
        told = exchange(base / "all", base / f"believing{run}", count, **{APPROVING: "1"})
        young.append(told[0])
        old.append(told[1])
    speeds = [one["record_bytes"] / MEGABYTE / one["seconds"] for one in young]
    print(figure("new node, if checks took no time: speed", "MB/s", speeds))
    print(figure("… of the new node's own process", "s of CPU", [one["cpu"] for one in young]))
    busy = [(a["cpu"] + a["checkers_cpu"] + b["cpu"]) / a["seconds"] for a, b in zip(young, old, strict=True)]
    print(figure("… cores in use, of all of them together", "", busy, better="neither"))


def measure_steps(whole: Path, folder: Path, count: int = TOGETHER) -> None:
    """Processor time of what a new node and the one that gives do with each record, among those of the `whole` log."""
    steps: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> None:
        started = time.thread_time()
        work()
        steps.setdefault(name, []).append((time.thread_time() - started) / count * 1e6)

    copy_log(whole, folder, 0)
    with Log(folder / "log.sqlite") as log:
        log.shelves.items()
        for _ in range(5):
            records = [record for _ in range(4) for record in make_records(count // 4, new_identity())]
            random.shuffle(records)
            raws = [record.raw for record in records]
            named = [[record.id for record in part] for part in parts(records, BATCH_RECORDS)]
            timed("its fields and its id", partial(each, lambda raw: outline(raw).id, raws))
            timed("its form", partial(each, parse, raws))
            timed("its signature", partial(each, verify, records))
            timed("its body", partial(each, check, records))
            timed(f"storing it, {TOGETHER:,} at once", partial(each, log.append, parts(records, TOGETHER)))
            timed("finding it, to give it", partial(each, lambda ids: log.raws(ids, BATCH_BYTES), named))
    for name, times in steps.items():
        print(figure(f"of a record, {name}", "us of CPU", times))


def each(work: Callable[[Any], object], things: Sequence[Any]) -> None:
    for thing in things:
        work(thing)


def parts(records: Sequence[Record], size: int) -> list[Sequence[Record]]:
    return [records[start : start + size] for start in range(0, len(records), size)]


def measure_items(count: int) -> None:
    """Processor time of one insertion and of one fingerprint over a random range."""
    items = Items((START_MS + number, os.urandom(32)) for number in range(count))

    def microseconds(work: Any, times: int) -> float:
        started = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - started) / times * 1e6

    def insert_late() -> None:
        items.insert(START_MS + count + random.randrange(count), os.urandom(32))
        len(items)  # brings the running totals up to date, as the next message would

    def insert_anywhere() -> None:
        items.insert(START_MS + random.randrange(count), os.urandom(32))
        len(items)

    def one_fingerprint() -> None:
        negentropy.fingerprint(items, *sorted((random.randrange(count), random.randrange(count))))

    for name, work in (("insertion at the end", insert_late), ("insertion anywhere", insert_anywhere)):
        print(figure(f"{name} of {count:,} items", "us of CPU", [microseconds(work, 200) for _ in range(5)]))
    print(figure("fingerprint of a random range", "us of CPU", [microseconds(one_fingerprint, 500) for _ in range(5)]))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        make_log(base / "all", count)
        young, old = [], []
        for run in range(runs):
            for side in ("a", "b"):
                copy_log(base / "all", base / f"{side}{run}", DIFFERENT)
            told = exchange(base / f"a{run}", base / f"b{run}", count + 2 * DIFFERENT)
            young.append(told[0])
            old.append(told[1])
        what = f"{count:,} in common, {2 * DIFFERENT} different"
        print(figure(f"{what}: whole exchange", "s", [one["seconds"] for one in young]))
        print(figure("… of the asking node", "s of CPU", [one["cpu"] for one in young]))
        print(figure("… of the answering node", "s of CPU", [one["cpu"] for one in old]))
        print(figure("… reconciliation messages", "round trips", [one["messages"] for one in young]))
        extra = [a["bytes"] - a["record_bytes"] - b["record_bytes"] for a, b in zip(young, old, strict=True)]
        print(figure("… bytes beyond the records", "bytes", extra))
        young, old = [], []
        for run in range(runs):
            (base / f"new{run}").mkdir()
            told = exchange(base / "all", base / f"new{run}", count)
            young.append(told[0])
            old.append(told[1])
        print(figure(f"new node, {count:,} records", "s", [one["seconds"] for one in young]))
        speeds = [one["record_bytes"] / MEGABYTE / one["seconds"] for one in young]
        print(figure("… speed", "MB/s", speeds))
        print(figure("… of the new node's own process", "s of CPU", [one["cpu"] for one in young]))
        print(figure("… processes that check for it", "", [one["checkers"] for one in young], better="neither"))
        print(figure("… of these", "s of CPU", [one["checkers_cpu"] for one in young]))
        print(figure("… of the node that gives", "s of CPU", [one["cpu"] for one in old]))
        busy = [(a["cpu"] + a["checkers_cpu"] + b["cpu"]) / a["seconds"] for a, b in zip(young, old, strict=True)]
        print(figure("… cores in use, of all of them together", "", busy, better="neither"))
        print(
            figure(
                "… memory above idle at its peak, those processes' own too",
                "MB",
                [one["memory"] / MEGABYTE for one in young],
            )
        )
        measure_unchecked(base, count, runs)
        measure_steps(base / "all", base / "steps")
    print(figure("the transport alone", "MB/s", [measure_transport(count * RECORD_BYTES) for _ in range(runs)]))
    measure_items(1_000_000)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--node"]:
        trio.run(run_node, Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    elif sys.argv[1:2] == ["--bytes"]:
        trio.run(give_bytes, int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
    else:
        main()
