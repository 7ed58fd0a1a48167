"""The protocol `/arnode/peers/1`, by which peers name peers to each other.

- `peers?, swarm` is answered by `peers, […]`: signed peer records of peers that are connected, at most MAX_NAMED.
- `leave, […]` is answered by `left`: the sender has too many connections, names others, and will now close this one; it
  is not to be dialled again for a while.

Each entry is a peer's own signed record, so addresses can be withheld but not forged.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.envelope import consume_envelope
from libp2p.peer.id import ID
from multiaddr.exceptions import Error as MultiaddrError

from gossip.frames import PeerBroke, conversation, open_conversation

PROTOCOL: Final = TProtocol("/arnode/peers/1")
MAX_NAMED: Final = 32
MAX_ENVELOPE: Final = 4096
BUDGET: Final = 256 * 1024
TALK_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Named:
    """A peer by its own word: where it says it is, and how recent that is."""

    peer: ID
    addresses: tuple[str, ...]
    seq: int


async def ask(host: BasicHost, peer: ID, swarm: str) -> list[bytes]:
    """Ask a connected peer for peers of the swarm; their envelopes. Raises ConversationError."""
    async with open_conversation(host, peer, PROTOCOL, budget=BUDGET, seconds=TALK_SECONDS) as frames:
        await frames.send("peers?", swarm)
        match await frames.receive():
            case ["peers", list(envelopes)] if _are_envelopes(envelopes):
                return envelopes
    raise PeerBroke("did not name its peers")


async def dismiss(host: BasicHost, peer: ID, envelopes: Sequence[bytes]) -> None:
    """Tell a connected peer that its connection will be closed, and of others. Raises ConversationError."""
    async with open_conversation(host, peer, PROTOCOL, budget=BUDGET, seconds=TALK_SECONDS) as frames:
        await frames.send("leave", list(envelopes))
        if await frames.receive() != ["left"]:
            raise PeerBroke("did not say that it leaves")


async def answer(
    stream: INetStream,
    swarm: str,
    *,
    name: Callable[[ID], list[bytes]],
    dismissed: Callable[[ID, list[bytes]], object],
) -> None:
    """The other side of both. `name` gives the envelopes for an asker. Raises ConversationError."""
    asker = stream.muxed_conn.peer_id
    async with conversation(stream, budget=BUDGET, seconds=TALK_SECONDS) as frames:
        match await frames.receive():
            case ["peers?", str(theirs)]:
                await frames.send("peers", name(asker) if theirs == swarm else [])
            case ["leave", list(envelopes)] if _are_envelopes(envelopes):
                dismissed(asker, envelopes)
                await frames.send("left")
            case _:
                raise PeerBroke("asked for peers in an unknown way")


def envelopes_of(host: BasicHost, peers: Sequence[ID]) -> list[bytes]:
    """The signed records of those peers that have sent one, at most MAX_NAMED."""
    store = host.get_peerstore()
    found = (record.marshal_envelope() for peer in peers if (record := store.get_peer_record(peer)) is not None)
    return [envelope for envelope in found if len(envelope) <= MAX_ENVELOPE][:MAX_NAMED]


def read(envelopes: Sequence[bytes]) -> Iterator[Named]:
    """Those of the records that are truly signed; who passes a bad one on could not know better."""
    for envelope in envelopes:
        try:
            _, record = consume_envelope(envelope, "libp2p-peer-record")
            addresses = (str(address).removesuffix(f"/p2p/{record.peer_id}") for address in record.addrs)
            yield Named(record.peer_id, tuple(addresses), record.seq)
        except (ValueError, DecodeError, MultiaddrError):
            continue


def _are_envelopes(envelopes: list[Any]) -> bool:
    return len(envelopes) <= MAX_NAMED and all(isinstance(e, bytes) and len(e) <= MAX_ENVELOPE for e in envelopes)
