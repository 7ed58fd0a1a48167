"""What a node costs while nothing happens: memory and processor time of its own process, without its trials.

    python -m bench.idle [SECONDS]

A node that only relays (`arnode join --no-research`) and one that does research, each with eight peers connected.
"""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import trio

from bench.figures import figure, machine
from gossip.identity import new_identity
from gossip.log import Log
from gossip.network import open_network

PEERS = 8
SETTLE_SECONDS = 20.0
LISTEN = "/ip4/127.0.0.1/tcp/0"
SWARM = "idle"


def measured(folder: Path, options: list[str], seconds: float) -> tuple[float, float, float]:
    """(share of a core, resident MB, MB that are its own) of a node with PEERS peers, over so many seconds."""
    command = [sys.executable, "-m", "node.cli", "--home", str(folder / "node"), "join", "--json", "--listen", LISTEN]
    with subprocess.Popen([*command, "--swarm", SWARM, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = next(line["addresses"][0] for line in map(json.loads, process.stdout) if "addresses" in line)
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return trio.run(with_peers, folder, address, psutil.Process(process.pid), seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


async def with_peers(folder: Path, address: str, node: psutil.Process, seconds: float) -> tuple[float, float, float]:
    """The same, of a running node at `address`."""
    async with AsyncExitStack() as stack:
        for number in range(PEERS):
            log = stack.enter_context(Log(folder / f"log-{number}"))
            await stack.enter_async_context(
                open_network(
                    new_identity(), log, swarm=SWARM, listen=[LISTEN], bootstrap=[address], check=lambda record: None
                )
            )
        await trio.sleep(SETTLE_SECONDS)
        before = node.cpu_times()
        await trio.sleep(seconds)
        after, memory = node.cpu_times(), node.memory_full_info()
    used = after.user + after.system - before.user - before.system
    return used / seconds, memory.rss / 1e6, memory.uss / 1e6


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    print(machine())
    for what, options in (("relaying node", ["--no-research"]), ("researching node's own process", [])):
        with tempfile.TemporaryDirectory() as folder:
            share, resident, own = measured(Path(folder), options, seconds)
        print(figure(f"{what}, {PEERS} peers, over {seconds:.0f} s", "% of a core", [100 * share]))
        print(figure("… memory, resident", "MB", [resident]))
        print(figure("… memory, its own", "MB", [own]), flush=True)


if __name__ == "__main__":
    main()
