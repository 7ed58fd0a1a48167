"""History exchange between two nodes, `/arnode/sync/1`: after it, each has every record that the other had.

A conversation of frames (gossip/frames.py); the node that opened the stream leads, and asks:

    hello, version, swarm, time, about
                                   both ways; a node of another version or swarm, or a busy one, answers `refuse, …`
    reconcile, message             answered by `reconcile, message`: Negentropy (gossip/reconcile.py)
    want, ids                      answered by `records, […]`: at least one and as many as fit a frame, in that order;
                                   or by `forgotten, ids`: those of them that are not kept here any more
    give, […]                      answered by `took, new` when they are on disk
    bye                            not answered

Most exchanges find nothing: one `reconcile` for each shelf tells so, and the leader says goodbye. Where something
differs it has up to AHEAD requests under way, answered in order, and goes on comparing while it fetches and gives what
was found so far. So wire, checks and disk work at the same time, and neither side holds more than a few batches. Each
batch is durable before it counts; an interrupted exchange is continued by the next, which finds less to do. Nothing is
taken on trust: records are checked as any stranger's, only those that were asked for are fetched, and bytes, time and
idle talk are bounded.
"""

from dataclasses import dataclass
from typing import Any, Final

from gossip.batches import AHEAD
from gossip.following import serve
from gossip.frames import ConversationError, Frames, PeerBroke
from gossip.intake import Intake
from gossip.layout import MAX_SHELVES, RECORDS, is_shelf
from gossip.leading import Leader

PROTOCOL: Final = "/arnode/sync/1"
VERSION: Final = 1
SESSION_SECONDS: Final = 600.0
SESSION_BYTES: Final = 512 * 1024 * 1024


class OtherSwarm(ConversationError):
    """The peer belongs to another swarm, so nothing is exchanged."""


class OtherVersion(ConversationError):
    """The peer speaks another version of this protocol, so nothing is exchanged. version: the peer's."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the peer speaks version {version} of history exchange, this node {VERSION}")
        self.version = version


class Busy(ConversationError):
    """The peer has no time for an exchange just now."""


@dataclass(frozen=True)
class Exchanged:
    """How many records came that were new here, and how many the other side took that were new there.

    offset_ms: the peer's clock minus this node's; good to half a round trip on the leader's side, to the time that a
    frame travels on the follower's. whole: False if the leader stopped early and there is more to exchange. archived:
    what the leader had up to this number of arrival is now with the peer, who keeps everything; 0 where that is not so.
    """

    received: int
    sent: int
    offset_ms: int = 0
    whole: bool = True
    archived: int = 0


async def lead(frames: Frames, intake: Intake, swarm: str, peer: str) -> Exchanged:
    """Exchange histories with `peer`. Raises ConversationError, LogError."""
    asked_ms = intake.clock()
    await frames.send("hello", VERSION, swarm, asked_ms, await _about(intake))
    match await frames.receive():
        case ["hello", int(version), *_] if version != VERSION:
            raise OtherVersion(version)
        case ["hello", int(), str(theirs), int(time_ms), {"archive": bool(archive)} as about] if _is_time(time_ms):
            _same_swarm(theirs, swarm)
        case ["refuse", "version", int(version)] if version != VERSION:
            raise OtherVersion(version)
        case ["refuse", "swarm", str(theirs)] if theirs != swarm:
            _same_swarm(theirs, swarm)
        case ["refuse", "busy"]:
            raise Busy("the peer is busy")
        case _:
            raise PeerBroke("did not say hello")
    offset_ms = time_ms - (asked_ms + intake.clock()) // 2
    arrived = await intake.arrived() if archive else 0
    leader = Leader(frames, intake, peer)
    shelves = iter(await _shared(intake, about))
    if await leader.finds_one_that_differs(shelves):
        async with frames.reading_ahead(AHEAD):
            await leader.run()
            while leader.whole and await leader.finds_one_that_differs(shelves):
                await leader.run()
    await frames.send("bye")
    archived = arrived if leader.whole and leader.all_taken else 0
    return Exchanged(leader.received, leader.sent, offset_ms, leader.whole, archived)


async def follow(frames: Frames, intake: Intake, swarm: str, peer: str, *, busy: bool) -> Exchanged:
    """The other side of `lead`. Raises ConversationError, LogError."""
    match await frames.receive():
        case ["hello", int(version), *_] if version != VERSION:
            await frames.send("refuse", "version", VERSION)
            raise OtherVersion(version)
        case ["hello", int(), str(theirs), int(time_ms), {"archive": bool()}] if _is_time(time_ms):
            if theirs != swarm:
                await frames.send("refuse", "swarm", swarm)
                _same_swarm(theirs, swarm)
        case _:
            raise PeerBroke("did not say hello")
    if busy:
        await frames.send("refuse", "busy")
        raise Busy("this node is busy")
    offset_ms = time_ms - intake.clock()
    await frames.send("hello", VERSION, swarm, intake.clock(), await _about(intake))
    received, sent = await serve(frames, intake, peer)
    return Exchanged(received, sent, offset_ms)


async def _about(intake: Intake) -> dict[str, Any]:
    """What a hello says of the node: `shelves` are left out where there is one."""
    about: dict[str, Any] = {"archive": intake.archive}
    return about | {"shelves": await intake.shelves()} if intake.layout.shelf_of else about


async def _shared(intake: Intake, about: dict[str, Any]) -> list[str]:
    """The shelves that both sides want, by what the peer's hello says. Raises PeerBroke."""
    theirs = about.get("shelves", [RECORDS])
    if not isinstance(theirs, list) or len(theirs) > MAX_SHELVES or not all(map(is_shelf, theirs)):
        raise PeerBroke("names shelves that cannot be")
    both = {*theirs, *await intake.shelves()}
    return sorted(shelf for shelf in both if intake.wants(shelf) and (about["archive"] or shelf in theirs))


def _is_time(value: int) -> bool:
    return type(value) is int and 0 < value < 2**63


def _same_swarm(theirs: str, ours: str) -> None:
    if theirs != ours:
        raise OtherSwarm(f"the peer is in swarm {theirs[:64]!r}, this node in {ours!r}")
