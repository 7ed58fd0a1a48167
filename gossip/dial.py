"""Dialling one peer: names are looked up, every address is tried, and why it failed is known.

The library's own `connect` tries one address only and shuts a peer out for a minute after a failure; its resolver reads
neither /etc/hosts nor the system's other sources of names.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from gossip import upstream
from gossip.pnet import protect

LOOKUP_SECONDS: Final = 5.0
DIAL_SECONDS: Final = 5.0
STAGGER_SECONDS: Final = 1.0
MAX_ADDRESSES: Final = 8

FAMILIES: Final = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}


class Unreachable(Exception):
    """A dial that did not get through; the message says how far it came."""


async def dial(host: BasicHost, peer: ID, addresses: Sequence[Multiaddr]) -> Multiaddr | None:
    """Connect to `peer` at one of its addresses; at most MAX_ADDRESSES are tried.

    Returns the address that answered, with its name looked up; None if there is a connection otherwise.

    An address that does not answer delays the next by STAGGER_SECONDS only. Raises Unreachable.
    """
    swarm = upstream.swarm_of(host)
    if swarm.get_connections(peer):
        await trio.lowlevel.checkpoint()
        return None
    swarm.unblock_peer(peer)
    tries = _Tries([], [])
    async with trio.open_nursery() as nursery:
        for address in addresses[:MAX_ADDRESSES]:
            ended = trio.Event()
            nursery.start_soon(_try, host, peer, address, tries, ended, nursery.cancel_scope)
            with trio.move_on_after(STAGGER_SECONDS):
                await ended.wait()
            if tries.connected:
                break
    if not swarm.get_connections(peer):
        raise Unreachable("; ".join(dict.fromkeys(tries.failures)) or "it has no address")
    return tries.connected[0] if tries.connected else None


@dataclass
class _Tries:
    connected: list[Multiaddr]
    failures: list[str]


async def _try(
    host: BasicHost, peer: ID, address: Multiaddr, tries: _Tries, ended: trio.Event, others: trio.CancelScope
) -> None:
    try:
        for resolved in await resolve(address):
            try:
                await _connect(host, peer, resolved)
            except Unreachable as error:
                tries.failures.append(str(error))
            else:
                tries.connected.append(resolved)
                others.cancel()
                return
    except Unreachable as error:
        tries.failures.append(str(error))
    finally:
        ended.set()


async def _connect(host: BasicHost, peer: ID, address: Multiaddr) -> None:
    try:
        with trio.fail_after(DIAL_SECONDS):
            await upstream.swarm_of(host).dial_addr(address, peer)
    except (BaseLibp2pError, MultiaddrError, OSError, ValueError) as error:
        raise Unreachable(f"{address}: {cause(error)}") from error
    except trio.TooSlowError as error:
        raise Unreachable(f"{address}: no answer within {DIAL_SECONDS:.0f} s") from error


async def resolve(address: Multiaddr) -> list[Multiaddr]:
    """The IP addresses behind `/dns…/NAME/tcp/PORT`; any other address is its own. Raises Unreachable."""
    kind = address.protocols()[0].name
    if kind not in FAMILIES:
        await trio.lowlevel.checkpoint()
        return [address]
    name, port = str(address.value_for_protocol(kind)), address.value_for_protocol("tcp")
    try:
        with trio.fail_after(LOOKUP_SECONDS):
            found = await trio.socket.getaddrinfo(name, None, family=FAMILIES[kind], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"the name {name} is not found ({error})") from error
    except trio.TooSlowError as error:
        raise Unreachable(f"looking up {name} took more than {LOOKUP_SECONDS:.0f} s") from error
    ips = {sockaddr[0]: 6 if family == socket.AF_INET6 else 4 for family, _, _, _, sockaddr in found}
    return [Multiaddr(f"/ip{version}/{ip}/tcp/{port}") for ip, version in ips.items()]


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
                raise Unreachable(f"no TCP connection ({cause(error)})") from error
            guarded = raw if swarm.psk is None else protect(raw, swarm.psk)
            try:
                await swarm.upgrader.upgrade_security(guarded, True, peer)
            except BaseLibp2pError as error:
                raise Unreachable(f"TCP connects, but it is not this peer that answers ({cause(error)})") from error
    except trio.TooSlowError as error:
        stage = "no TCP connection" if raw is None else "TCP connects, but there is no Noise handshake"
        raise Unreachable(f"{stage} within {DIAL_SECONDS:.0f} s") from error
    finally:
        if raw is not None:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await raw.close()


def cause(error: BaseException) -> str:
    """What was at the bottom of it, without what the library says about that."""
    while below := error.__cause__ or (error.exceptions[0] if isinstance(error, BaseExceptionGroup) else None):
        error = below
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
