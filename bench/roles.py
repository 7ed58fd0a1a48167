"""Whether a swarm without any assignment does all there is to do, and what liars can do to it; on simulated trials.

    python -m bench.roles [swarm|liars|devices|night]... [--nodes N] [--minutes M] [--seeds S] [--hours H]

Notebook, judge, policy and search are the real ones; trials, clock and network are simulated (`node.simulation`), so
the truth is known. Deviations are of one trial. A discovery is true if its change truly gained its finder more than
TRUE deviations. A node's role at some time is the activity that it is at. A change has reached a node that came to hold
it, or what is as good: nothing worth TRUE deviations would be left for it to gain from the change.
"""

import argparse
import statistics
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from agent import entries
from agent.discoveries import Discovery
from agent.entries import kept
from agent.evidence import Experiment
from agent.notebook import Notebook
from agent.search import Search
from agent.span import Span, options
from agent.strategy import drought
from bench.figures import figure
from gossip.record import Record
from node.simulation.figures import is_false
from node.simulation.liars import KINDS, Colluder, Denier, Exaggerator, Liar, make_liars
from node.simulation.modelled import modelled_world
from node.simulation.node import Node, identity, make_result
from node.simulation.persistence import longest_gap, most_near, repeats, shifts
from node.simulation.spread import TRUE, bests_of, when_reached
from node.simulation.swarm import ACTIVITIES, Swarm, make_swarm
from node.simulation.virtual import START_MS
from node.simulation.world import surface_world
from trainer.recipe import BASELINE, make_recipe
from trainer.task import Task, load_task

RIPE: Final = 10.0  # minutes that a discovery has to be confirmed and spread
SAMPLES: Final = 6
NUMBERS_APART: Final = 100
MIXED: Final[Sequence[type[Liar]]] = (Liar, Exaggerator, Colluder, Colluder, Colluder, Denier, Denier)
MIX: Final = "all kinds mixed"
DRAWS: Final = 200
NIGHTS: Final = (1, 4)  # nodes


def swarms(nodes: int, minutes: float, seeds: int) -> None:
    """Honest nodes: roles, confirmation, replication, spread."""
    shares: dict[str, list[float]] = defaultdict(list)
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in range(seeds):
        swarm = make_swarm(nodes, first=1 + seed * NUMBERS_APART)
        swarm.run(minutes)
        swarm.settle()
        print(f"seed {seed}: nodes in each role: {_roles(swarm, minutes)}", flush=True)
        filled = {did.activity for did in swarm.done}
        print(f"seed {seed}: roles filled: {len(filled)} of {len(ACTIVITIES)}")
        spent = swarm.spent()
        for activity, seconds in spent.items():
            shares[activity].append(100 * seconds / sum(spent.values()))
        for name, value in _discoveries(swarm, minutes).items():
            figures[name] += value
        counts = Counter(did.activity for did in swarm.done)
        for activity in ("calibrate", "synthesise"):
            figures[f"times that some node did {activity}", ""].append(counts[activity])
        figures["experiments", ""].append(len(list(swarm.results())))
        gain = [1 - swarm.world.truth(n.notebook.best()) / swarm.world.truth(BASELINE) for n in swarm.nodes]
        figures["true improvement of a node", "%"].append(100 * statistics.median(gain))
    for doing, of_seeds in shares.items():
        print(figure(f"share of trial time: {doing}", "%", of_seeds))
    for (what, unit), values in figures.items():
        print(figure(what, unit, values) if values else f"{what}: none")


def _roles(swarm: Swarm, minutes: float) -> str:
    """How many nodes were at what, at some times."""
    lines = []
    for sample in range(1, SAMPLES + 1):
        at = 60 * minutes * sample / SAMPLES - 1
        now = {did.node.author: did.activity for did in swarm.done if did.start <= at}
        count = Counter(now.values())
        lines.append(f"{at / 60:.0f} min " + "/".join(str(count[activity]) for activity in ACTIVITIES.values()))
    return f"({'/'.join(ACTIVITIES.values())}) " + ", ".join(lines)


