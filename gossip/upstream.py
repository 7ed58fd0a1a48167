"""What libp2p 0.8.1 gets wrong, mended in one place; GossipSub's half is gossip/flood.py and router.py.

Each class and function here says which symptom it removes; tests/gossip/test_upstream.py shows the symptoms in the bare
library, so that a release which mends one is noticed and its part of this module can go.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import trio
from libp2p import new_host
from libp2p.abc import IMuxedConn, INetConn, INetStream, IRawConnection
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as new_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.io import trio as trio_io
from libp2p.network import swarm as libp2p_swarm
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection import swarm_connection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.rcmgr.manager import ResourceLimits, ResourceManager
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from gossip import wire, yamux
from gossip.door import MAX_HANDSHAKES, Door, Guest
from gossip.pnet import protect
from gossip.reasons import reason_of
from gossip.swarmkey import SwarmKey

HANDSHAKE_SECONDS: Final = 5.0
REPORT_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 60.0
MAX_CONNECTIONS_OF_A_PEER: Final = 4


def install() -> None:
    """Mend what can only be mended for the whole process; may be called any number of times.

    - Symptom: a failed dial prints ERROR lines on stderr, because the logger `libp2p` has no handler, and
      `swarm_connection` logs through the root logger, which makes `logging` install a stderr handler for everyone.
    - Symptom: the library's private networks are not those of the specification, see `gossip.pnet.protect`.
    - Symptom: a connection over IPv6 has no remote address, so no limit per address holds.
    """
    logger = logging.getLogger("libp2p")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    vars(swarm_connection)["logging"] = logging.getLogger("libp2p.network.connection")
    vars(libp2p_swarm)["new_protected_conn"] = protect
    yamux.install()
    trio_io.TrioTCPStream.get_remote_address = _remote_address  # type: ignore[method-assign, assignment]


def _remote_address(tcp: trio_io.TrioTCPStream) -> tuple[str, int] | None:
    if tcp._cached_remote_address is None:
        try:
            ip, port, *_ = tcp.stream.socket.getpeername()
        except OSError:
            return None  # it has gone
        tcp._cached_remote_address = str(ip), int(port)
    return tcp._cached_remote_address


def noise_host(
    key_pair: KeyPair,
    *,
    max_connections: int,
    door: Door,
    admit: Callable[[ID], bool],
    blame: Callable[[ID, str], object],
    report: Callable[[str, str], object],
    addresses: Callable[[list[Multiaddr]], list[Multiaddr]],
    key: SwarmKey | None = None,
) -> BasicHost:
    """A TCP host that offers Noise and Yamux only, and survives its peers.

    `door` says who may connect, `admit` whether a peer that has just proved its id may stay; `blame(peer, reason)`
    hears of broken rules, `report(what, why)` of faults in this node's own handlers; `addresses` turns the listen
    addresses into those to advertise. With a `key`, only holders of the same key can connect, see gossip/pnet.py.

    - Symptom: `new_host()` also offers `/secio` and `/plaintext/2.0.0`, under which a stranger takes any peer id of
      which he knows the public key.
    - Symptom: the default resource manager opens a circuit breaker after five refusals and then refuses every
      connection for a minute; the limits that are wanted are set here.
    - Symptom: a dial is silently repeated three times, and a connector of the library's own dials whom it knows,
      whatever the watermarks say; dialling is the business of gossip/peers.py.
    - Symptom: opening a stream to a peer that has just gone dials it again, even one that was shut out.
    """
    limits = ConnectionLimits(max_established_per_peer=MAX_CONNECTIONS_OF_A_PEER, max_established_total=max_connections)
    resources = ResourceManager(
        # wide enough for all that the limits of single connections allow: at this one, all peers wait for one
        limits=ResourceLimits(
            max_connections=2 * max_connections + MAX_HANDSHAKES, max_streams=4 * max_connections * yamux.MAX_STREAMS
        ),
        connection_limits=limits,
        enable_metrics=False,
        enable_circuit_breaker=False,
        enable_graceful_degradation=False,
        enable_rate_limiting=False,
    )
    host = new_host(
        key_pair=key_pair,
        sec_opt={NOISE_ID: Noise(key_pair, noise_privkey=new_x25519_key_pair().private_key)},
        muxer_opt={TProtocol(YAMUX_ID): Yamux},
        resource_manager=resources,
        # a watermark that is never passed: the library closes no connection on its own
        connection_config=ConnectionConfig(
            max_connections=max_connections,
            min_connections=0,
            low_watermark=0,
            high_watermark=max_connections,
            inbound_upgrade_timeout=HANDSHAKE_SECONDS,
            outbound_upgrade_timeout=HANDSHAKE_SECONDS,
            inbound_stream_protocol_negotiation_timeout=HANDSHAKE_SECONDS,
        ),
        addrs_factory=addresses,
        disable_identify_address_discovery=True,
        psk=None if key is None else key.secret.hex(),
    )
    if not isinstance(host, BasicHost):
        raise TypeError(f"libp2p made a {type(host).__name__}, not a BasicHost")
    swarm = swarm_of(host)
    swarm.retry_config = RetryConfig(max_retries=0)
    vars(swarm.auto_connector)["maybe_connect"] = trio.lowlevel.checkpoint
    vars(swarm)["dial_peer"] = _do_not_dial
    wire.use_for(swarm, blame)
    _survive_stream_handlers(host, swarm, report)
    _give_slots_back(swarm, max_connections, door, admit)
    _close_cancelled_dials(swarm)
    return host


async def _do_not_dial(peer: ID) -> list[INetConn]:
    await trio.lowlevel.checkpoint()
    raise SwarmException(f"there is no connection to {peer}")


async def disconnect(swarm: Swarm, peer: ID) -> None:
    """Close every connection to a peer.

    Symptom: the library's `close_peer` forgets, but does not close, a connection that is made meanwhile.
    """
    async with trio.open_nursery() as nursery:
        for connection in swarm.get_connections(peer):
            nursery.start_soon(connection.close)


def swarm_of(host: BasicHost) -> Swarm:
    """The host's network, by its real type."""
    network = host.get_network()
    if not isinstance(network, Swarm):
        raise TypeError(f"libp2p's network is a {type(network).__name__}, not a Swarm")
    return network


