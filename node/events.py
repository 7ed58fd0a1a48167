"""Events: what happens on a node, as plain values that the feed shows and `--json` prints one to a line.

An event about a record carries everything its line needs, so that a merged feed of several nodes, or a script, needs
neither a log nor a task file.
"""

import json
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from agent.entries import Calibration, Entry, Hypothesis, Insight, Pair, Profile, Result
from agent.evidence import SeedPair
from agent.packed import edit_sizes
from gossip.record import Record
from trainer.task import Task

EventKind = Literal[
    "listening",  # the node can be reached: addresses, and the line to paste on another machine
    "note",  # something worth a line: data is prepared, a limit is reached
    "peer",  # connected or lost
    "sync",  # records were exchanged with a peer
    "trial",  # a trial of this node ended
    "result",  # an experiment's record, own or a peer's
    "calibration",
    "hypothesis",
    "insight",
    "profile",
    "model",  # a language model was asked: what the call cost, and all calls together
    "confirmed",  # a discovery was kept by its author and two others
    "trouble",  # something failed and was dealt with
    "stopped",  # the node ended: summary
]


# control, format (text direction among them), surrogates, private use, unassigned, line and paragraph separators
STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


EditSizes: TypeAlias = Mapping[str, Sequence[int] | None]
"""Edited file -> how many lines were added and removed; None where that cannot be told."""


@dataclass(frozen=True)
class Event:
    """One thing that happened. who: alias of the node it is about; own: it is this node."""

    kind: EventKind
    time_ms: int
    who: str
    own: bool
    data: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """All of it in one dict that JSON can hold."""
        return {"event": self.kind, "time_ms": self.time_ms, "who": self.who, "own": self.own, **self.data}

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


def from_json(line: str) -> Event:
    """Read an event back. Raises ValueError."""
    data = json.loads(line)
    if not isinstance(data, dict) or not data.keys() >= {"event", "time_ms", "who", "own"}:
        raise ValueError(f"not an event: {line:.80}")
    return from_dict(data)


def from_dict(fields: Mapping[str, Any]) -> Event:
    """An event from what `Event.to_dict` gave."""
    rest = {name: value for name, value in fields.items() if name not in ("event", "time_ms", "who", "own")}
    return Event(fields["event"], fields["time_ms"], fields["who"], fields["own"], rest)


def printable(text: str) -> str:
    """The text with what could steer a terminal, or reorder what a person reads, replaced character by character.

    Of marks that stand on other characters two in a row stay, which languages need; more would cover other lines.
    """
    shown: list[str] = []
    marks = 0
    for c in text:
        category = unicodedata.category(c)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= 2:
            shown.append("·" if category in STEERING else c)
    return "".join(shown)


def count(number: int, what: str) -> str:
    """`1 record`, `2 records`, `2 discoveries`."""
    many = what[:-1] + "ies" if what.endswith("y") else what[:-2] + "es" if what.endswith("is") else what + "s"
    return f"{number:,} {what if number == 1 else many}"


def number(value: float) -> str:
    """A knob's or metric's number as a person writes it."""
    return f"{value:g}"


def knob_text(value: object) -> str:
    """A knob's value as a person writes it."""
    return number(value) if isinstance(value, float) else str(value)


def change_text(change: Mapping[str, Sequence[object]], edits: EditSizes | None = None) -> str:
    """`INIT default → normal, DEPTH 2 → 3, train.py +12 −3`. edits: file -> lines added and removed, where known."""
    knobs = [f"{knob} {knob_text(old)} → {knob_text(new)}" for knob, (old, new) in sorted(change.items())]
    return ", ".join([*knobs, *(_edit_text(file, size) for file, size in sorted((edits or {}).items()))])


def _edit_text(file: str, size: Sequence[int] | None) -> str:
    if size is None:
        return f"{file} edited"
    added, removed = size
    return f"{file} +{added} −{removed}" if added or removed else f"{file} reordered"


