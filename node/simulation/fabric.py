"""The simulated network on which the real gossip code runs: a modelled internet under libp2p's own GossipSub.

Real are GossipSub with our overrides, the mesh, the checks and quotas of what comes in, the log, the guard, and history
exchange with its schedule (gossiper.py). Modelled are the wires (links.py), hosts and streams (hosts.py), and who dials
whom (dialling.py). All nodes share the process, so what one of them has verified or read costs the next one a look-up.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache, partial
from typing import Any, Final

import trio
from libp2p.peer.envelope import consume_envelope
from libp2p.pubsub import utils as pubsub_records
from nacl.bindings import crypto_sign_open

from gossip import flood, mesh
from gossip import record as records
from gossip.identity import Identity
from gossip.log import Log
from gossip.metrics import Metrics
from gossip.record import Record
from node.simulation.dialling import Dialling
from node.simulation.gossiper import Gossiper, Surroundings
from node.simulation.hosts import MemoryHost
from node.simulation.keeping import EVERYTHING, Keeping
from node.simulation.links import INTERNET, Internet, Links
from node.simulation.network import Hear, Member
from node.simulation.pulse import Pulse
from node.simulation.traffic import Traffic
from node.simulation.virtual import replaced

REMEMBERED: Final = 20_000


@asynccontextmanager
async def open_fabric(
    internet: Internet = INTERNET,
    *,
    seed: int,
    check: Callable[[Record], None] = lambda record: None,
    keeping_of: Callable[[int], Keeping] = lambda number: EVERYTHING,
) -> AsyncIterator["Fabric"]:
    """A network that is drawn from `seed`; inside `node.simulation.virtual.run`.

    check: raises RecordError for a body that nodes do not accept; called once for each good record and process.
    keeping_of: which records a node keeps, by its number; everybody everything for ever, by default.
    """
    with _remembering():
        async with trio.open_nursery() as nursery:
            yield Fabric(internet, seed, nursery, lru_cache(REMEMBERED)(check), keeping_of)
            nursery.cancel_scope.cancel()


class Fabric:
    """A `SimulatedNetwork`. Made by `open_fabric`.

    metrics: of all nodes together. troubles: what failed in any node, as (node, what, why); none if all is well.
    """

    def __init__(
        self,
        internet: Internet,
        seed: int,
        nursery: trio.Nursery,
        check: Callable[[Record], None],
        keeping_of: Callable[[int], Keeping],
    ) -> None:
        self.metrics = Metrics()
        self.troubles: list[tuple[int, str, str]] = []
        self._links = Links(internet, seed)
        self._dialling = Dialling(self._links, seed)
        self._nursery = nursery
        self._keeping_of = keeping_of
        self._traffic = Traffic()
        self._up: dict[int, Gossiper] = {}
        self._numbers: dict[str, int] = {}
        self._duplicates = 0  # of nodes that have gone down
        self._around = Surroundings(self._traffic, self.metrics, check, Pulse(), self._numbers.__getitem__, self._left)

    @property
    def traffic(self) -> Traffic:
        self._traffic.lost = self._links.lost
        self._traffic.duplicates = self._duplicates + sum(node.duplicates for node in self._up.values())
        return self._traffic

    async def start(self, number: int, signer: Identity, log: Log, on_record: Hear) -> Member:
        if number in self._up:
            raise ValueError(f"node {number} is up already")
        report = partial(self._report, number)
        host = MemoryHost(number, signer, self._links, self._traffic, report)
        node = Gossiper(host, self._around, signer, log, on_record, report, self._keeping_of(number))
        self._up[number] = node
        self._numbers[host.get_id().to_base58()] = number
        await self._nursery.start(node.live)
        self._dialling.joined(node)
        return node

    def partition(self, groups: Sequence[Collection[int]]) -> None:
        self._links.partition(groups)
        self._dialling.cut()

    def heal(self) -> None:
        self._links.partition([])

    def connections(self) -> dict[tuple[int, int], float]:
        """Who is connected with whom, each pair once, and the seconds that a packet takes between them."""
        ends = [
            (number, end.remote.number) for number, node in self._up.items() for end in node.host.connections.values()
        ]
        return {pair: self._links.latency(*pair) for pair in sorted(ends) if pair[0] < pair[1]}

    def _left(self, node: Gossiper) -> None:
        self._duplicates += node.duplicates
        self._dialling.left(node)
        del self._up[node.host.number]

    def _report(self, number: int, what: str, why: str) -> None:
        self.troubles.append((number, what, why))


@contextmanager
def _remembering() -> Iterator[None]:
    """Remember what was verified and read; what was refused is looked at each time."""
    verify: Any = lru_cache(REMEMBERED)(crypto_sign_open)
    changed: Sequence[tuple[Any, str, Any]] = [
        (records, "crypto_sign_open", verify),
        (flood, "crypto_sign_open", verify),
        (mesh, "parse", lru_cache(REMEMBERED)(records.parse)),
        (pubsub_records, "consume_envelope", lru_cache(REMEMBERED)(consume_envelope)),
    ]
    with replaced(changed):
        yield
