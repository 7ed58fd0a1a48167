"""What a private swarm's encryption costs: a stream between two hosts with and without a key, taking turns.

Both hosts share one process and one core, so half of what is lost falls on each side.  python -m bench.private [MB]
"""

import sys
import time
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.stream.exceptions import StreamEOF

from bench.figures import figure, machine
from gossip import upstream
from gossip.door import Door
from gossip.host import listen_on, open_host
from gossip.identity import new_identity
from gossip.pnet import xsalsa20
from gossip.swarmkey import SwarmKey, new_swarm_key

PROTOCOL: Final = TProtocol("/bench/1")
ROUNDS: Final = 7
CHUNK: Final = 64 * 1024


async def main(megabytes: int) -> None:
    """Print the figures."""
    print(machine())
    print(figure("XSalsa20 alone, one core", "MB per CPU second", [cipher_speed(megabytes) for _ in range(ROUNDS)]))
    public, private = [], []
    for _ in range(ROUNDS):
        public.append(await stream_speed(None, megabytes))
        private.append(await stream_speed(new_swarm_key(), megabytes))
    print(figure("a stream between two hosts, public", "MB per CPU second", public))
    print(figure("a stream between two hosts, private", "MB per CPU second", private))
    slower = [100 * (1 - after / before) for before, after in zip(public, private, strict=True)]
    print(figure("slower by", "%", slower))


def cipher_speed(megabytes: int) -> float:
    """MB per second of processor time."""
    cipher, data = xsalsa20(bytes(32), bytes(24)), bytes(CHUNK)
    started = time.process_time()
    for _ in range(megabytes * 1_000_000 // CHUNK):
        cipher.encrypt(data)
    return megabytes / (time.process_time() - started)


async def stream_speed(key: SwarmKey | None, megabytes: int) -> float:
    """MB per second of processor time, of both sides together."""
    done = trio.Event()

    async def swallow(stream: INetStream) -> None:
        try:
            while await stream.read(CHUNK):
                pass
        except StreamEOF:
            done.set()

    async with running(key) as giver, running(key) as taker:
        taker.set_stream_handler(PROTOCOL, swallow)
        await listen_on(taker, ["/ip4/127.0.0.1/tcp/0"])
        await upstream.swarm_of(giver).dial_addr(taker.get_transport_addrs()[0], taker.get_id())
        stream = await giver.new_stream(taker.get_id(), [PROTOCOL])
        started = time.process_time()
        for _ in range(megabytes * 1_000_000 // CHUNK):
            await stream.write(bytes(CHUNK))
        await stream.close()
        await done.wait()
        return megabytes / (time.process_time() - started)


def running(key: SwarmKey | None) -> AbstractAsyncContextManager[BasicHost]:
    """A host as a node has it."""
    return open_host(
        new_identity(),
        door=Door(),
        admit=lambda peer: True,
        blame=lambda peer, reason: None,
        report=lambda what, why: print(what, why),
        key=key,
    )


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 50)
