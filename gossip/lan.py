"""Finding nodes of the same swarm on the local network by mDNS, without being told any address.

A node announces the service `_arnode._tcp` with its addresses, its peer id and a tag: a keyed hash of the swarm's name
and the peer id. Members of the swarm know each other by it; to others no two tags look related, and of a private swarm
not even a guess at its name can be tested. Nothing found is believed further than that it is worth dialling.

zeroconf runs a thread with an event loop of its own; what it finds is passed to trio through a channel. libp2p's
wrapper around it announces one address, which it guesses, and starts in the middle of the host.
"""

import hmac
import ipaddress
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import trio
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, NonUniqueNameException, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from gossip.swarmkey import SwarmKey

SERVICE: Final = "_arnode._tcp.local."
CONTEXT: Final = b"arnode/lan/1\0"
TAG_BYTES: Final = 16
ASK_MS: Final = 3000
MAX_WAITING: Final = 64
MAX_ADDRESSES: Final = 8
LOOK_SECONDS: Final = 30.0

Found = Callable[[ID, list[Multiaddr]], object]


def tag_of(swarm: str, key: SwarmKey | None, peer: str) -> str:
    """What a member announces: 32 hexadecimal digits that only members can check."""
    secret = key.tag("lan") if key is not None else b"\0"
    return hmac.digest(secret, CONTEXT + swarm.encode() + b"\0" + peer.encode(), "sha256")[:TAG_BYTES].hex()


async def stay_visible(
    peer: ID,
    addresses: Callable[[], Sequence[Multiaddr]],
    swarm: str,
    key: SwarmKey | None,
    *,
    found: Found,
    note: Callable[[str], object],
) -> None:
    """Announce this node's `addresses`, and report others of the swarm to `found`; anew when the addresses change.

    Runs until cancelled, or until it turns out that this machine has no multicast, which is noted once.
    """
    logging.getLogger("zeroconf").addHandler(logging.NullHandler())
    tag = tag_of(swarm, key, str(peer))
    while True:
        ips, port = where(addresses())
        info = ServiceInfo(
            SERVICE,
            f"{tag}.{SERVICE}",
            port=port,
            properties={"p": str(peer), "t": tag},
            parsed_addresses=ips,
            server=f"{tag}.local.",
        )
        try:
            zeroconf = await trio.to_thread.run_sync(_open, ips)
        except (OSError, ZeroconfError) as error:
            note(f"nodes on the local network are not found by themselves: mDNS does not work here ({error})")
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_announce_and_hear, zeroconf, info, swarm, key, found)
                while where(addresses()) == (ips, port):  # noqa: ASYNC110 - no system tells of it in the same way
                    await trio.sleep(LOOK_SECONDS)
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(zeroconf.close)


async def _announce_and_hear(
    zeroconf: Zeroconf, info: ServiceInfo, swarm: str, key: SwarmKey | None, found: Found
) -> None:
    heard, names = trio.open_memory_channel[str](MAX_WAITING)
    token = trio.lowlevel.current_trio_token()

    def on_change(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(_put, heard, name)

    with suppress(NonUniqueNameException):  # another process with this identity, which is noticed elsewhere
        await trio.to_thread.run_sync(zeroconf.register_service, info)
    await trio.to_thread.run_sync(ServiceBrowser, zeroconf, [SERVICE], [on_change])
    async for name in names:
        if name != info.name:
            await _look_up(zeroconf, name, swarm, key, found)


def _put(heard: trio.MemorySendChannel[str], name: str) -> None:
    with suppress(trio.WouldBlock, trio.BrokenResourceError):
        heard.send_nowait(name)


async def _look_up(zeroconf: Zeroconf, name: str, swarm: str, key: SwarmKey | None, found: Found) -> None:
    info = await trio.to_thread.run_sync(zeroconf.get_service_info, SERVICE, name, ASK_MS)
    if info is None or info.port is None:
        return
    peer, tag = (info.decoded_properties.get(field) or "" for field in ("p", "t"))
    if not hmac.compare_digest(tag.encode(), tag_of(swarm, key, peer).encode()):
        return
    ips = [ipaddress.ip_address(text) for text in info.parsed_addresses(IPVersion.All)[:MAX_ADDRESSES]]
    usable = [Multiaddr(f"/ip{ip.version}/{ip}/tcp/{info.port}") for ip in ips if not ip.is_link_local]
    with suppress(ValueError):
        found(ID.from_string(peer), usable)


def _open(ips: Sequence[str]) -> Zeroconf:
    return Zeroconf(interfaces=[ip for ip in ips if ":" not in ip] or list(ips))


def where(addresses: Sequence[Multiaddr]) -> tuple[list[str], int]:
    """The IPs at which the port of the first address is open; loopback only if there is nothing else."""
    port = int(addresses[0].value_for_protocol("tcp"))
    ips = [
        ipaddress.ip_address(address.value_for_protocol(address.protocols()[0].name))
        for address in addresses
        if int(address.value_for_protocol("tcp")) == port
    ]
    chosen = [ip for ip in ips if not ip.is_loopback] or ips
    return [str(ip) for ip in chosen][:MAX_ADDRESSES], port
