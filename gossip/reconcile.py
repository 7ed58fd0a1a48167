"""Finding out which records each of two nodes lacks, over one conversation.

The node that asks learns both differences; the one that answers learns nothing. This form exchanges the complete list
of ids, 32 bytes a record; what replaces it keeps these two functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gossip.frames import Frames, PeerBroke

ID_BYTES: Final = 32
IDS_PER_FRAME: Final = 8192
MAX_IDS: Final = 1_000_000

Item = tuple[int, bytes]


@dataclass(frozen=True)
class Difference:
    """Record ids, in the order of time: those that we lack, and those that they lack."""

    wanted: list[bytes]
    offered: list[bytes]


async def ask(frames: Frames, ours: Sequence[Item]) -> Difference:
    """Reconcile `ours`, (time, id) pairs in ascending order, with the peer's. Raises ConversationError."""
    await frames.send("ids?")
    theirs: dict[bytes, None] = {}
    while page := await _page(frames):
        theirs.update((page[start : start + ID_BYTES], None) for start in range(0, len(page), ID_BYTES))
        if len(theirs) > MAX_IDS:
            raise PeerBroke(f"claims more than {MAX_IDS} records")
    known = {record_id for _, record_id in ours}
    return Difference(
        wanted=[record_id for record_id in theirs if record_id not in known],
        offered=[record_id for _, record_id in ours if record_id not in theirs],
    )


async def answer(frames: Frames, ours: Sequence[Item]) -> None:
    """The other side of `ask`. Raises ConversationError."""
    if await frames.receive() != ["ids?"]:
        raise PeerBroke("did not ask for ids")
    for start in range(0, len(ours), IDS_PER_FRAME):
        await frames.send("ids", b"".join(record_id for _, record_id in ours[start : start + IDS_PER_FRAME]))
    await frames.send("ids", b"")


async def _page(frames: Frames) -> bytes:
    match await frames.receive():
        case ["ids", bytes(page)] if len(page) % ID_BYTES == 0:
            return page
    raise PeerBroke("sent something else than ids")
