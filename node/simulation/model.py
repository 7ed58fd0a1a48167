"""Scenarios on the model of GossipSub's delivery (`node.simulation.flooding`): ten thousand nodes, of reporters."""

import hashlib
import random
from collections.abc import Sequence
from typing import Final

import numpy as np

from node.simulation.carried import QUANTILES, quantile
from node.simulation.flooding.flood import SETTLE_SECONDS, Conditions, flood
from node.simulation.flooding.overlay import random_overlay
from node.simulation.scenario import Scenario

RECORD_BYTES: Final = 932  # of a typical result


def play_model(scenario: Scenario, seed: int) -> tuple[str, dict[str, float], Sequence[float]]:
    """Digest, figures, and quantiles of the delays. The mean rates are the reporters'."""
    rng = random.Random(seed)
    rate = sum(group.count / (group.every or 60.0) for group in scenario.nodes)
    end = 60 * (scenario.minutes - scenario.quiet) - SETTLE_SECONDS
    said: list[float] = []
    while (moment := (said[-1] if said else 0.0) + rng.expovariate(rate)) < end:
        said.append(moment)
    authors = [rng.randrange(scenario.size) for _ in said]
    graph = random_overlay(scenario.size, np.random.default_rng(seed))
    net = scenario.network
    conditions = Conditions(loss=net.loss, leave=net.churn, away_seconds=60 * net.away)
    found = flood(graph, authors, said, conditions, seed)
    delays, hops = found.seconds, found.hop_counts
    meant = round(len(delays) / found.share)
    figures = {
        "records": float(len(said)),
        "missed": float(meant - len(delays)),
        "p50_seconds": quantile(delays, 0.5),
        "p99_seconds": quantile(delays, 0.99),
        "hops_mean": float(hops.mean()),
        "hops_max": float(hops.max()),
        "redundancy": found.redundancy,
        "kilobits": float(8 * found.sent.sent_bytes(RECORD_BYTES).mean() / 1000 / (60 * scenario.minutes)),
    }
    digest = hashlib.sha256(found.after.tobytes() + found.hops.tobytes() + found.copies.tobytes())
    return digest.hexdigest()[:16], figures, [float(quantile(delays, n / QUANTILES)) for n in range(QUANTILES + 1)]
