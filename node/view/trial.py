"""This node's own trials under way, each with its loss curve, and the one that ended last."""

from typing import Any

from node.view.live import Live, Running


def trial(live: Live) -> dict[str, Any]:
    """`activity`: what this node says that it is doing. `running`: trials under way; `last`: the one that ended last,
    None before that. Each: label, started_ms, updated_ms, fraction (of the budget, 0 to 1), loss, tokens_per_second,
    seconds_left (None where nothing can be said), curve ([fraction, loss] in order).
    """
    return {
        "activity": live.activity,
        "running": [_one(running) for running in live.trials.values()],
        "last": _one(live.last_trial) if live.last_trial else None,
    }


def _one(running: Running) -> dict[str, Any]:
    spent = (running.updated_ms - running.started_ms) / 1000
    done = running.fraction - running.first_fraction
    return {
        "label": running.label,
        "started_ms": running.started_ms,
        "updated_ms": running.updated_ms,
        "fraction": running.fraction,
        "loss": running.loss,
        "tokens_per_second": running.tokens_per_second,
        "seconds_left": spent / done * (1 - running.fraction) if done > 0 else None,
        "curve": [list(point) for point in running.curve],
    }
