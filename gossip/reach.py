"""Is this node dialable? A peer dials back: the protocol `/arnode/reach/1`.

A question is `dial?, port`. The peer dials that port of the very address it sees the asker at, and no other, with Noise
and the asker's peer id, hangs up, and answers `dialed, address, failure`, where the failure is empty if it got through;
or `refuse, busy`. So a node learns how others see it, and whether the addresses it announces are worth dialling. Nobody
can be made to dial a third party, or anyone often; ports that belong to system services are left alone.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from gossip.bucket import Bucket, Buckets, Rate
from gossip.dial import Unreachable, shake_hands
from gossip.frames import ConversationError, PeerBroke, conversation, open_conversation

PROTOCOL: Final = TProtocol("/arnode/reach/1")
BUDGET: Final = 1024
TALK_SECONDS: Final = 15.0
LOWEST_PORT: Final = 1024
MAX_TEXT: Final = 200

FOR_A_PEER: Final = Rate(burst=3, per_second=1 / 30)
FOR_ALL: Final = Rate(burst=20, per_second=1)


class Declined(ConversationError):
    """The peer has no time to dial back just now."""


@dataclass(frozen=True)
class Dialable:
    """What a peer found. address: where it dialled, `/ip4/…/tcp/…`; failure: empty, or what stopped it."""

    address: str
    failure: str = ""


async def ask_dialback(host: BasicHost, peer: ID, port: int | None = None) -> Dialable:
    """Ask a connected peer to dial this node back on `port`, by default the first it listens on.

    Raises ConversationError: Declined when the peer is busy, others when it is gone or does not speak the protocol.
    """
    asked = port if port is not None else int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
    async with open_conversation(host, peer, PROTOCOL, budget=BUDGET, seconds=TALK_SECONDS) as frames:
        await frames.send("dial?", asked)
        match await frames.receive():
            case ["dialed", str(address), str(failure)] if len(failure) <= MAX_TEXT and _names(address, asked):
                return Dialable(address, failure)
            case ["refuse", "busy"]:
                raise Declined("the peer has no time to dial back just now")
    raise PeerBroke("did not say whether it could dial back")


class DialLimits:
    """How often this node dials back. Pure."""

    def __init__(self) -> None:
        self._all = Bucket(FOR_ALL)
        self._peers: Buckets[str] = Buckets(FOR_A_PEER)

    def allow(self, peer: str, now: float) -> bool:
        """Whether to dial back for `peer` now, by a clock in seconds."""
        return self._peers.take(peer, now) and self._all.take(now)


class DialBack:
    """The answering side, for as long as the host runs. `blame` hears of peers that break the protocol."""

    def __init__(self, host: BasicHost, blame: Callable[[ID, str], object]) -> None:
        self._host = host
        self._blame = blame
        self._limits = DialLimits()
        host.set_stream_handler(PROTOCOL, self._answer)

    async def _answer(self, stream: INetStream) -> None:
        asker = stream.muxed_conn.peer_id
        remote = stream.get_remote_address()
        try:
            async with conversation(stream, budget=BUDGET, seconds=TALK_SECONDS) as frames:
                match await frames.receive():
                    case ["dial?", int(port)] if LOWEST_PORT <= port < 65536:
                        pass
                    case _:
                        raise PeerBroke("asked to be dialled in an unknown way")
                if remote is None or not self._limits.allow(str(asker), trio.current_time()):
                    await frames.send("refuse", "busy")
                    return
                ip = ipaddress.ip_address(remote[0])
                address = Multiaddr(f"/ip{ip.version}/{ip}/tcp/{port}")
                try:
                    await shake_hands(self._host, address, asker)
                except Unreachable as error:
                    await frames.send("dialed", str(address), str(error)[:MAX_TEXT])
                else:
                    await frames.send("dialed", str(address), "")
        except PeerBroke as error:
            self._blame(asker, str(error))
        except ConversationError:
            return


def _names(text: str, port: int) -> bool:
    """Whether it is the address of an IP and that port."""
    try:
        address = Multiaddr(text)
        ip, tcp = address.protocols()
        return ip.name in ("ip4", "ip6") and tcp.name == "tcp" and address.value_for_protocol("tcp") == str(port)
    except (MultiaddrError, ValueError):
        return False
