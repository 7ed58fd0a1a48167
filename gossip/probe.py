"""Why a peer cannot be reached: its address is walked step by step, and the first step that fails is named.

Name, TCP, what the other side says first, Noise, peer id, a libp2p connection, and arnode's own hello. Each probe has
an identity of its own that is on no disk, so that nobody takes it for the node of this machine.
"""

import errno
import os
import re
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Final, Literal

import trio
from google.protobuf.message import DecodeError
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import parse_identify_response
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from gossip import sync, upstream
from gossip.clock import now_ms
from gossip.dial import Unreachable, cause, resolve
from gossip.door import Door
from gossip.frames import ConversationError, PeerBroke, PeerGone, open_conversation
from gossip.host import AddressError, listen_on, open_host, parse_peer_address
from gossip.identity import new_identity
from gossip.pnet import protect
from gossip.reach import Dialable, ask_dialback
from gossip.reasons import alone, reason_of
from gossip.swarmkey import SwarmKey

STEP_SECONDS: Final = 5.0
TALK_SECONDS: Final = 10.0
DRAIN_SECONDS: Final = 0.5
ENOUGH_BYTES: Final = 64
MAX_IDENTIFY: Final = 64 * 1024
MULTISTREAM: Final = b"\x13/multistream/1.0.0\n"

Outcome = Literal[
    "fine",
    "busy",  # an arnode of this swarm that is occupied
    "bad_address",
    "name",  # does not resolve
    "refused",
    "timeout",  # TCP gets no answer
    "no_route",
    "network",  # any other failure of TCP
    "silent",  # TCP connects, and nothing is said
    "closed",  # the connection is ended by the other side
    "not_libp2p",
    "private",  # nothing readable: a private swarm of another key, or something else
    "public",  # a key was given, and the other side has none
    "noise",
    "wrong_peer",
    "not_arnode",  # libp2p, but without our protocol
    "other_swarm",
    "other_version",
]


@dataclass(frozen=True)
class Probed:
    """What was found at an address.

    told: what the outcome is about, such as the system's message, the peer that is there, or the name of its swarm;
    offset_ms: the peer's clock minus this one.
    """

    address: str
    outcome: Outcome
    told: str = ""
    agent: str = ""
    round_trip_ms: float | None = None
    offset_ms: float | None = None


class _Stopped(Exception):
    def __init__(self, outcome: Outcome, told: str = "") -> None:
        super().__init__(told)
        self.outcome = outcome
        self.told = told


async def probe(address: str, swarm: str, key: SwarmKey | None = None) -> Probed:
    """Find out how far one gets with `address` (`/ip4/…/tcp/…/p2p/ID`), as a member of `swarm`.

    key: of a private swarm. Raises nothing; ends within a minute, and mostly at once.
    """
    try:
        async with _open_host(key) as host:
            return await _Prober(host, key).walk(address, swarm)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's answer provokes in the library
        stop = alone(error)
        if isinstance(stop, _Stopped):
            return Probed(address, stop.outcome, stop.told)
        return Probed(address, "closed", reason_of(error))


async def dialback(address: str, port: int, key: SwarmKey | None = None, listen: Sequence[str] = ()) -> Dialable:
    """Have the peer at `address`, which was probed to be fine, dial `port` of this machine.

    listen: where to listen meanwhile, if no node does. Raises ConversationError, ListenError.
    """
    peer, target = parse_peer_address(address)
    try:
        async with _open_host(key) as host:
            await listen_on(host, listen)
            await _Prober(host, key).connect((await resolve(target))[0], peer)
            return await ask_dialback(host, peer, port)
    except Exception as error:
        cause = alone(error)
        if isinstance(cause, _Stopped | Unreachable):
            raise PeerGone(str(cause)) from error
        raise cause from error


def _open_host(key: SwarmKey | None) -> AbstractAsyncContextManager[BasicHost]:
    def nobody(*_: object) -> None:
        """Nobody hears of what peers do to a host that lives for one question."""

    return open_host(new_identity(), door=Door(), admit=lambda peer: True, blame=nobody, report=nobody, key=key)


