"""What has come of the work so far, in one line that stays in sight: a fold over the events of a feed."""

from dataclasses import dataclass, replace

from agent.entries import kept
from node.events import Event, count, value_text


@dataclass(frozen=True)
class Tally:
    """Counts since the feed began. trials: that this feed is told of, which are its own node's, or of a whole swarm's
    nodes; own, others: experiments; peers: connected now; best: what this node's best recipe is worth by its own
    trials, and of which metric, once it kept something.
    """

    peers: int = 0
    trials: int = 0
    own: int = 0
    others: int = 0
    discoveries: int = 0
    adopted: int = 0
    confirmed: int = 0
    best: tuple[str, float] | None = None

    def after(self, event: Event) -> "Tally":
        """The counts once the event has happened."""
        match event.kind:
            case "peer":
                step = 1 if event.data["state"] == "connected" else -1
                return replace(self, peers=max(0, self.peers + step))
            case "trial":
                return replace(self, trials=self.trials + 1)
            case "confirmed":
                return replace(self, confirmed=self.confirmed + 1)
            case "result":
                counted = replace(self, own=self.own + event.own, others=self.others + (not event.own))
                if not kept(event.data["verdict"]):
                    return counted
                if event.own and event.data["value"] is not None:
                    counted = replace(counted, best=(event.data["metric"], event.data["value"]))
                if event.data["replicates"]:
                    return replace(counted, adopted=self.adopted + 1)
                return replace(counted, discoveries=self.discoveries + 1)
            case _:
                return self

    def __str__(self) -> str:
        """`31 trials · 12 experiments here, 143 elsewhere · 3 discoveries · best val_bpb 1.63`; empty at first."""
        parts = [count(self.trials, "trial")] if self.trials else []
        if self.own and self.others:
            parts.append(f"{count(self.own, 'experiment')} here, {self.others} elsewhere")
        elif self.own or self.others:
            parts.append(count(self.own or self.others, "experiment"))
        parts += [count(self.discoveries, "discovery")] if self.discoveries else []
        parts += [count(self.adopted, "adoption")] if self.adopted else []
        parts += [f"{self.confirmed} confirmed"] if self.confirmed else []
        parts += [count(self.peers, "peer")] if self.peers else []
        parts += [f"best {self.best[0]} {value_text(self.best[1])}"] if self.best else []
        return " · ".join(parts)
