"""Nodes of bench.gossip spread over processes, as nodes of a swarm are over machines.

Each process runs some of the nodes in one event loop, on a core that it is told. It is led by lines of JSON on its
input, one command each, and answers with lines of JSON. Times are of `perf_counter`, which all processes share.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from bench.networks import NETWORKS, Node

READ_BYTES: Final = 64 * 1024


class Process:
    """A process with some of the nodes, from outside."""

    def __init__(self, network: str, core: int, folder: Path) -> None:
        command = [sys.executable, "-m", "bench.spread", network, str(core), str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, *command: Any) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def ask(self, *command: Any) -> Any:
        """Give a command and wait for its answer."""
        self.tell(*command)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process of the benchmark ended")
        return json.loads(line)

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.communicate()


@dataclass(frozen=True)
class Heard:
    """What came of it all. seconds: of each delivery; said: how many records; late: the most that one was, in seconds.

    synced: deliveries by history exchange.
    """

    seconds: list[float]
    said: int
    late: float
    synced: int


@contextmanager
def processes(network: str, cores: Sequence[int]) -> Iterator[list[Process]]:
    """A process on each of `cores`, which may be named several times."""
    with tempfile.TemporaryDirectory() as folder:
        made = [Process(network, core, Path(folder)) for core in cores]
        try:
            yield made
        finally:
            for process in made:
                process.end()


def used(made: Sequence[Process]) -> tuple[float, float]:
    """Seconds of processor time so far of all processes, and of their main threads."""
    times = [process.ask("times") for process in made]
    return sum(whole for whole, _ in times), sum(main for _, main in times)


def heard(made: Sequence[Process]) -> Heard:
    """What all of them said and heard so far."""
    ends = [process.ask("heard") for process in made]
    said = {key: when for end in ends for key, when in end["said"].items()}
    seconds = [when - said[key] for end in ends for key, when in end["heard"] if key in said]
    return Heard(seconds, len(said), max(end["late"] for end in ends), sum(end["synced"] for end in ends))


# ---- inside one ----


class _Inside:
    """The nodes of one process, and what they said and heard."""

    def __init__(self, network: str, folder: Path, stack: AsyncExitStack, nursery: trio.Nursery) -> None:
        self._open = partial(NETWORKS[network], folder)
        self._stack = stack
        self._nursery = nursery
        self._nodes: dict[int, Node] = {}
        self._said: dict[str, float] = {}
        self._heard: list[tuple[str, float]] = []
        self._late = 0.0
        self._synced = 0

    async def obey(self, command: list[Any]) -> Any:
        """Do what a command asks; its answer, None for none."""
        match command:
            case ["open", int(number), list(dial)]:
                self._nodes[number] = await self._stack.enter_async_context(self._open(dial, self._hear))
                return self._nodes[number].address
            case ["hearers"]:
                return sum(node.hearers() for node in self._nodes.values())
            case ["say", int(number), float(planned)]:
                self._nursery.start_soon(self._nodes[number].say, partial(self._told, planned))
                return None
            case ["times"]:
                return time.process_time(), time.thread_time()
            case ["count"]:
                return len(self._heard)
            case ["heard"]:
                return {"said": self._said, "heard": self._heard, "late": self._late, "synced": self._synced}
        raise ValueError(f"no such command: {command}")

    def _told(self, planned: float, key: bytes) -> None:
        now = time.perf_counter()
        self._said[key.hex()] = now
        self._late = max(self._late, now - planned)

    def _hear(self, key: bytes, by_sync: bool) -> None:
        self._heard.append((key.hex(), time.perf_counter()))
        self._synced += by_sync


async def _run(network: str, core: int, folder: Path) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        inside = _Inside(network, folder, stack, nursery)
        held = b""
        commands = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
        async for chunk in commands:
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                answer = await inside.obey(json.loads(line))
                if answer is not None:
                    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    trio.run(_run, sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
