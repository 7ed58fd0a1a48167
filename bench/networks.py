"""Two networks that carry the same records: py-libp2p as it comes, and arnode's. One node of each, for bench.gossip."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from agent.entries import Hypothesis, check, write
from gossip.clock import now_ms
from gossip.events import RecordArrived
from gossip.identity import Identity, new_identity
from gossip.log import Log
from gossip.network import open_network
from gossip.record import Record
from gossip.stamp import Stamps

LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
DIAL_SECONDS: Final = 30.0

Hear = Callable[[bytes, bool], None]
"""Told of each record that came, by its key, and whether it came by history exchange."""


@dataclass(frozen=True)
class Node:
    """A node that runs. say: publish a new record; calls what it is given, with the record's key, just before.

    hearers: how many neighbours are known to listen.
    """

    address: str
    say: Callable[[Callable[[bytes], None]], Awaitable[None]]
    hearers: Callable[[], int]


def entry(author: Identity, stamps: Stamps) -> Record:
    """A record of about 2 kB that passes the node's own check, with a time that no other of its author has."""
    text = "".join(random.choices("abcdefghijklmnopqrstuvwxyz ", k=1000))
    evidence = [random.randbytes(32) for _ in range(22)]
    return write(author, bytes(32), stamps.next(now_ms()), Hypothesis(text=text, evidence=evidence))


@asynccontextmanager
async def plain(folder: Path, dial: Sequence[str], hear: Hear) -> AsyncIterator[Node]:
    """The library as it comes: `new_host()` and GossipSub 1.2."""
    host, author, stamps = new_host(key_pair=create_new_key_pair()), new_identity(), Stamps()
    router = GossipSub([PROTOCOL_ID_V12], degree=6, degree_low=4, degree_high=12)
    pubsub = Pubsub(host, router)

    async def listen() -> None:
        subscription = await pubsub.subscribe("bench")
        while True:
            message = await subscription.get()
            if message.from_id != pubsub.my_id.to_bytes():
                hear(message.from_id + message.seqno, False)

    async def say(told: Callable[[bytes], None]) -> None:
        data = entry(author, stamps).raw
        told(pubsub.my_id.to_bytes() + (pubsub.counter + 1).to_bytes(8, "big"))
        await pubsub.publish("bench", data)

    async with (
        host.run([Multiaddr(LISTEN)]),
        background_trio_service(pubsub),
        background_trio_service(router),
        trio.open_nursery() as nursery,
    ):
        await pubsub.wait_until_ready()
        nursery.start_soon(listen)
        for address in dial:
            with trio.fail_after(DIAL_SECONDS):
                await host.connect(info_from_p2p_addr(Multiaddr(address)))
        address = f"{host.get_transport_addrs()[0]}/p2p/{host.get_id()}"
        try:
            yield Node(address, say, lambda: len(pubsub.peer_topics.get("bench", ())))
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(10):
                await host.close()
            pubsub.seen_messages._stop_event.set()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def arnode(folder: Path, dial: Sequence[str], hear: Hear) -> AsyncIterator[Node]:
    """arnode's network, with the check and the log of a node."""
    identity, stamps = new_identity(), Stamps()
    with Log(folder / identity.author.hex()[:16]) as log:
        async with (
            open_network(identity, log, swarm="bench", listen=[LISTEN], bootstrap=dial, check=check) as network,
            trio.open_nursery() as nursery,
        ):

            async def listen() -> None:
                async for event in network.events:
                    if isinstance(event, RecordArrived):
                        hear(event.record.id, event.via == "sync")

            async def say(told: Callable[[bytes], None]) -> None:
                record = entry(identity, stamps)
                await trio.to_thread.run_sync(log.append, [record])
                told(record.id)
                await network.publish(record)

            def hearers() -> int:
                flood = network._mesh.flood
                return len(flood.peer_topics.get(network._mesh.records, ())) if flood else 0

            nursery.start_soon(listen)
            yield Node(network.addresses[0], say, hearers)
            nursery.cancel_scope.cancel()


NETWORKS: Final[dict[str, Callable[[Path, Sequence[str], Hear], AbstractAsyncContextManager[Node]]]] = {
    "plain": plain,
    "arnode": arnode,
}
