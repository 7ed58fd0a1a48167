"""Scenarios of a private swarm whose address is known to strangers: one node's entrance, members and strangers.

Real are the door, the key of the swarm and the Noise handshake. Modelled are the wire between two ends, and who dials
when. A stranger speaks Noise without a key, or under another one, or says nothing, or says again what it overheard a
member say.
"""

import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from cryptography.exceptions import InvalidTag
from libp2p.abc import ISecureTransport
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as new_x25519_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.noise.transport import Transport as Noise
from noise.exceptions import NoiseHandshakeError, NoiseInvalidMessage, NoiseValueError

from gossip.door import Door, Guest
from gossip.pnet import ProtectedStream
from gossip.swarmkey import SwarmKey
from gossip.upstream import HANDSHAKE_SECONDS
from node.simulation import virtual
from node.simulation.carried import quantile
from node.simulation.scenario import Scenario

WAYS: Final = ("no key", "another key", "silence", "overheard")
BROKEN: Final = (
    BaseLibp2pError,
    InvalidTag,
    NoiseHandshakeError,
    NoiseInvalidMessage,
    NoiseValueError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    ValueError,
)
WAITING: Final = 64  # packets on a wire


@dataclass
class Entrance:
    """The listening side. dials: (virtual second, who, what came of it, seconds that it took), in order."""

    scenario: Scenario
    seed: int
    dials: list[tuple[float, str, str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._door = Door()
        self._key = SwarmKey(_bytes("swarm", self.seed))
        self._noise, self._id = _transport(f"listener {self.seed}")
        self._overheard: list[bytes] = []
        self._scopes: dict[Guest, trio.CancelScope] = {}

    def run(self) -> tuple[str, dict[str, float]]:
        """Digest and figures."""
        virtual.run(self._run, seed=self.seed)
        # which of the last ones have come to an end is a matter of chance, see below
        dials = sorted(dial for dial in self.dials if dial[0] < 60 * self.scenario.minutes - 3 * HANDSHAKE_SECONDS)
        members = [(what, seconds) for _, who, what, seconds in dials if who == "member"]
        strangers = [what for _, who, what, _ in dials if who != "member"]
        times = sorted(seconds for what, seconds in members if what == "in")
        figures = {
            "dials": float(len(strangers)),
            "strangers_in": float(strangers.count("in")),
            "refused_share": strangers.count("refused") / max(1, len(strangers)),
            "members_in": len(times) / max(1, len(members)),
        }
        if times:
            figures["handshake_p99_seconds"] = quantile(times, 0.99)
        # keys and nonces are random, and so is how long a stranger's noise is listened to
        done = [(began, who, what) for began, who, what, _ in dials]
        return hashlib.sha256(repr(done).encode()).hexdigest()[:16], figures

    async def _run(self) -> None:
        with trio.move_on_after(60 * self.scenario.minutes):
            async with trio.open_nursery() as nursery:
                index = 0
                for group in self.scenario.nodes:
                    for _ in range(group.count):
                        way = "member" if group.kind == "reporter" else WAYS[index % len(WAYS)]
                        nursery.start_soon(self._keep_dialling, way, index, group.every or 60.0, nursery)
                        index += 1

    async def _keep_dialling(self, way: str, index: int, every: float, nursery: trio.Nursery) -> None:
        rng = random.Random(f"{self.seed} {index}")
        while True:
            await trio.sleep(rng.expovariate(1 / every))
            nursery.start_soon(self._visit, way, index, nursery)

    async def _visit(self, way: str, index: int, nursery: trio.Nursery) -> None:
        here, there = _wire(self.scenario.network.latency)
        began = trio.current_time()
        guest = self._door.enter(f"203.{index >> 8 & 255}.{index & 255}.7", began)  # public, one for each
        if isinstance(guest, str):
            self.dials.append((began, way, "refused", 0.0))
            return
        nursery.start_soon(self._answer, guest, there)
        outcome = "out"
        with trio.move_on_after(2 * HANDSHAKE_SECONDS), suppress(*BROKEN):
            outcome = await self._dial(way, here, index)
        await here.close()
        self.dials.append((began, way, outcome, trio.current_time() - began))

    async def _answer(self, guest: Guest, wire: "_End") -> None:
        """What a listening node does with a connection."""
        self._scopes[guest] = trio.CancelScope(deadline=trio.current_time() + HANDSHAKE_SECONDS)
        if (crowded := self._door.crowded_out()) is not None:
            self._scopes[crowded].cancel()
        with self._scopes[guest], suppress(*BROKEN):
            await self._noise.secure_inbound(RawConnection(ProtectedStream(wire, self._key.secret), False))
            self._door.greeted(guest)
        del self._scopes[guest]
        await wire.close()
        self._door.leave(guest)

    async def _dial(self, way: str, wire: "_End", index: int) -> str:
        """What came of it: `in` if the handshake is done on this side."""
        if way == "silence":
            await trio.sleep_forever()
        if way == "overheard" and self._overheard:
            for said in self._overheard:
                await wire.write(said)
            while await wire.read(1024):
                pass
            return "out"
        key = {"member": self._key.secret, "another key": _bytes("another", self.seed)}.get(way)
        noise, _ = _transport(f"dialler {self.seed} {index}")
        tapped = _Tap(wire, self._overheard.append if way == "member" and not self._overheard else None)
        stream = tapped if key is None else ProtectedStream(tapped, key)
        await noise.secure_outbound(RawConnection(stream, True), self._id)
        return "in"


class _End(ReadWriteCloser):
    """One end of a wire that takes `seconds`."""

    def __init__(self, send: Any, receive: Any, seconds: float) -> None:
        self._send, self._receive, self._seconds = send, receive, seconds
        self._held = b""

    async def write(self, data: bytes) -> None:
        await self._send.send((trio.current_time() + self._seconds, bytes(data)))

    async def read(self, n: int | None = None) -> bytes:
        if not self._held:
            try:
                moment, self._held = await self._receive.receive()
            except trio.EndOfChannel:
                return b""
            await trio.sleep_until(moment)
        taken, self._held = self._held[:n], self._held[n:] if n is not None else b""
        return taken

    async def close(self) -> None:
        await self._send.aclose()

    def get_remote_address(self) -> tuple[str, int] | None:
        return None


class _Tap(_End):
    """An end whose writes somebody may overhear."""

    def __init__(self, end: _End, hear: Callable[[bytes], None] | None) -> None:
        super().__init__(end._send, end._receive, end._seconds)
        self._hear = hear

    async def write(self, data: bytes) -> None:
        if self._hear is not None:
            self._hear(bytes(data))
        await super().write(data)


def _wire(seconds: float) -> tuple[_End, _End]:
    (to_there, from_here), (to_here, from_there) = (trio.open_memory_channel[Any](WAITING) for _ in range(2))
    return _End(to_there, from_there, seconds), _End(to_here, from_here, seconds)


def _transport(name: str) -> tuple[ISecureTransport, ID]:
    keys = create_new_key_pair(_bytes(name, 0))
    return Noise(keys, noise_privkey=new_x25519_key_pair().private_key), ID.from_pubkey(keys.public_key)


def _bytes(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{name} {seed}".encode()).digest()
