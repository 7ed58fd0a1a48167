"""What a running node is doing now: its peers, its trials and the latest events; kept in memory, read by the views.

The log knows what came of the work; this knows the work that is under way. It is filled by the node (node/node.py).
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.entries import Presence
from gossip.events import Peer
from node.events import Event
from node.view.stream import Stream
from trainer.output import Progress

NOTICES: Final = 200
CURVE_POINTS: Final = 400
MAX_TRIALS: Final = 64
MAX_PRESENCES: Final = 1000
NUDGE_SECONDS: Final = 0.5
IN_LOG: Final = frozenset({"result", "calibration", "hypothesis", "insight", "profile"})


@dataclass
class Running:
    """A trial under way, known since it first said something. curve: (share of the budget, loss), thinned."""

    label: str
    started_ms: int
    updated_ms: int
    first_fraction: float
    fraction: float = 0.0
    loss: float | None = None
    tokens_per_second: float | None = None
    curve: list[tuple[float, float]] = field(default_factory=list)

    def take(self, progress: Progress, now_ms: int) -> None:
        """Go on with what the program says of itself."""
        self.updated_ms = now_ms
        self.fraction, self.loss = progress.fraction, progress.loss
        self.tokens_per_second = progress.tokens_per_second
        if progress.loss is not None:
            self.curve.append((progress.fraction, progress.loss))
        if len(self.curve) > CURVE_POINTS:
            del self.curve[1::2]  # the first stays, and so does the latest, which stands at an even place


@dataclass(frozen=True)
class Said:
    """A peer's latest presence, and when it was signed."""

    time_ms: int
    presence: Presence


@dataclass
class Live:
    """The present of one node.

    swarm, private: what it joined; experiments_wanted, until, ends_ms: its limits, None for none; peers: who is
    connected; mesh: how many of them exchange records at once; done: experiments since it started.
    """

    swarm: str
    private: bool
    research: bool
    started_ms: int
    peers: Callable[[], Sequence[Peer]]
    mesh: Callable[[], int]
    done: Callable[[], int]
    experiments_wanted: int | None = None
    until: float | None = None
    ends_ms: int | None = None
    activity: str = ""
    stream: Stream = field(init=False)
    presences: dict[bytes, Said] = field(default_factory=dict)
    trials: dict[str, Running] = field(default_factory=dict)
    last_trial: Running | None = None
    notices: deque[Event] = field(default_factory=lambda: deque(maxlen=NOTICES))
    _nudged: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stream = Stream(epoch=self.started_ms)

    def tell(self, event: Event) -> None:
        """Pass an event on to who watches; keep it if the log does not."""
        if event.kind not in IN_LOG:
            self.notices.append(event)
        self.stream.send(event.kind, event.to_json())

    def changed(self) -> None:
        """Records of the past came: what is shown is out of date, though no event tells of each."""
        self._nudge("changed")

    def heard(self, author: bytes, time_ms: int, presence: Presence) -> None:
        """Note what a peer says that it is doing; of two messages the later stands."""
        known = self.presences.get(author)
        if known is None or known.time_ms < time_ms:
            self.presences.pop(author, None)
            self.presences[author] = Said(time_ms, presence)
        while len(self.presences) > MAX_PRESENCES:
            del self.presences[next(iter(self.presences))]

    def progress(self, label: str, progress: Progress, now_ms: int) -> None:
        """Note how far a trial of this node is. A trial that begins anew under the same label is another one."""
        trial = self.trials.get(label)
        if trial is None or progress.fraction < trial.fraction:
            if len(self.trials) >= MAX_TRIALS:
                self.trials.clear()
            trial = self.trials[label] = Running(label, now_ms, now_ms, progress.fraction)
        trial.take(progress, now_ms)
        self._nudge("progress")

    def trial_ended(self) -> None:
        """One trial ended. The trainer does not say which; of those side by side it is the one that got furthest."""
        furthest = max(self.trials.values(), key=lambda trial: trial.fraction, default=None)
        if furthest is not None:
            self.last_trial = self.trials.pop(furthest.label)

    def _nudge(self, kind: str) -> None:
        """Say that something is to be fetched anew, at most so often; a message like it is due soon anyway."""
        now = time.monotonic()
        if now - self._nudged.get(kind, -math.inf) >= NUDGE_SECONDS:
            self._nudged[kind] = now
            self.stream.send(kind, "{}", keep=False)
