"""The network of a simulated swarm: what a simulated node sees of it, and the simplest one.

Everything here runs inside `node.simulation.virtual.run`.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import trio

from gossip.identity import Identity
from gossip.record import PRESENCE, Record
from node.simulation import virtual
from node.simulation.held import Store
from node.simulation.traffic import Traffic

Hear = Callable[[Record], None]
LATENCY_SECONDS: Final = 0.1


class Member(Protocol):
    """A node that is up."""

    async def publish(self, record: Record) -> None:
        """Send a record that is in the node's own log, or a presence, which is in none."""

    async def stop(self) -> None:
        """Go down without a farewell. The log stays its owner's."""

    def peers(self) -> int:
        """To how many others there is a connection."""


class SimulatedNetwork(Protocol):
    """Nodes come up in it, go down, and are cut off from each other."""

    @property
    def traffic(self) -> Traffic:
        """What was carried so far."""

    async def start(self, number: int, signer: Identity, log: Any, on_record: Hear) -> Member:
        """Node `number` comes up, for the first time or again, with the log that it has.

        log: a `Log` where there is a router; any `Store` on the ideal network.
        What comes from others is appended to `log` when it is new, and then told to `on_record`, in trio's thread and
        without delay; so are presences, which are not appended. number: from 0, and small, as tables are by number.
        """

    def partition(self, groups: Sequence[Collection[int]]) -> None:
        """Cut the network between these groups of nodes; who is in none of them is in one more. Undone by `heal`."""

    def heal(self) -> None:
        """Let everybody reach everybody."""


@asynccontextmanager
async def open_ideal(latency: float = LATENCY_SECONDS) -> AsyncIterator["IdealNetwork"]:
    """A network in which everything that can arrive does, after `latency` seconds."""
    await trio.lowlevel.checkpoint()
    yield IdealNetwork(latency)


class IdealNetwork:
    """Everybody is connected to everybody: every record is one hop away, once. Made by `open_ideal`."""

    def __init__(self, latency: float) -> None:
        self.traffic = Traffic()
        self.members: dict[int, _IdealMember] = {}
        self._latency = latency
        self._published: dict[bytes, Record] = {}
        self._group: dict[int, int] = {}

    async def start(self, number: int, signer: Identity, log: Store, on_record: Hear) -> Member:
        await trio.lowlevel.checkpoint()
        if number in self.members:
            raise ValueError(f"node {number} is up already")
        member = _IdealMember(self, number, log, on_record)
        self.members[number] = member
        self._later(partial(self._catch_up, member))
        return member

    def partition(self, groups: Sequence[Collection[int]]) -> None:
        self._group = {number: group for group, numbers in enumerate(groups, 1) for number in numbers}

    def heal(self) -> None:
        self._group = {}
        for member in self.members.values():
            self._later(partial(self._catch_up, member))

    def reach(self, member: "_IdealMember") -> list["_IdealMember"]:
        """The others that a member can talk to."""
        group = self._group.get(member.number, 0)
        return [other for other in self.members.values() if other is not member and self._in(other) == group]

    def send(self, sender: "_IdealMember", record: Record) -> None:
        if record.kind != PRESENCE:
            self._published[record.id] = record
            self.traffic.publish(sender.number, record)
        for other in self.reach(sender):
            self.traffic.send(sender.number, len(record.raw))
            self._later(partial(self._deliver, other, record, sender.number, by_sync=False))

    def _in(self, member: "_IdealMember") -> int:
        return self._group.get(member.number, 0)

    def _later(self, call: Callable[[], None]) -> None:
        virtual.at(trio.current_time() + self._latency, call)

    def _deliver(self, member: "_IdealMember", record: Record, bringer: int, *, by_sync: bool) -> None:
        if self.members.get(member.number) is not member:
            self.traffic.lost += 1
        elif record.kind == PRESENCE:
            member.on_record(record)
        elif member.log.append([record]):
            self.traffic.deliver(member.number, record, bringer, by_sync=by_sync)
            member.on_record(record)

    def _catch_up(self, member: "_IdealMember") -> None:
        """Give a member whatever any node within reach has."""
        if self.members.get(member.number) is not member:
            return
        missing = member.log.missing(list(self._published))
        for other in self.reach(member):
            if not missing:
                return
            lacking = set(other.log.missing(missing))
            for record_id in missing:
                if record_id not in lacking:
                    record = self._published[record_id]
                    self.traffic.send(other.number, len(record.raw))
                    self._deliver(member, record, other.number, by_sync=True)
            missing = [record_id for record_id in missing if record_id in lacking]


@dataclass(frozen=True, eq=False)
class _IdealMember:
    network: IdealNetwork
    number: int
    log: Store
    on_record: Hear

    async def publish(self, record: Record) -> None:
        await trio.lowlevel.checkpoint()
        self.network.send(self, record)

    async def stop(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.network.members.get(self.number) is self:
            del self.network.members[self.number]

    def peers(self) -> int:
        return len(self.network.reach(self))