@dataclass(frozen=True)
class _Prober:
    host: BasicHost
    key: SwarmKey | None

    async def walk(self, text: str, swarm: str) -> Probed:
        try:
            peer, address = parse_peer_address(text)
        except AddressError as error:
            raise _Stopped("bad_address", str(error)) from error
        try:
            targets = await resolve(address)
        except Unreachable as error:
            raise _Stopped("name", str(error)) from error
        stop: _Stopped | None = None
        for target in targets:
            try:
                await self._shake_hands(target, peer)
                await self.connect(target, peer)
            except _Stopped as error:
                stop = stop or error
            else:
                return await self._greet(Probed(text, "fine"), peer, swarm)
        raise stop or _Stopped("name", "it has no address")

    async def _shake_hands(self, address: Multiaddr, peer: ID) -> None:
        """TCP and Noise, and nothing more, so that what fails can be told from what was said."""
        stream = _Listened(await _connect_tcp(address))
        try:
            raw = RawConnection(stream, True)
            guarded = raw if self.key is None else protect(raw, self.key.secret.hex())
            with trio.fail_after(STEP_SECONDS):
                await upstream.swarm_of(self.host).upgrader.upgrade_security(guarded, True, peer)
        except Exception as error:
            with trio.move_on_after(DRAIN_SECONDS):
                await stream.hear_out()
            raise self._why(stream, error) from error
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await stream.close()

    def _why(self, stream: "_Listened", error: Exception) -> _Stopped:
        heard = stream.heard
        if isinstance(error, trio.TooSlowError) and not heard:
            return _Stopped("silent")
        if not heard:
            return _Stopped("closed", cause(error))
        if not MULTISTREAM.startswith(heard[: len(MULTISTREAM)]):
            readable = heard.isascii() and all(chr(byte).isprintable() or chr(byte).isspace() for byte in heard)
            line = heard.decode("latin1").strip().partition("\n")[0].strip()
            return _Stopped("not_libp2p", line) if readable else _Stopped("private")
        if self.key is not None:
            return _Stopped("public")
        why = cause(error)
        found = re.search(r"remote_peer_id_from_pubkey=(\w+)", why)
        return _Stopped("wrong_peer", found.group(1)) if found else _Stopped("noise", why)

    async def connect(self, address: Multiaddr, peer: ID) -> None:
        swarm = upstream.swarm_of(self.host)
        swarm.unblock_peer(peer)
        try:
            with trio.fail_after(STEP_SECONDS):
                await swarm.dial_addr(address, peer)
        except (BaseLibp2pError, OSError, trio.TooSlowError) as error:
            raise _Stopped("closed", cause(error)) from error

    async def _greet(self, probed: Probed, peer: ID, swarm: str) -> Probed:
        probed = replace(probed, agent=await self._agent(peer))
        protocol = TProtocol(sync.PROTOCOL)
        try:
            async with open_conversation(self.host, peer, protocol, budget=1 << 20, seconds=TALK_SECONDS) as frames:
                sent, sent_ms = trio.current_time(), now_ms()
                await frames.send("hello", sync.VERSION, swarm, sent_ms, {"archive": False})
                answer = await frames.receive()
                took_ms = 1000 * (trio.current_time() - sent)
        except PeerBroke as error:
            return replace(probed, outcome="not_arnode", told=str(error))
        except ConversationError as error:
            still = upstream.swarm_of(self.host).get_connections(peer)
            return replace(probed, outcome="not_arnode" if still else "closed", told=str(error))
        probed = replace(probed, round_trip_ms=took_ms)
        match answer:
            case ["hello", int(version), *_] if version != sync.VERSION:
                return replace(probed, outcome="other_version", told=str(version))
            case ["hello", int(), str(theirs), int(time_ms), dict()]:
                probed = replace(probed, offset_ms=time_ms - sent_ms - took_ms / 2)
                return probed if theirs == swarm else replace(probed, outcome="other_swarm", told=theirs[:64])
            case ["refuse", "swarm", str(theirs)]:
                return replace(probed, outcome="other_swarm", told=theirs[:64])
            case ["refuse", "version", int(version)]:
                return replace(probed, outcome="other_version", told=str(version))
            case ["refuse", "busy"]:
                return replace(probed, outcome="busy")
        return replace(probed, outcome="not_arnode", told="it did not say hello")

    async def _agent(self, peer: ID) -> str:
        """What software the peer says it runs; empty if it does not say."""
        try:
            with trio.fail_after(STEP_SECONDS):
                stream = await self.host.new_stream(peer, [IDENTIFY])
                said = b""
                try:
                    while chunk := await stream.read(MAX_IDENTIFY):
                        said += chunk
                        if len(said) > MAX_IDENTIFY:
                            break
                except BaseLibp2pError:
                    pass  # the library raises at the end of a stream
                finally:
                    await upstream.reset(stream)
            return parse_identify_response(said).agent_version[:64]
        except (BaseLibp2pError, trio.TooSlowError, DecodeError, ValueError):
            return ""


async def _connect_tcp(address: Multiaddr) -> TrioTCPStream:
    kind = address.protocols()[0].name
    made = trio.socket.socket(socket.AF_INET6 if kind == "ip6" else socket.AF_INET, socket.SOCK_STREAM)
    try:
        with trio.fail_after(STEP_SECONDS):
            await made.connect((str(address.value_for_protocol(kind)), int(str(address.value_for_protocol("tcp")))))
    except trio.TooSlowError as error:
        made.close()
        raise _Stopped("timeout", f"no answer within {STEP_SECONDS:.0f} s") from error
    except OSError as error:
        made.close()
        outcome: Outcome = "network"
        if error.errno == errno.ECONNREFUSED:
            outcome = "refused"
        elif error.errno == errno.ETIMEDOUT:
            outcome = "timeout"
        elif error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN):
            outcome = "no_route"
        raise _Stopped(outcome, os.strerror(error.errno) if error.errno else str(error)) from error
    return TrioTCPStream(trio.SocketStream(made))


class _Listened(ReadWriteCloser):
    """A stream that remembers the first bytes that came."""

    def __init__(self, stream: TrioTCPStream) -> None:
        self.heard = b""
        self._stream = stream

    async def read(self, n: int | None = None) -> bytes:
        data = await self._stream.read(n)
        if len(self.heard) < ENOUGH_BYTES:
            self.heard += data
        return data

    async def hear_out(self) -> None:
        """Read on, so that what was said can be told from noise."""
        while len(self.heard) < ENOUGH_BYTES:
            try:
                data = await self.read(ENOUGH_BYTES)
            except BaseLibp2pError:
                return
            if not data:
                return

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._stream.get_remote_address()