def _discoveries(swarm: Swarm, minutes: float) -> dict[tuple[str, str], list[float]]:
    """Figures about what was found: (name, unit) -> values."""
    book = swarm.nodes[0].notebook
    last = START_MS + int(60_000 * (minutes - RIPE))
    ripe = [found for found in book.discoveries() if found.time_ms <= last]
    by_id = {test.record_id: test for test in book.experiments()}
    true = [found for found in ripe if _true_gain(swarm, by_id[found.record_id]) > TRUE * swarm.world.sd]
    confirmed = sum(found.status == "confirmed" for found in true)
    false = [f for f in book.discoveries() if f.status == "confirmed" and _true_gain(swarm, by_id[f.record_id]) <= 0]
    bests = {node.author: bests_of(book, node.author) for node in swarm.nodes}
    times = [test.moment[0] for test in book.experiments()]
    seconds, experiments, never, waiting = [], [], 0, 0
    for found in true:
        left = [_left(swarm, node, found) for node in swarm.nodes]
        waiting += found.status != "confirmed" and max(left) > TRUE * swarm.world.sd
        reached = [when_reached(swarm.world, bests[node.author], found) for node in swarm.nodes]
        if any(moment is None for moment in reached):
            never += 1
            continue
        end = max(moment for moment in reached if moment is not None)
        seconds.append((end - found.time_ms) / 1000)
        experiments.append(float(bisect_right(times, end) - bisect_right(times, found.time_ms)))
    return {
        ("true discoveries, ripe", ""): [len(true)],
        ("of them confirmed", "%"): [100 * confirmed / len(true)] if true else [],
        ("of them neither confirmed nor superseded by better ones", ""): [waiting],
        ("of them not with everybody at the end", ""): [never],
        ("false discoveries confirmed", ""): [len(false)],
        ("from a true discovery to all others", "virtual s"): seconds,
        ("experiments of the swarm meanwhile", ""): experiments,
    }


def _left(swarm: Swarm, node: Node, found: Discovery) -> float:
    """What a node would truly gain from a change at the end."""
    best = node.notebook.best()
    return swarm.world.gain(best, make_recipe(swarm.world.task, {**best.knobs, **found.new_values}))


def _true_gain(swarm: Swarm, test: Experiment) -> float:
    return swarm.world.gain(test.parent, test.candidate)


def liars(nodes: int, minutes: float, seeds: int, chosen: Sequence[str]) -> None:
    """30 % of the nodes lie, in several ways."""
    lying = round(0.3 * nodes)
    crews = {MIX: list(MIXED[:lying])} | {name: [kind] * lying for name, kind in KINDS.items()}
    for name in chosen:
        crew = crews[name]
        figures: dict[tuple[str, str], list[float]] = defaultdict(list)
        for seed in range(seeds):
            world = surface_world()
            first = 1 + seed * NUMBERS_APART
            honest = [Node(world, identity(first + number), first + number) for number in range(nodes - len(crew))]
            crooks = make_liars(world, crew, first + 50)
            swarm = Swarm(world, [*honest, *crooks])
            swarm.run(minutes)
            swarm.settle()
            tests = [test for node in honest for test in node.notebook.experiments(node.author)]
            keeps = [test for test in tests if kept(test.verdict)]
            false = [test for test in keeps if is_false(swarm, test)]
            of_liars = {record.id for record in swarm.records if record.author in {crook.author for crook in crooks}}
            figures["keeps of honest nodes", ""].append(len(keeps))
            figures["false changes kept on own ideas", ""].append(sum(t.result.replicates is None for t in false))
            adopted = [test.result.replicates for test in false if test.result.replicates]
            by_liars = sum(found in of_liars for found in adopted)
            figures["false changes of liars that honest nodes adopted", ""].append(by_liars)
            figures["false changes of honest nodes that others adopted", ""].append(len(adopted) - by_liars)
            gained = [node.notebook.credibility(crook.author) for node in honest for crook in crooks]
            kept_credit = [n.notebook.credibility(o.author) for n in honest for o in honest if n is not o]
            by_liar = [statistics.median(n.notebook.credibility(c.author) for n in honest) for c in crooks]
            by_honest = [
                statistics.median(n.notebook.credibility(o.author) for n in honest if n is not o) for o in honest
            ]
            figures["credibility of the liar who stands best, over honest nodes", ""].append(max(by_liar))
            figures["credibility of the honest node that stands worst, over the others", ""].append(min(by_honest))
            figures["credibility of liars at honest nodes: median", ""].append(statistics.median(gained))
            figures["credibility of liars at honest nodes: greatest", ""].append(max(gained))
            figures["credibility of honest nodes at honest nodes: median", ""].append(statistics.median(kept_credit))
            figures["credibility of honest nodes at honest nodes: least", ""].append(min(kept_credit))
            spent = swarm.spent(honest)
            figures["replication, of honest nodes' trial time", "%"].append(
                100 * spent["replicate"] / sum(spent.values())
            )
            better = [1 - world.truth(node.notebook.best()) / world.truth(BASELINE) for node in honest]
            figures["true improvement of honest nodes", "%"].append(100 * statistics.median(better))
        for (what, unit), values in figures.items():
            print(figure(f"{name} ({lying} of {nodes}), {what}", unit, values), flush=True)


