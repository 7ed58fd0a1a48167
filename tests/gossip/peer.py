"""A node's network as a light process, `python -m tests.gossip.peer FOLDER`, driven by lines on stdin (processes.py).

It keeps its identity, log and address book in FOLDER, prints what happens and what it is asked for as JSON lines, and
ends with its stdin. Commands: `say N` publishes N new records, `state` tells counts, peers and mesh, `ids` names all
records.
"""

import argparse
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

import trio

from gossip.addressbook import AddressBook
from gossip.clock import now_ms
from gossip.events import PeerConnected, PeerLost, PeerRejected, SyncFinished, Trouble
from gossip.identity import Identity, load_or_create
from gossip.log import Log
from gossip.network import Network, open_network
from gossip.record import Record, pack_body, sign
from gossip.tuning import Tuning

TASK: Final = bytes(32)


def main() -> None:
    """Read the options and run until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--swarm", default="test")
    parser.add_argument("--listen", action="append", default=[])
    parser.add_argument("--bootstrap", action="append", default=[])
    parser.add_argument("--heartbeat", type=float, default=0.5)
    parser.add_argument("--max-connections", type=int, default=Tuning.max_connections)
    parser.add_argument("--ping", type=float, default=Tuning.ping)
    parser.add_argument("--patience", type=float, default=Tuning.patience)
    parser.add_argument("--vantage", type=float, default=Tuning.vantage)
    trio.run(run, parser.parse_args())


async def run(options: argparse.Namespace) -> None:
    """The node."""
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
    identity = load_or_create(folder / "identity.pem")
    with Log(folder / "log") as log:
        async with open_network(
            identity,
            log,
            swarm=options.swarm,
            listen=options.listen or ["/ip4/127.0.0.1/tcp/0"],
            bootstrap=options.bootstrap,
            check=lambda record: None,
            tuning=Tuning(
                max_connections=options.max_connections,
                heartbeat=options.heartbeat,
                ping=options.ping,
                patience=options.patience,
                vantage=options.vantage,
            ),
            book=AddressBook(folder / "peers.json"),
        ) as network:
            tell("listening", addresses=network.addresses)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tell_events, network)
                await obey(network, log, identity)
                nursery.cancel_scope.cancel()


def tell(event: str, **data: Any) -> None:
    """Print one JSON line."""
    print(json.dumps({"event": event, **data}), flush=True)


async def tell_events(network: Network) -> None:
    """Print what happens, but records: `ids` names those."""
    async for event in network.events:
        match event:
            case PeerConnected(peer):
                tell("connected", peer=peer.peer, address=peer.address)
            case PeerLost(peer):
                tell("lost", peer=peer.peer)
            case PeerRejected(peer, reason, count):
                tell("rejected", peer=peer, reason=reason, count=count)
            case SyncFinished():
                tell("sync", peer=event.peer, received=event.received, sent=event.sent)
            case Trouble(what, why):
                tell("trouble", what=what, why=why)


async def obey(network: Network, log: Log, identity: Identity) -> None:
    """Answer each line of stdin with a `reply`."""
    held = b""
    async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
        async for chunk in stdin:
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                match line.decode().split():
                    case ["say", count]:
                        tell("reply", said=[(await say(network, log, identity)).hex() for _ in range(int(count))])
                    case ["state"]:
                        tell("reply", **await trio.to_thread.run_sync(functools.partial(state, network, log)))
                    case ["ids"]:
                        tell("reply", ids=[record_id.hex() for _, record_id in log.ids()])
                    case unknown:
                        raise ValueError(f"unknown command {unknown}")


async def say(network: Network, log: Log, identity: Identity) -> bytes:
    """Publish a new record; its id."""
    record: Record = sign(identity, "insight", TASK, now_ms(), pack_body({"nonce": os.urandom(8).hex()}))
    await trio.to_thread.run_sync(log.append, [record])
    await network.publish(record)
    return record.id


def state(network: Network, log: Log) -> dict[str, Any]:
    """What the test compares: the set of records by count and digest, the peers, and the mesh of the records topic."""
    ids = sorted(record_id for _, record_id in log.ids())
    flood, topic = network._mesh.flood, network._mesh.records
    return {
        "records": len(ids),
        "addresses": network.addresses,
        "digest": hashlib.sha256(b"".join(ids)).hexdigest(),
        "peers": [peer.peer for peer in network.peers()],
        "mesh": [str(peer) for peer in flood.router.mesh.get(topic, ())] if flood else [],  # type: ignore[attr-defined]
        "heard_by": len(flood.peer_topics.get(topic, ())) if flood else 0,
    }


if __name__ == "__main__":
    main()
