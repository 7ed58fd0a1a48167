"""Is this node dialable? A peer dials back: the protocol `/arnode/reach/1`.

A question is `dial?, port`. The peer dials that port of the very address it sees the asker at, and no other, with Noise
and the asker's peer id, hangs up, and answers `dialed, address, failure`, where the failure is empty if it got through;
or `refuse, busy`. So a node learns how others see it, and whether the addresses it announces are worth dialling. Nobody
can be made to dial a third party, or anyone often; ports that belong to system services are left alone.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.security.pnet.protector import new_protected_conn
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from gossip import upstream
from gossip.frames import ConversationError, PeerBroke, conversation, open_conversation

PROTOCOL: Final = TProtocol("/arnode/reach/1")
BUDGET: Final = 1024
TALK_SECONDS: Final = 15.0
DIAL_SECONDS: Final = 5.0
LOWEST_PORT: Final = 1024
MAX_TEXT: Final = 200

PEER_BURST: Final = 3.0
PEER_PER_SECOND: Final = 1 / 30
ALL_BURST: Final = 20.0
ALL_PER_SECOND: Final = 1.0
MAX_PEERS: Final = 1000


class Declined(ConversationError):
    """The peer has no time to dial back just now."""


class Unreachable(Exception):
    """A dial that did not get through; the message says how far it came."""


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


async def shake_hands(host: BasicHost, address: Multiaddr, peer: ID) -> None:
    """Connect to `address`, prove by Noise that `peer` is there, and hang up. Raises Unreachable."""
    swarm = upstream.swarm_of(host)
    transport = swarm.transport_manager.transport_for_dialing(address)
    if transport is None:
        raise Unreachable(f"{address} is no TCP address")
    raw = None
    try:
        with trio.fail_after(DIAL_SECONDS):
            try:
                raw = await transport.dial(address)
            except BaseLibp2pError as error:
                raise Unreachable(f"no TCP connection ({_cause(error)})") from error
            guarded = raw if swarm.psk is None else new_protected_conn(raw, swarm.psk)
            try:
                await swarm.upgrader.upgrade_security(guarded, True, peer)
            except BaseLibp2pError as error:
                raise Unreachable(f"TCP connects, but it is not this peer that answers ({_cause(error)})") from error
    except trio.TooSlowError as error:
        stage = "no TCP connection" if raw is None else "TCP connects, but there is no Noise handshake"
        raise Unreachable(f"{stage} within {DIAL_SECONDS:.0f} s") from error
    finally:
        if raw is not None:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await raw.close()


@dataclass
class Bucket:
    """Tokens that refill with time. Pure: the time, in seconds, is passed in."""

    size: float
    per_second: float
    tokens: float = field(default=-1.0)
    seen: float = 0.0

    def take(self, now: float) -> bool:
        """Take a token; whether there was one."""
        self.tokens = (
            self.size if self.tokens < 0 else min(self.size, self.tokens + (now - self.seen) * self.per_second)
        )
        self.seen = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class DialLimits:
    """How often this node dials back: PEER_BURST at once for a peer, ALL_BURST for all. Pure."""

    def __init__(self) -> None:
        self._all = Bucket(ALL_BURST, ALL_PER_SECOND)
        self._peers: OrderedDict[str, Bucket] = OrderedDict()

    def allow(self, peer: str, now: float) -> bool:
        """Whether to dial back for `peer` now, by a clock in seconds."""
        bucket = self._peers.setdefault(peer, Bucket(PEER_BURST, PEER_PER_SECOND))
        self._peers.move_to_end(peer)
        if len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        return bucket.take(now) and self._all.take(now)


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


def _cause(error: BaseException) -> str:
    """What was at the bottom of it, without what the library says about that."""
    while cause := error.__cause__ or (error.exceptions[0] if isinstance(error, BaseExceptionGroup) else None):
        error = cause
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__


def _names(text: str, port: int) -> bool:
    """Whether it is the address of an IP and that port."""
    try:
        address = Multiaddr(text)
        ip, tcp = address.protocols()
        return ip.name in ("ip4", "ip6") and tcp.name == "tcp" and address.value_for_protocol("tcp") == str(port)
    except (MultiaddrError, ValueError):
        return False
