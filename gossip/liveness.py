"""Noticing that a peer is gone although its connection is not: a laptop asleep, a cable pulled, a process frozen.

TCP would take a quarter of an hour. Every peer is pinged now and then, all at once when this machine itself has slept,
and disconnected if it does not answer.
"""

import random
import secrets
from collections.abc import Callable
from typing import Final

import trio
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID

from gossip import upstream
from gossip.host import Connections

PING: Final = TProtocol("/ipfs/ping/1.0.0")
PING_BYTES: Final = 32
EVERY_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 30.0  # far longer than it takes: one cut short leaves a connection that nobody ends
LOOK_SECONDS: Final = 5.0
ASLEEP_MS: Final = 15_000


async def watch(
    host: BasicHost,
    connections: Connections,
    clock: Callable[[], int],
    *,
    every: float = EVERY_SECONDS,
    patience: float = ANSWER_SECONDS,
) -> None:
    """Ping every peer each `every` seconds and drop those that do not answer within `patience`. Runs until cancelled.

    `clock` gives milliseconds since 1970: it goes on while the machine sleeps, which trio's need not.
    """
    due: dict[ID, float] = {}
    looked = clock()
    while True:
        now = trio.current_time()
        slept = clock() - looked > LOOK_SECONDS * 1000 + ASLEEP_MS
        looked = clock()
        due = {peer: due.get(peer, now + every * random.uniform(0.5, 1.0)) for peer in connections.peers}
        async with trio.open_nursery() as nursery:
            for peer, when in due.items():
                if slept or when <= now:
                    due[peer] = now + every * random.uniform(0.75, 1.25)
                    nursery.start_soon(_drop_unless_alive, host, peer, patience)
        await trio.sleep(min(LOOK_SECONDS, every))


async def _drop_unless_alive(host: BasicHost, peer: ID, patience: float) -> None:
    if not await answers(host, peer, patience):
        with trio.move_on_after(CLOSE_SECONDS):  # a farewell that cannot be sent keeps nobody
            await upstream.disconnect(upstream.swarm_of(host), peer)


async def answers(host: BasicHost, peer: ID, patience: float) -> bool:
    """Whether anything comes back from a connected peer within so many seconds, be it that it knows no pings."""
    with trio.move_on_after(patience) as waiting:
        try:
            stream = await host.new_stream(peer, [PING])
            try:
                await stream.write(secrets.token_bytes(PING_BYTES))
                await stream.read(PING_BYTES)
            finally:
                await upstream.reset(stream)
        except BaseLibp2pError:
            return True  # it refused; or the connection has just ended, which needs no help
    return not waiting.cancelled_caught
