"""What a frame of a history exchange carries: ids, or whole records, and how many of them.

Nothing is taken on trust: what came is checked as any stranger's, and has to be what was asked for.
"""

from collections.abc import Sequence
from typing import Final

from gossip.frames import PeerBroke
from gossip.intake import Intake, Refused
from gossip.items import ID_BYTES
from gossip.record import FromTheFuture, Record

BATCH_RECORDS: Final = 256
BATCH_BYTES: Final = 384 * 1024
AHEAD: Final = 4  # requests under way


async def check(
    intake: Intake, raws: list[bytes], asked: Sequence[bytes] | None, peer: str
) -> list[tuple[Record, str]]:
    """Check a batch, which must be of the ids `asked`, if given; what is good in it, and who sent it."""
    sifted = await intake.sift(raws, asked)
    for error in sifted.refused:
        # a body that only this node refuses, or a clock that is off, is no proof of bad will
        if not isinstance(error, Refused | FromTheFuture):
            raise PeerBroke(f"sent an invalid record ({type(error).__name__}: {error})")
    if asked is not None:
        ids = {record.id for record in sifted.good} | {e.record.id for e in sifted.refused if isinstance(e, Refused)}
        if not ids <= set(asked):
            raise PeerBroke("sent records that nobody asked for")
    return [(record, peer) for record in sifted.good]


def are_ids(ids: bytes) -> bool:
    """Whether these bytes can be the ids of a frame."""
    return bool(ids) and not len(ids) % ID_BYTES and len(ids) <= ID_BYTES * BATCH_RECORDS


def split(ids: bytes) -> list[bytes]:
    """The ids of a frame, each 32 bytes."""
    return [ids[start : start + ID_BYTES] for start in range(0, len(ids), ID_BYTES)]


def is_batch(raws: Sequence[object]) -> bool:
    """Whether these can be the records of a frame."""
    return 0 < len(raws) <= BATCH_RECORDS and all(isinstance(raw, bytes) for raw in raws)
