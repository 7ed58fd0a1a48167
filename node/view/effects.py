"""What is known of each knob's values: the pooled effect with its interval, and who saw what."""

import math
from typing import Any, Final

from agent.effects import PooledEffect
from node.state import State
from trainer.knobs import Scalar

Z_95: Final = 1.96
MAX_SEEN: Final = 20  # experiments listed under one value


def effects(state: State) -> dict[str, Any]:
    """Knobs with their tried values, those first of which most is to be gained.

    `knobs`: name, default, values. Each value: value, mean, low, high (95 %, in the metric's unit, positive is better;
    None where nothing was measured), authors, experiments, crashes, `seen`: the latest single effects, each with id,
    alias, own, effect, low, high.
    """
    by_knob: dict[str, list[dict[str, Any]]] = {}
    for (knob, value), pooled in state.notebook.effects().items():
        by_knob.setdefault(knob, []).append(_value(state, value, pooled))
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
    known = bool(pooled.observed)
    return {
        "value": value,
        "mean": pooled.mean if known else None,
        "low": pooled.mean - Z_95 * pooled.sd if known else None,
        "high": pooled.mean + Z_95 * pooled.sd if known else None,
        "authors": len({seen.author for seen in pooled.observed}),
        "experiments": len(pooled.observed) + pooled.crashes,
        "crashes": pooled.crashes,
        "seen": [
            {
                "id": seen.moment[1].hex(),
                "alias": state.alias(seen.author),
                "own": seen.author == state.me,
                "effect": seen.effect,
                "low": seen.interval[0] if seen.interval else None,
                "high": seen.interval[1] if seen.interval else None,
            }
            for seen in pooled.observed[-MAX_SEEN:]
        ],
    }
