"""Small simulated swarms for tests: nodes that publish made-up records and note what they hear."""

from dataclasses import dataclass, field
from pathlib import Path

from gossip.identity import Identity
from gossip.log import Log
from gossip.record import Record, pack_body, sign
from node.simulation.network import Member, SimulatedNetwork
from node.simulation.node import identity
from node.simulation.virtual import now_ms

TASK = bytes(32)


@dataclass
class Node:
    """A node of a test. heard: what it was told of, in order."""

    number: int
    log: Log = field(default_factory=lambda: Log(Path(":memory:")))
    heard: list[Record] = field(default_factory=list)
    member: Member | None = None

    @property
    def signer(self) -> Identity:
        return identity(self.number + 1)

    async def up(self, network: SimulatedNetwork) -> None:
        self.member = await network.start(self.number, self.signer, self.log, self.heard.append)

    async def down(self) -> None:
        assert self.member is not None
        await self.member.stop()
        self.member = None

    async def say(self, text: str, kind: str = "insight") -> Record:
        """Publish a record with that text, as a node does: into the log first."""
        assert self.member is not None
        record = sign(self.signer, kind, TASK, now_ms(), pack_body({"text": text}))
        if kind != "presence":
            self.log.append([record])
        await self.member.publish(record)
        return record

    def ids(self) -> set[bytes]:
        return {record_id for _, record_id in self.log.ids()}
