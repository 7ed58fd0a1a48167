"""What is measured of a simulated swarm: figures that a scenario may assert."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.entries import kept
from agent.evidence import Experiment
from agent.notebook import Notebook
from node.simulation.cast import Reporter, is_crooked
from node.simulation.node import Node
from node.simulation.spread import Spread
from node.simulation.swarm import Swarm
from trainer.recipe import BASELINE


@dataclass(frozen=True)
class Figure:
    """What a figure says, and its unit."""

    meaning: str
    unit: str = ""


FIGURES: Final[Mapping[str, Figure]] = {
    "records": Figure("records that were published"),
    "missed": Figure("records that nodes lack at the end, over all that had been up for a while"),
    "unheard": Figure("records of nodes that are down at the end, and of which no other has them"),
    "kept_share": Figure("of all records, those on the shelves of a node: mean"),
    "forgotten": Figure("old records that nodes keep in short, over all nodes"),
    "p50_seconds": Figure("from publication to a node: median", "s"),
    "p99_seconds": Figure("from publication to a node: 99 of 100 are faster", "s"),
    "hops_mean": Figure("hops that a record took to a node: mean"),
    "hops_max": Figure("hops that a record took to a node: most"),
    "redundancy": Figure("copies of a record, or of a presence, that come to a node"),
    "kilobits": Figure("what a node sends: mean", "kbit/s"),
    "catch_up_seconds": Figure("until a late joiner has all that was there: the slowest", "s"),
    "healing_seconds": Figure("after a cut, until everybody has everything", "s"),
    "experiments": Figure("experiments of honest nodes"),
    "discoveries": Figure("discoveries of honest nodes"),
    "confirmed": Figure("discoveries that were confirmed"),
    "false_confirmed": Figure("confirmed discoveries that make things no better"),
    "false_keeps": Figure("own ideas that honest nodes kept, and that are no better"),
    "false_adoptions": Figure("changes of others that honest nodes adopted, and that are no better"),
    "replication_share": Figure("replications, of honest nodes' trial time"),
    "roles": Figure("activities that some node was at, of four"),
    "improvement": Figure("true improvement: median of the honest nodes", "%"),
    "least_improvement": Figure("true improvement: least of the honest nodes", "%"),
    "adopted_share": Figure("of all nodes that a true discovery has reached: median"),
    "adoption_minutes": Figure("until a true discovery has reached half of the nodes: median", "min"),
    "liar_credit": Figure("how far honest nodes believe those who lie: mean"),
    "honest_credit": Figure("how far honest nodes believe each other: mean"),
    "dials": Figure("times that a stranger dialled"),
    "strangers_in": Figure("dials of strangers that got in"),
    "refused_share": Figure("strangers' dials that were turned away before a handshake, of all"),
    "members_in": Figure("members' dials that got in, of all"),
    "handshake_p99_seconds": Figure("from a member's dial to the end of its handshake: 99 of 100 are faster", "s"),
    "flood_share": Figure("of a flooder's records that gossip brings to an honest node"),
}


def research_figures(swarm: Swarm, book: Notebook, spread: Spread) -> dict[str, float]:
    """What came of the research. book: has all records. Figures of which there is nothing to say are left out."""
    honest = [node for node in swarm.nodes if not is_crooked(node) and not isinstance(node, Reporter)]
    if not honest:
        return {}
    authors = {node.author for node in honest}
    tests = [test for test in book.experiments() if test.author in authors]
    by_id = {test.record_id: test for test in book.experiments()}
    false = [test for test in tests if kept(test.verdict) and is_false(swarm, test)]
    found = [one for one in book.discoveries() if one.author in authors]
    confirmed = [one for one in book.discoveries() if one.status == "confirmed"]
    baseline = swarm.world.truth(BASELINE)
    metric = swarm.world.task.metric
    better = [
        100 * metric.improvement(baseline, swarm.world.truth(node.notebook.best())) / abs(baseline) for node in honest
    ]
    spent = swarm.spent(honest)
    figures = {
        "experiments": len(tests),
        "discoveries": len(found),
        "confirmed": len(confirmed),
        "false_confirmed": sum(is_false(swarm, by_id[one.record_id]) for one in confirmed),
        "false_keeps": sum(test.result.replicates is None for test in false),
        "false_adoptions": sum(test.result.replicates is not None for test in false),
        "replication_share": spent["replicate"] / max(sum(spent.values()), 1.0),
        "roles": len({did.activity for did in swarm.done}),
        "improvement": statistics.median(better),
        "least_improvement": min(better),
        **spread.figures(),
        **_credits(honest, [node for node in swarm.nodes if is_crooked(node)]),
    }
    return {name: float(value) for name, value in figures.items()}


def is_false(swarm: Swarm, test: Experiment) -> bool:
    """Whether what a test kept is no better in truth; as `simpler`, whether it is worse than nobody would notice."""
    allowed = -swarm.world.sd if test.verdict == "simpler" else 0.0
    return swarm.world.gain(test.parent, test.candidate) <= allowed


def _credits(honest: Sequence[Node], crooks: Sequence[Node]) -> dict[str, float]:
    """Of a hundred honest nodes at most: the mean of so many says it."""
    of_crooks = [node.notebook.credibility(crook.author) for node in honest[:100] for crook in crooks]
    of_honest = [
        node.notebook.credibility(other.author) for node in honest[:100] for other in honest[:100] if other is not node
    ]
    told = {"liar_credit": of_crooks, "honest_credit": of_honest}
    return {name: statistics.fmean(credit) for name, credit in told.items() if credit}
