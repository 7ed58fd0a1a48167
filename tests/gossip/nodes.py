"""Real nodes on loopback sockets for tests: made, waited for, filled."""

import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.host.basic_host import BasicHost

from gossip import upstream
from gossip.addressbook import AddressBook
from gossip.clock import now_ms
from gossip.door import Door
from gossip.events import Event, RecordArrived
from gossip.identity import Identity, new_identity
from gossip.layout import WHOLE, Layout
from gossip.log import Log
from gossip.network import Network, open_network
from gossip.record import Record, pack_body, sign
from gossip.stamp import Stamps
from gossip.swarmkey import SwarmKey
from gossip.tuning import Tuning

TASK = bytes(32)
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
FAST = Tuning(heartbeat=0.3)
_numbers = itertools.count()
_stamps = Stamps()


def record(signer: Identity, kind: str = "insight", *, time_ms: int | None = None, text: str = "") -> Record:
    """A new record of `signer`, different from all before."""
    body = pack_body({"n": next(_numbers), "text": text})
    return sign(signer, kind, TASK, _stamps.next(now_ms()) if time_ms is None else time_ms, body)


def hardened(keys: KeyPair | None = None) -> BasicHost:
    """A host alone, as our nodes have it."""
    upstream.install()
    return upstream.noise_host(
        keys or create_new_key_pair(),
        max_connections=10,
        door=Door(),
        admit=lambda peer: True,
        blame=lambda peer, reason: None,
        report=lambda what, why: None,
        addresses=list,
    )


@dataclass
class Node:
    """A running node, and everything its network has told."""

    network: Network
    identity: Identity
    log: Log
    heard: list[Event] = field(default_factory=list)
    news: trio.Event = field(default_factory=trio.Event)

    @property
    def peer(self) -> str:
        return self.network.addresses[0].rsplit("/", 1)[1]

    def all(self, kind: type[Event] | Sequence[type[Event]]) -> list[Event]:
        return [event for event in self.heard if isinstance(event, kind if isinstance(kind, type) else tuple(kind))]

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        """Wait until `condition` holds; looked at after each event, and now and then."""
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > seconds:
                told = [event for event in self.heard if not isinstance(event, RecordArrived)]
                raise AssertionError(f"not so after {seconds} s; told: {told[-20:]}")
            self.news = trio.Event()
            with trio.move_on_after(0.1):
                await self.news.wait()

    async def until_heard_by(self, peers: int = 1) -> None:
        """Wait until so many peers have subscribed to both topics, so that gossip reaches them."""
        mesh = self.network._mesh

        def subscribed() -> bool:
            topics = mesh.flood.peer_topics if mesh.flood else {}
            return all(len(topics.get(topic, ())) >= peers for topic in (mesh.records, mesh.presence))

        await self.until(subscribed)

    async def say(self, kind: str = "insight", text: str = "") -> Record:
        """Append a new record and publish it."""
        new = record(self.identity, kind, text=text)
        self.log.append([new])
        await self.network.publish(new)
        return new


@asynccontextmanager
async def node(
    folder: Path,
    *,
    swarm: str = "test",
    bootstrap: Sequence[str] = (),
    listen: Sequence[str] = (LOOPBACK,),
    identity: Identity | None = None,
    records: Sequence[Record] = (),
    check: Callable[[Record], None] = lambda record: None,
    clock: Callable[[], int] = now_ms,
    tuning: Tuning = FAST,
    key: SwarmKey | None = None,
    book: AddressBook | None = None,
    lan: bool = False,
    archive: bool = False,
    layout: Layout = WHOLE,
    log: Log | None = None,
) -> AsyncIterator[Node]:
    """A node whose log is in `folder`, made if need be; or one with that open log."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240
    who = identity or new_identity()
    with Log(folder / "log") if log is None else nullcontext(log) as log:  # noqa: PLR1704
        log.append(records)
        async with (
            open_network(
                who,
                log,
                swarm=swarm,
                listen=listen,
                bootstrap=bootstrap,
                check=check,
                clock=clock,
                tuning=tuning,
                key=key,
                book=book,
                lan=lan,
                archive=archive,
                layout=layout,
            ) as network,
            trio.open_nursery() as nursery,
        ):
            made = Node(network, who, log)

            async def listen_to_events() -> None:
                async for event in network.events:
                    made.heard.append(event)
                    made.news.set()

            nursery.start_soon(listen_to_events)
            yield made
            nursery.cancel_scope.cancel()


class Field:
    """Nodes that start and stop in any order, each in a task of its own."""

    def __init__(self, nursery: trio.Nursery, folder: Path) -> None:
        self._nursery = nursery
        self._folder = folder
        self._stops: dict[str, tuple[trio.Event, trio.Event]] = {}

    async def start(self, name: str, **options: Any) -> Node:
        """Start a node with its log in the folder of that name; `options` as for `node`."""
        made: Node = await self._nursery.start(self._run, name, options)
        return made

    async def stop(self, name: str) -> None:
        """Stop it, and wait until it is gone."""
        stop, stopped = self._stops[name]
        stop.set()
        await stopped.wait()

    async def _run(self, name: str, options: dict[str, Any], task_status: Any) -> None:
        stop, stopped = self._stops[name] = trio.Event(), trio.Event()
        try:
            async with node(self._folder / name, **options) as made:
                task_status.started(made)
                await stop.wait()
        finally:
            stopped.set()


@asynccontextmanager
async def field_of_nodes(folder: Path) -> AsyncIterator[Field]:
    """A place for nodes; those that still run at the end are stopped."""
    async with trio.open_nursery() as nursery:
        yield Field(nursery, folder)
        nursery.cancel_scope.cancel()
