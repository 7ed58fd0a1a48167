"""What is known of each knob's values: the pooled effect with its interval, and who saw what."""

import math
from typing import Any, Final

from agent.effects import PooledEffect
from node.state import State
from node.view.steps import Steps
from trainer.knobs import Scalar

MAX_SEEN: Final = 3  # authors listed under one value


def effects(state: State) -> Steps[dict[str, Any]]:
    """Knobs with their tried values, those first of which most is to be gained.

    `knobs`: name, default, values. Each value (of a number, the middle of a part of its range): value, mean, low, high
    (95 %, in the metric's unit, positive is better; None where nothing was measured), authors, experiments, crashes,
    `seen`: what each author saw on each device class, with id (of the latest test), alias, own, device_class, tests,
    effect.
    """
    by_knob: dict[str, list[dict[str, Any]]] = {}
    for (knob, value), _ in list(state.notebook.settings()):
        pooled = state.notebook.effect(knob, value)
        if pooled is not None:
            by_knob.setdefault(knob, []).append(_value(state, value, pooled))
        yield
    knobs: list[dict[str, Any]] = [
        {
            "name": name,
            "default": state.task.knobs[name].default,
            "values": sorted(rows, key=_largest_first),
        }
        for name, rows in by_knob.items()
    ]
    metric = state.task.metric
    knobs.sort(key=lambda row: (-max(value["mean"] or 0.0 for value in row["values"]), row["name"]))
    return {"metric": metric.name, "unit": metric.unit, "noise": state.notebook.noise().sd, "knobs": knobs}


def _largest_first(row: dict[str, Any]) -> float:
    return math.inf if row["mean"] is None else -row["mean"]


def _value(state: State, value: Scalar, pooled: PooledEffect) -> dict[str, Any]:
    known = bool(pooled.sources)
    return {
        "value": value,
        "mean": pooled.mean if known else None,
        "low": pooled.interval[0] if known else None,
        "high": pooled.interval[1] if known else None,
        "authors": pooled.authors,
        "experiments": sum(source.tests for source in pooled.sources) + pooled.crashes,
        "crashes": pooled.crashes,
        "seen": [
            {
                "id": source.record_id.hex(),
                "alias": state.alias(source.author),
                "own": source.author == state.me,
                "device_class": source.device_class,
                "tests": source.tests,
                "effect": source.mean,
            }
            for source in pooled.sources[:MAX_SEEN]
        ],
    }
