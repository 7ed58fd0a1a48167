"""Networks as processes of their own (peer.py), so that they can be killed, frozen and put into network namespaces."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 60.0
REPLY_SECONDS: Final = 60.0
Told = dict[str, Any]


class Process:
    """A running peer.py. `told` holds every line it printed but replies."""

    def __init__(self, process: trio.Process) -> None:
        self.told: list[Told] = []
        self.addresses: list[str] = []
        self._process = process
        self._send_reply, self._replies = trio.open_memory_channel[Told](100)
        self._listening = trio.Event()

    @property
    def peer(self) -> str:
        """Its peer id."""
        return self.addresses[0].rsplit("/", 1)[1]

    def signal(self, sent: signal.Signals) -> None:
        """Send a signal: SIGSTOP and SIGCONT freeze and wake it."""
        self._process.send_signal(sent)

    async def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Let it end in good order."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        with trio.fail_after(REPLY_SECONDS):
            await self._process.wait()

    async def ask(self, command: str) -> Told:
        """Send a command; its reply."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(command.encode() + b"\n")
        with trio.fail_after(REPLY_SECONDS):
            return await self._replies.receive()

    async def say(self, count: int = 1) -> list[str]:
        """Publish so many new records; their ids."""
        said: list[str] = (await self.ask(f"say {count}"))["said"]
        return said

    async def state(self) -> Told:
        """Counts, peers and mesh."""
        return await self.ask("state")

    async def ids(self) -> set[str]:
        """The ids of all records it has."""
        return set((await self.ask("ids"))["ids"])

    async def until(self, condition: Callable[[Told], bool], seconds: float = 30) -> Told:
        """Wait until its state fulfils `condition`; that state."""
        deadline = trio.current_time() + seconds
        while not condition(state := await self.state()):
            assert trio.current_time() < deadline, f"not so after {seconds} s: {state}; told: {self.told[-20:]}"
            await trio.sleep(0.1)
        return state

    async def _read(self) -> None:
        assert self._process.stdout is not None
        held = b""
        async for chunk in self._process.stdout:
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                told: Told = json.loads(line)
                match told.pop("event"):
                    case "reply":
                        self._send_reply.send_nowait(told)
                    case "listening":
                        self.addresses = told["addresses"]
                        self._listening.set()
                    case event:
                        self.told.append({"event": event, **told})
        self._send_reply.close()
        self._listening.set()


@asynccontextmanager
async def running(folder: Path, *options: str, prefix: Sequence[str] = ()) -> AsyncIterator[Process]:
    """A peer.py with its state in `folder`, listening; killed at the end of the block if it still runs.

    prefix: what its command line starts with, such as `ip netns exec NAME`.
    """
    command = [*prefix, sys.executable, "-m", "tests.gossip.peer", str(folder), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT
    )
    made = Process(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made._read)
            with trio.fail_after(START_SECONDS):
                await made._listening.wait()
            assert made.addresses, f"the process ended before it listened, with {process.poll()}"
            yield made
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
