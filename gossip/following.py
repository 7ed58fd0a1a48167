"""The answering side of a history exchange, after the greeting (gossip/sync.py has the protocol)."""

from typing import Any

from gossip import reconcile
from gossip.batches import AHEAD, BATCH_BYTES, are_ids, check, is_batch, split
from gossip.frames import Frames, PeerBroke
from gossip.intake import Intake
from gossip.layout import RECORDS, is_shelf
from gossip.reconcile import Progress


async def serve(frames: Frames, intake: Intake, peer: str) -> tuple[int, int]:
    """Answer the leader's requests until it says goodbye; how many records came and went."""
    progress = Progress()
    frame = await frames.receive()
    while frame[0] == "reconcile":
        await _tell(frames, intake, frame, progress)
        frame = await frames.receive()
    if frame == ["bye"]:
        return 0, 0
    async with frames.reading_ahead(AHEAD):
        return await _carry(frames, intake, peer, frame, progress)


async def _carry(frames: Frames, intake: Intake, peer: str, frame: list[Any], progress: Progress) -> tuple[int, int]:
    """Go on answering, from `frame` on."""
    received = sent = 0
    while True:
        match frame:
            case ["reconcile", *_]:
                await _tell(frames, intake, frame, progress)
            case ["want", bytes(ids)] if are_ids(ids):
                named = split(ids)
                if gone := await intake.forgotten(named):
                    await frames.send("forgotten", b"".join(gone))
                elif raws := await intake.raws(named, BATCH_BYTES):
                    await frames.send("records", raws)
                    sent += len(raws)
                else:
                    raise PeerBroke("wants records that were not offered")
                progress.record()
            case ["give", list(raws)] if is_batch(raws):
                new = len(await intake.store(await check(intake, raws, None, peer), "sync"))
                await frames.send("took", new)
                progress.record()
                received += new
            case ["bye"]:
                return received, sent
            case _:
                raise PeerBroke("sent a frame that has no meaning here")
        frame = await frames.receive()


async def _tell(frames: Frames, intake: Intake, frame: list[Any], progress: Progress) -> None:
    """Answer a `reconcile`."""
    match frame:
        case ["reconcile", bytes(message), *named] if is_shelf(shelf := (named or [RECORDS])[0]):
            if not intake.wants(shelf):
                raise PeerBroke("asks for a shelf that was not offered")
            progress.message()
            await frames.send("reconcile", await reconcile.answer(await intake.items(shelf), message))
        case _:
            raise PeerBroke("sent a frame that has no meaning here")
