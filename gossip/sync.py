"""History exchange between two nodes, `/arnode/sync/1`: after it, each has every record that the other had.

A conversation of frames (gossip/frames.py); the node that opened the stream leads:

    hello, version, swarm      both ways; a node of another swarm, or a busy one, answers `refuse, reason` instead
    …                          reconciliation (gossip/reconcile.py): the leader learns what each side lacks
    want, ids                  answered by `records, […]`: at least one and as many as fit a frame, in that order
    give, […]                  answered by `took, new` when they are on disk
    bye

One frame is under way at a time, so nobody has to stop reading while records are checked and stored, and each batch is
durable before the next: an interrupted exchange goes on where it stopped. Nothing is taken on trust: records are
checked as any stranger's, only those that were asked for are fetched, and bytes and time are bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gossip import reconcile
from gossip.frames import ConversationError, Frames, PeerBroke
from gossip.intake import Intake, Refused
from gossip.record import FromTheFuture

PROTOCOL: Final = "/arnode/sync/1"
VERSION: Final = 1
SESSION_SECONDS: Final = 600.0
SESSION_BYTES: Final = 512 * 1024 * 1024
BATCH_RECORDS: Final = 128
BATCH_BYTES: Final = 256 * 1024


class OtherSwarm(ConversationError):
    """The peer belongs to another swarm, so nothing is exchanged."""


class Busy(ConversationError):
    """The peer has no time for an exchange just now."""


@dataclass(frozen=True)
class Exchanged:
    """How many records came that were new here, and how many the other side took that were new there."""

    received: int
    sent: int


async def lead(frames: Frames, intake: Intake, swarm: str, peer: str) -> Exchanged:
    """Exchange histories with `peer`. Raises ConversationError, LogError."""
    await frames.send("hello", VERSION, swarm)
    match await frames.receive():
        case ["hello", int(), str(theirs)]:
            _same_swarm(theirs, swarm)
        case ["refuse", "swarm", str(theirs)]:
            _same_swarm(theirs, swarm)
            raise PeerBroke("refused its own swarm")
        case ["refuse", "busy"]:
            raise Busy("the peer is busy")
        case _:
            raise PeerBroke("did not say hello")
    difference = await reconcile.ask(frames, await intake.items())
    received = await _fetch(frames, intake, [i for i in difference.wanted if intake.wants(i)], peer)
    sent = await _give(frames, intake, difference.offered)
    await frames.send("bye")
    return Exchanged(received, sent)


async def follow(frames: Frames, intake: Intake, swarm: str, peer: str, *, busy: bool) -> Exchanged:
    """The other side of `lead`. Raises ConversationError, LogError."""
    match await frames.receive():
        case ["hello", int(), str(theirs)]:
            if theirs != swarm:
                await frames.send("refuse", "swarm", swarm)
                _same_swarm(theirs, swarm)
        case _:
            raise PeerBroke("did not say hello")
    if busy:
        await frames.send("refuse", "busy")
        raise Busy("this node is busy")
    await frames.send("hello", VERSION, swarm)
    await reconcile.answer(frames, await intake.items())
    received = sent = 0
    while True:
        match await frames.receive():
            case ["want", bytes(ids)] if ids and not len(ids) % 32 and len(ids) <= 32 * BATCH_RECORDS:
                named = [ids[start : start + 32] for start in range(0, len(ids), 32)]
                raws = await intake.raws(named, BATCH_BYTES)
                if not raws:
                    raise PeerBroke("wants records that were not offered")
                await frames.send("records", raws)
                sent += len(raws)
            case ["give", list(raws)] if _is_batch(raws):
                new = await _take(intake, raws, None, peer)
                await frames.send("took", new)
                received += new
            case ["bye"]:
                return Exchanged(received, sent)
            case _:
                raise PeerBroke("sent a frame that has no meaning here")


async def _fetch(frames: Frames, intake: Intake, wanted: Sequence[bytes], peer: str) -> int:
    received = 0
    outstanding = dict.fromkeys(wanted)
    while outstanding:
        await intake.room()
        batch = [record_id for record_id, _ in zip(outstanding, range(BATCH_RECORDS), strict=False)]
        await frames.send("want", b"".join(batch))
        match await frames.receive():
            case ["records", list(raws)] if _is_batch(raws):
                received += await _take(intake, raws, batch, peer)
                for record_id in batch[: len(raws)]:
                    del outstanding[record_id]
            case _:
                raise PeerBroke("did not send the records that it offered")
    return received


async def _give(frames: Frames, intake: Intake, offered: Sequence[bytes]) -> int:
    sent = start = 0
    while start < len(offered):
        raws = await intake.raws(offered[start : start + BATCH_RECORDS], BATCH_BYTES)
        start += len(raws)
        await frames.send("give", raws)
        match await frames.receive():
            case ["took", int(new)] if 0 <= new <= len(raws):
                sent += new
            case _:
                raise PeerBroke("did not take the records that it lacks")
    return sent


async def _take(intake: Intake, raws: list[bytes], asked: Sequence[bytes] | None, peer: str) -> int:
    """Check and store a batch, which must be the first of `asked` in order if given; returns how many were new."""
    sifted = await intake.sift(raws)
    for error in sifted.refused:
        # a body that only this node refuses, or a clock that is off, is no proof of bad will
        if not isinstance(error, Refused | FromTheFuture):
            raise PeerBroke(f"sent an invalid record ({type(error).__name__}: {error})")
    if asked is not None:
        ids = {record.id for record in sifted.good} | {e.record.id for e in sifted.refused if isinstance(e, Refused)}
        if not ids <= set(asked[: len(raws)]):
            raise PeerBroke("sent records that nobody asked for")
    return len(await intake.store(sifted.good, "sync", peer))


def _is_batch(raws: Sequence[object]) -> bool:
    return 0 < len(raws) <= BATCH_RECORDS and all(isinstance(raw, bytes) for raw in raws)


def _same_swarm(theirs: str, ours: str) -> None:
    if theirs != ours:
        raise OtherSwarm(f"the peer is in swarm {theirs[:64]!r}, this node in {ours!r}")
