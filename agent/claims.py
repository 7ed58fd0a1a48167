"""What peers announce that they are testing right now, so that others pick something else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trainer.knobs import Scalar

CLAIM_MS: Final = 10 * 60 * 1000  # for which a claim holds


@dataclass(frozen=True)
class Claim:
    """A peer's announcement that it is testing a change, as `agent.evidence.claim_of` tells it, until `expires_ms`.

    hypothesis: the id of the record whose idea it is, if one gave it.
    """

    author: bytes
    change: Mapping[str, Scalar]
    expires_ms: int
    hypothesis: bytes | None = None
