"""What peers announce that they are testing right now, so that others pick something else."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
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


class Claimed:
    """The changes that peers claim, each filed under one of its settings: in a large swarm many are asked for."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        self._by_setting: dict[tuple[str, Scalar], list[Mapping[str, Scalar]]] = defaultdict(list)
        for claim in claims:
            for setting in claim.change.items():
                self._by_setting[setting].append(claim.change)
                break

    def parts_of(self, change: Mapping[str, Scalar]) -> int:
        """How many peers claim a part of a change, or all of it."""
        return sum(
            claimed.items() <= change.items()
            for setting in change.items()
            for claimed in self._by_setting.get(setting, ())
        )