def _survive_stream_handlers(host: BasicHost, swarm: Swarm, report: Callable[[str, str], object]) -> None:
    """Symptom: an exception in any stream handler, the library's own included, ends the whole Swarm.

    What is no libp2p error is a fault of ours, and reported; once a minute, since a stranger may cause it at will.
    """
    inner = host._swarm_stream_handler
    silent_until = -float("inf")

    async def serve(stream: INetStream) -> None:
        nonlocal silent_until
        try:
            await inner(stream)
        except Exception as error:  # noqa: BLE001 - any one of them would end the Swarm
            logging.getLogger("libp2p.arnode").debug("stream handler failed: %r", error)
            if not isinstance(error, BaseLibp2pError) and trio.current_time() >= silent_until:
                silent_until = trio.current_time() + REPORT_SECONDS
                report("answering a peer", reason_of(error))
            await reset(stream)

    swarm.set_stream_handler(serve)


def _close_cancelled_dials(swarm: Swarm) -> None:
    """Symptom: a dial that is cancelled during its handshake leaves a socket open and a place in the limits taken."""
    upgrade = swarm.upgrade_outbound_raw_conn

    async def upgrade_or_close(raw: IRawConnection, peer: ID, place: Any = None) -> SwarmConn:
        try:
            return await upgrade(raw, peer, place)
        except BaseException:
            if place is not None:
                place.close()
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await raw.close()
            raise

    vars(swarm)["upgrade_outbound_raw_conn"] = upgrade_or_close


def _give_slots_back(swarm: Swarm, max_connections: int, door: Door, admit: Callable[[ID], bool]) -> None:
    """Symptom: an inbound connection keeps its slot for ever; after 250 of them the node refuses all.

    The library returns the slot when its handler raises, so the handler now waits for the connection's end and raises.
    Symptom: idle sockets hold the slots until the handshake times out. Now handshakes have slots besides those of
    connections, and `door` says who comes in and who gives way.
    Symptom: a connection on which its peer opens no stream is kept for ever.
    """
    upgrade = swarm.upgrade_inbound_raw_conn
    swarm._inbound_limiter = trio.CapacityLimiter(max_connections + 2 * MAX_HANDSHAKES)
    shaking: dict[Guest, IRawConnection] = {}

    async def shake_hands(guest: Guest, raw: IRawConnection, listening: Multiaddr) -> IMuxedConn:
        shaking[guest] = raw
        try:
            late = door.crowded_out()
            if late is not None:
                await shaking[late].close()
            return await upgrade(raw, listening)
        finally:
            del shaking[guest]
            door.greeted(guest)

    async def serve(raw: IRawConnection, listening: Multiaddr) -> IMuxedConn:
        remote = raw.get_remote_address()
        guest = door.enter(remote[0] if remote else "", trio.current_time())
        if isinstance(guest, str):
            raise SwarmException(guest)
        try:
            muxed = await shake_hands(guest, raw, listening)
            for connection in swarm.get_connections(muxed.peer_id):
                if isinstance(connection, SwarmConn) and connection.muxed_conn is muxed:
                    if not admit(muxed.peer_id):
                        await connection.close()
                    await _until_closed_or_idle(connection)
        finally:
            door.leave(guest)
        raise SwarmException("the connection has ended")

    vars(swarm)["upgrade_inbound_raw_conn"] = serve


async def _until_closed_or_idle(connection: SwarmConn) -> None:
    """Return when the connection has ended; end it when its peer has had no stream open at two looks in a row."""
    was_idle = False
    while not connection.is_closed:
        with trio.move_on_after(IDLE_SECONDS):
            await connection.event_closed.wait()
        idle = isinstance(connection.muxed_conn, Yamux) and not yamux.streams_of_peer(connection.muxed_conn)
        if idle and was_idle:
            await connection.close()
        was_idle = idle


async def reset(stream: INetStream) -> None:
    """Reset a stream even when cancelled; a stream that has ended already is fine.

    Symptom: a stream left open on cancellation makes the other side wait for its five-second timeouts.
    """
    with trio.CancelScope(shield=True), trio.move_on_after(1):
        try:
            await stream.reset()
        except BaseLibp2pError as error:
            logging.getLogger("libp2p.arnode").debug("reset: %r", error)
