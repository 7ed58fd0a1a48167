"""Where a node stands: who it is, what it works on, how far it has come, and what a person should know first."""

from typing import Any

from agent.entries import kept
from gossip.host import peer_id_of
from node.events import mean_values, relative_to
from node.state import State
from node.view.headline import headline
from node.view.live import Live


def status(state: State, live: Live, now_ms: int) -> dict[str, Any]:
    """`headline` (see `node.view.headline`), `node`, `swarm`, `task`, `counts`, `best`, `limits`, and `epoch`, which
    changes when the node starts anew.
    """
    notebook, task, device = state.notebook, state.task, state.device
    noise = notebook.noise()
    found = notebook.discoveries()
    mine = notebook.experiments(state.me)
    known = task.metric.known_best
    return {
        "epoch": live.stream.epoch,
        "now_ms": now_ms,
        "headline": headline(state, now_ms),
        "node": {
            "alias": state.alias(state.me),
            "author": state.me.hex(),
            "peer": peer_id_of(state.me),
            "device": device.name,
            "device_class": device.device_class,
            "started_ms": live.started_ms,
            "research": live.research,
            "activity": live.activity,
        },
        "swarm": {
            "name": live.swarm,
            "private": live.private,
            "connected": len(live.peers()),
            "mesh": live.mesh(),
            "authors": len({test.author for test in notebook.experiments()}),
        },
        "task": {
            "name": task.name,
            "title": task.title,
            "fingerprint": task.fingerprint_hex,
            "metric": task.metric.name,
            "direction": task.metric.direction,
            "unit": task.metric.unit,
            "floor": task.metric.floor,
            "known_best": known and {"value": known.value, "source": known.source},
            "budget": {"kind": task.budget.kind, "amount": task.budget.amount},
            "noise": {"sd": noise.sd, "degrees": noise.degrees, "measured": noise.measured},
        },
        "counts": {
            "records": state.log.count(),
            "experiments": len(notebook.experiments()),
            "own_experiments": len(mine),
            "own_discoveries": sum(kept(test.verdict) and test.result.replicates is None for test in mine),
            "own_adoptions": sum(kept(test.verdict) and test.result.replicates is not None for test in mine),
            "discoveries": len(found),
            "confirmed": sum(one.status == "confirmed" for one in found),
            "refuted": sum(one.status == "refuted" for one in found),
        },
        "best": _best(state),
        "limits": {
            "experiments": live.experiments_wanted,
            "done": live.done(),
            "until": live.until,
            "ends_ms": live.ends_ms,
        },
    }


def _best(state: State) -> dict[str, Any]:
    """This node's own best recipe against the task's program: value, baseline, relative, seeds, record."""
    baseline = state.notebook.baseline()
    record = state.best_record()
    result = state.notebook.best_result()
    value = mean_values(result.pairs)[0] if result else None
    return {
        "value": value,
        "baseline": baseline,
        "relative": relative_to(value, baseline),
        "seeds": len(result.pairs) if result else 0,
        "record": record.id.hex() if record and result else None,
    }
