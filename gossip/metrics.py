"""What a node counts about its network, in the form that Prometheus reads.

Each network has a registry of its own, since several may live in one process. Labels come from the fixed sets below and
never from a peer: a stranger who could name a label value could fill this node's memory, and the monitoring system's.
What the network's events tell already is counted from these; what can be looked up is looked up when somebody asks.
"""

import time
from collections.abc import Callable
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from gossip.events import Event, PeerRejected, PresenceArrived, SyncFinished
from gossip.record import BadField, BadSignature, FromTheFuture, NotCanonical, RecordError, TooLarge

Way = Literal["own", "gossip", "sync"]
Role = Literal["leader", "follower"]
Outcome = Literal["done", "busy", "other_swarm", "other_version", "broken", "gone", "failed"]
Reason = Literal[
    "size",  # larger than a record may be
    "encoding",  # not the one encoding of a record
    "field",  # a field of the wrong type or range, an unknown kind or version
    "signature",  # not signed by its author
    "time",  # from the future, or a presence that is old or out of order
    "body",  # refused by the node's own check
    "author",  # the message is not its record's author's, or in the wrong topic
    "message",  # a GossipSub message that is unreadable, too large or falsely signed
    "limit",  # above what a peer or an author may send or have stored
]
REASON_OF: Final[dict[type[RecordError], Reason]] = {
    TooLarge: "size",
    NotCanonical: "encoding",
    BadField: "field",
    BadSignature: "signature",
    FromTheFuture: "time",
}
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody here reads

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters and gauges of one network.

    Counters are increased where things happen; gauges are given a function that is called for each `text()`.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # ---- counters ----
        self.records = self._counter("records", "Records that were new to this node's log.", way=get_args(Way))
        self.presences = self._counter("presences", "Presence messages taken in, and sent.", way=("own", "gossip"))
        self.rejected = self._counter("rejected", "Records and messages refused.", reason=get_args(Reason))
        self.dropped = self._counter("arrivals_dropped", "Records that came too fast to be stored; sync fetches them.")
        self.bans = self._counter("bans", "Times that a peer was shut out.")
        self.syncs = self._counter(
            "syncs", "History exchanges that ended.", role=get_args(Role), outcome=get_args(Outcome)
        )
        self.sync_records = self._counter(
            "sync_records", "Records that history exchanges carried.", direction=("received", "sent")
        )
        self.dials = self._counter("dials", "Attempts to connect to a peer.", result=("connected", "failed"))
        self.troubles = self._counter("troubles", "Background work that failed and was started again.")
        # ---- gauges ----
        self.peers = self._gauge("peers", "Connected peers.", direction=("inbound", "outbound"))
        self.mesh = self._gauge("mesh_peers", "Peers in the GossipSub mesh.", topic=("records", "presence"))
        self.queue = self._gauge(
            "queue_length",
            "What waits: for the slowest peer to take it, to be stored, to be looked at by the node.",
            queue=("outbound", "arrivals", "events"),
        )
        self.log_bytes = self._gauge("log_bytes", "Size of the log on disk.")
        self.clock_offset = self._gauge(
            "clock_offset_seconds", "Clocks of the peers (median) minus this node's; NaN while too few have told."
        )
        self._gauge("start_time_seconds", "When this network was opened, since 1970.").set(time.time())

    def count(self, event: Event) -> None:
        """Count what an event tells."""
        match event:
            case PresenceArrived():
                self.presences.labels("gossip").inc()
            case SyncFinished():
                self.sync_records.labels("received").inc(event.received)
                self.sync_records.labels("sent").inc(event.sent)
            case PeerRejected():
                self.bans.inc()

    def reject(self, why: RecordError | Reason) -> None:
        """Count something refused, by name or by the error's class; an unknown class is the node's own check."""
        self.rejected.labels(why if isinstance(why, str) else REASON_OF.get(type(why), "body")).inc()

    def sync_ended(self, role: Role, outcome: Outcome) -> None:
        """Count a history exchange."""
        self.syncs.labels(role, outcome).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format, CONTENT_TYPE. Calls the gauges' functions."""
        return generate_latest(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """One value by its full name, such as `arnode_records_total`. Raises KeyError."""
        found = self.registry.get_sample_value(name, labels)
        if found is None:
            raise KeyError(f"{name}{labels or ''}")
        return found

    def _counter(self, name: str, text: str, **labels: tuple[str, ...]) -> Counter:
        made = Counter(f"arnode_{name}", text, tuple(labels), registry=self.registry)
        _start_at_zero(made, labels)
        return made

    def _gauge(self, name: str, text: str, **labels: tuple[str, ...]) -> Gauge:
        made = Gauge(f"arnode_{name}", text, tuple(labels), registry=self.registry)
        _start_at_zero(made, labels)
        return made


def look_up(gauge: Gauge, look: Callable[[], float], *labels: str) -> None:
    """Have `look` called for the gauge's value whenever somebody asks; it must be quick and not raise."""
    (gauge.labels(*labels) if labels else gauge).set_function(look)


def _start_at_zero(metric: Counter | Gauge, labels: dict[str, tuple[str, ...]]) -> None:
    """Make every combination of label values, so that a rate is right from the first event on."""
    combinations: list[tuple[str, ...]] = [()]
    for values in labels.values():
        combinations = [(*before, value) for before in combinations for value in values]
    for combination in combinations:
        if combination:
            metric.labels(*combination)