def devices() -> None:
    """Which knobs each device class tries first, and how evidence moves that."""
    for name, device_class in (("story-cpu", "cpu"), ("climbmix-gpu", "cuda-80g+")):
        task = load_task(name)
        before = _first_knobs(task, device_class, Notebook(task, identity(1).author, device_class))
        print(f"{name} on {device_class}, first ideas: {_shares(before)}")
        used_up = [knob for knob, _ in before.most_common(3)]
        book = Notebook(task, identity(1).author, device_class)
        for record in _misses(task, device_class, used_up):
            book.add(record)
        after = _first_knobs(task, device_class, book)
        print(
            f"{name} on {device_class}, after up to five misses of peers on each of the first three: {_shares(after)}"
        )
        for knob in used_up:
            share, then = before[knob] / before.total(), after[knob] / after.total()
            print(f"{name}: {knob} in {share:.1%} of the ideas before, in {then:.1%} after")


def night(hours: float, sizes: Sequence[int]) -> None:
    """Repeats and stalls in a night on the surface that was fitted to trials of `story-cpu`, alone and in swarms."""
    for nodes in sizes:
        world = modelled_world(load_task("story-cpu"))
        swarm = Swarm(world, [Node(world, identity(1 + number), 1 + number) for number in range(nodes)])
        began = time.process_time()
        swarm.run(60 * hours)
        spent = time.process_time() - began
        print(f"{nodes} nodes, {hours:g} hours of {world.seconds:g} s trials ({spent:.0f} s here)", flush=True)
        for line in nights_figures(swarm):
            print(f"{nodes} nodes: {line}", flush=True)


def nights_figures(swarm: Swarm) -> list[str]:
    """What a night came to."""
    nodes = swarm.nodes
    kinds: Counter[str] = Counter()
    for did in swarm.done:
        kinds[did.strategy] += did.activity == "explore"
    gains = [1 - swarm.world.truth(node.notebook.best()) / swarm.world.truth(BASELINE) for node in nodes]
    return [
        figure("experiments of a node", "", [len(node.notebook.experiments(node.author)) for node in nodes]),
        figure("recipes that a node tested twice", "", [repeats(node) for node in nodes]),
        figure("most tries of one near-duplicate", "", [most_near(node) for node in nodes]),
        figure("longest time without a trial", "virtual s", [longest_gap(swarm, node) for node in nodes]),
        figure("true improvement", "%", [100 * gain for gain in gains]),
        "explorations by strategy: " + ", ".join(f"{kind} {many}" for kind, many in kinds.most_common() if many),
        figure("changes of strategy, of a node", "", [len(shifts(swarm, node)) for node in nodes]),
        figure("of them without a reason", "", [shifts(swarm, node).count("") for node in nodes]),
        figure("explorations since the last improvement", "", [drought(node.notebook).explorations for node in nodes]),
    ]


def _first_knobs(task: Task, device_class: str, book: Notebook) -> Counter[str]:
    """Knob -> how many of DRAWS first ideas set it, each of another node."""
    ideas = (Search(seed).propose(book, task).change for seed in range(DRAWS))
    return Counter(knob for change in ideas for knob in change)


def _misses(task: Task, device_class: str, knobs: Sequence[str]) -> list[Record]:
    """Results of peers for up to five values of each knob, all of which made things worse."""
    worse = 20 * task.metric.noise * (1 if task.metric.direction == "minimize" else -1)
    records: list[Record] = []
    for knob in knobs:
        span = Span.of(task.knobs[knob])
        values = options(task.knobs[knob]) if span is None else [span.value(n / 6) for n in range(1, 6)]
        for value in [value for value in values if value != task.knobs[knob].default][:5]:
            candidate = make_recipe(task, {knob: value})
            pairs, seen = {0: (1.0 + worse, 1.0)}, {"effect": -abs(worse), "device_class": device_class}
            result = make_result(task, BASELINE, candidate, pairs, "discard", **seen)
            time_ms = START_MS + len(records)
            records.append(entries.write(identity(10 + len(records)), task.fingerprint, time_ms, result))
    return records


def _shares(knobs: Counter[str]) -> str:
    return ", ".join(f"{knob} {many / knobs.total():.1%}" for knob, many in knobs.most_common(8))


PARTS: Final = ("swarm", "liars", "devices", "night")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=list(PARTS))
    parser.add_argument("--nodes", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hours", type=float, default=8)
    parser.add_argument("--nights", type=int, nargs="+", default=NIGHTS, metavar="NODES", help="sizes of swarms")
    parser.add_argument("--crew", choices=[MIX, *KINDS], action="append", help="of liars, repeatable; all by default")
    chosen = parser.parse_args()
    if "swarm" in chosen.parts:
        swarms(chosen.nodes, chosen.minutes, chosen.seeds)
    if "liars" in chosen.parts:
        liars(chosen.nodes, chosen.minutes, chosen.seeds, chosen.crew or [MIX, *KINDS])
    if "devices" in chosen.parts:
        devices()
    if "night" in chosen.parts:
        night(chosen.hours, chosen.nights)


if __name__ == "__main__":
    main()
