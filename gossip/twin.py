"""Another node with this node's identity, as after copying a state folder to a second machine: noticed and told.

The swarm takes the two for one: peers pass to neither what the other says, and their records look like one's. The
signs are records and messages that this node's key signed since this node began, and this node did not; and whoever
proves in a handshake that he holds the key. A node that lost its log and gets its own old records back shows none.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from gossip import upstream
from gossip.record import Record, RecordError, parse, verify

FRESH_MS: Final = 10 * 60 * 1000
REMEMBERED: Final = 10_000
LOOK_SECONDS: Final = 5.0
TELL_SECONDS: Final = 3600.0
DIAL_SECONDS: Final = 10.0
MEET_SECONDS: Final = 2.0


class Twins:
    """Looks for twins of `author`. report: hears (what, why), once in TELL_SECONDS. clock: milliseconds since 1970."""

    def __init__(self, author: bytes, clock: Callable[[], int], report: Callable[[str, str], object]) -> None:
        self._author = author
        self._clock = clock
        self._report = report
        self._began_ms = clock()
        self._sent: OrderedDict[bytes, None] = OrderedDict()
        self._asking = False
        self._was_met = trio.Event()
        self._look_at = -float("inf")
        self._tell_at = -float("inf")

    def sent(self, record: Record) -> None:
        """Remember what this node says itself."""
        self._sent[record.id] = None
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)

    def arrived(self, record: Record) -> None:
        """Look at a verified record of a peer that was not in the log."""
        if record.author == self._author and record.time_ms > self._began_ms and record.id not in self._sent:
            self._tell("it signed a record that this node did not make")

    def overheard(self, raw: bytes) -> None:
        """Look at a message in this node's name from a peer; seldom, since anybody may send one that is not signed."""
        now = trio.current_time()
        if now < self._look_at:
            return
        try:
            record = parse(raw)
            fresh = max(self._began_ms, self._clock() - FRESH_MS) < record.time_ms
            if record.author == self._author and fresh and record.id not in self._sent:
                self._look_at = now + LOOK_SECONDS
                verify(record)
                self._tell("it says things in this node's name")
        except RecordError:
            return  # whoever sent it pretends

    def met(self) -> None:
        """Somebody who connected to this node has proved that he holds its key."""
        self._was_met.set()
        if not self._asking:
            self._tell("it connected to this one")

    async def ask(self, host: BasicHost, addresses: Sequence[Multiaddr]) -> None:
        """See who answers at addresses that are said to have this node's id: this node, or a twin."""
        swarm = upstream.swarm_of(host)
        for address in addresses:
            self._asking, self._was_met = True, trio.Event()
            try:
                with trio.move_on_after(DIAL_SECONDS):
                    await swarm.dial_addr(address, host.get_id())
                    with trio.move_on_after(MEET_SECONDS) as waited:
                        await self._was_met.wait()
                    if waited.cancelled_caught:
                        self._tell(f"it answers at {address}")
            except (BaseLibp2pError, MultiaddrError, OSError, ValueError):
                continue  # nobody does
            finally:
                self._asking = False
                with trio.CancelScope(shield=True), trio.move_on_after(1):
                    await upstream.disconnect(swarm, host.get_id())

    def _tell(self, sign: str) -> None:
        now = trio.current_time()
        if now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            self._report(
                "identity",
                f"another node uses this node's identity: {sign}. Peers take the two for one and pass to neither what "
                "the other says: stop one, and start it with --home and another folder, where it gets its own",
            )