def settings_text(settings: Mapping[str, object]) -> str:
    """`INIT=normal, LR=0.003`."""
    return ", ".join(f"{knob}={knob_text(value)}" for knob, value in sorted(settings.items()))


def value_text(value: float | None) -> str:
    """A metric's value for a line or a table; nothing as a dash."""
    return "–" if value is None else f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def mean_values(pairs: Sequence[Pair] | Sequence[SeedPair]) -> tuple[float | None, float | None]:
    """Mean value of candidate and of parent over the seeds on which both gave one, else over what there is."""
    both = [(pair.candidate, pair.parent) for pair in pairs if pair.candidate is not None and pair.parent is not None]
    if both:
        return _mean([c for c, _ in both]), _mean([p for _, p in both])
    return None, _mean([pair.parent for pair in pairs if pair.parent is not None])


def _mean(values: Sequence[float]) -> float | None:
    # what a stranger reports may be finite and its sum or ratio not
    mean = sum(value / len(values) for value in values) if values else None
    return mean if mean is not None and math.isfinite(mean) else None


def percent(share: float | None) -> str:
    """A relative change as `-12.3%`; a dash where there is none, or none that means anything."""
    return "–" if share is None or abs(share) > 1000 else f"{share:+.1%}"


def relative_to(value: float | None, parent: float | None) -> float | None:
    """(value - parent) / |parent|, by the metric's own sign: a lower loss is negative. None where not finite."""
    if value is None or not parent:
        return None
    relative = (value - parent) / abs(parent)
    return relative if math.isfinite(relative) else None


def _relative_interval(result: Result, parent: float | None, direction: str) -> list[float] | None:
    """The effect's interval as shares of the parent's value, by the metric's own sign, as `relative_to` has it."""
    if result.interval is None or not parent:
        return None
    sign = 1 if direction == "maximize" else -1
    ends = sorted(sign * end / abs(parent) for end in result.interval)
    return ends if all(map(math.isfinite, ends)) else None


def of_record(
    record: Record,
    entry: Entry,
    *,
    me: bytes | None,
    alias: Callable[[bytes], str],
    author_of: Callable[[bytes], bytes | None],
    task: Task,
) -> Event:
    """The event that a record is. author_of: record id -> its author, where that record is known."""
    own = record.author == me
    data: dict[str, Any] = {"id": record.id.hex()}
    match entry:
        case Result():
            value, parent_value = mean_values(entry.pairs)
            data |= {
                "verdict": entry.verdict,
                "change": {knob: list(pair) for knob, pair in entry.change.items()},
                "edits": edit_sizes(task, entry),
                "metric": task.metric.name,
                "value": value,
                "parent_value": parent_value,
                "relative": relative_to(value, parent_value),
                "effect": entry.effect,
                "interval": entry.interval,
                "relative_interval": _relative_interval(entry, parent_value, task.metric.direction),
                "seeds": [pair.seed for pair in entry.pairs],
                "seconds": entry.seconds,
                "device": entry.device,
                "hypothesis": entry.hypothesis,
                "proposer": entry.proposer,
                "reason": entry.reason,
                "replicates": None,
            }
            if entry.replicates is not None:
                origin = author_of(entry.replicates)
                data["replicates"] = entry.replicates.hex()
                data["replicates_of"] = alias(origin) if origin else "someone"
                data["of_own"] = origin == me
        case Calibration():
            data |= {"values": dict(entry.values), "metric": task.metric.name}
        case Profile():
            data |= {"alias": entry.alias, "device": entry.device, "device_class": entry.device_class}
        case Hypothesis():
            data |= {"text": entry.text, "set": dict(entry.change), "priority": entry.priority}
            data |= {"proposer": entry.proposer}
        case Insight():
            data |= {"text": entry.text, "kind": entry.kind, "about": dict(entry.about), "effect": entry.effect}
            data |= {"interval": entry.interval, "authors": entry.authors, "proposer": entry.proposer}
        case _:
            raise ValueError(f"a {record.kind} record is not stored, so it is no event")
    return Event(record.kind, record.time_ms, alias(record.author), own, data)  # type: ignore[arg-type]
