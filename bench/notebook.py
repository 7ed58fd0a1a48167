"""What a notebook of many results costs: adding one, the views that a decision needs after it, and memory.

    python -m bench.notebook [RECORDS] [ADDED]

The results are those of a made-up swarm: AUTHORS authors on three device classes walk over a response surface with
noise, each from its own best recipe; they set one knob, sometimes two, or test what another kept. They are signed and
read like any other record. Times are processor time of this process, of each of ADDED records added after the rest.
"""

import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final

import psutil

from agent.entries import Result, kept, write
from agent.hypotheses import open_ideas
from agent.insights import findings
from agent.notebook import Notebook
from agent.policy import choose
from agent.proposal import NothingLeft
from agent.search import Search
from agent.seeds import seed_of
from agent.span import Span
from agent.suggestions import suggestions
from bench.figures import figure, machine
from gossip.identity import Identity
from gossip.record import Record
from node.simulation.node import identity, make_result
from node.simulation.world import World, surface_world
from trainer.knobs import Scalar
from trainer.recipe import BASELINE, Recipe, make_recipe

AUTHORS: Final = 200
DEVICES: Final = ("cpu", "cpu", "cuda-24g", "cuda-80g+")
START_MS: Final = 1_700_000_000_000
REPLICATING: Final = 0.3
SEEDS: Final = (1, 1, 2, 4)
EVERY: Final = 100  # added records between two looks at the views
CLEAR: Final = 3.0  # noise deviations
VERSIONS: Final = {"python": "3.11.2", "torch": "2.9.0", "os": "Linux 6.1 x86_64"}


@dataclass
class Walker:
    """An author of the made-up swarm. tested: changes that it has a verdict on; parent: its best recipe's values."""

    signer: Identity
    device_class: str
    best: Recipe = BASELINE
    tested: set[frozenset[tuple[str, Scalar]]] = field(default_factory=set)
    parent: dict[int, float] = field(default_factory=dict)


def made_up(world: World, rng: random.Random) -> Iterator[Record]:
    """Results, one a second, as the swarm would write them, without end."""
    walkers = [Walker(identity(number + 1), DEVICES[number % len(DEVICES)]) for number in range(AUTHORS)]
    found: list[tuple[bytes, dict[str, Scalar]]] = []
    for number in count():
        walker = rng.choice(walkers)
        replicated = rng.choice(found[-500:]) if found and rng.random() < REPLICATING else None
        change = replicated[1] if replicated else _idea(world, walker, rng)
        candidate = make_recipe(world.task, {**walker.best.knobs, **change})
        if candidate == walker.best or frozenset(change.items()) in walker.tested:
            replicated, change = None, _idea(world, walker, rng)
            candidate = make_recipe(world.task, {**walker.best.knobs, **change})
            if candidate == walker.best:
                continue
        walker.tested.add(frozenset(change.items()))
        result = _result(world, walker, candidate, replicated[0] if replicated else None, rng)
        record = write(walker.signer, world.task.fingerprint, START_MS + 1000 * number, result)
        if kept(result.verdict):
            walker.best, walker.parent = candidate, {}
            if replicated is None:
                found.append((record.id, {knob: new for knob, (_, new) in result.change.items()}))
        yield record


def _idea(world: World, walker: Walker, rng: random.Random) -> dict[str, Scalar]:
    """One knob or two, set to another value; a number to three digits, as the search does."""
    change: dict[str, Scalar] = {}
    for name in rng.sample(sorted(world.task.knobs), 1 if rng.random() < 0.8 else 2):
        knob = world.task.knobs[name]
        span = Span.of(knob)
        if span is not None:
            change[name] = span.value(rng.random())
        else:
            change[name] = rng.choice(knob.choices if knob.type == "choice" else (False, True))
    return change


def _result(world: World, walker: Walker, candidate: Recipe, replicates: bytes | None, rng: random.Random) -> Result:
    many = rng.choice(SEEDS)
    for number in range(len(walker.parent), many):
        seed = seed_of(walker.signer.author, walker.best, number)
        walker.parent[seed] = world.trial(walker.best, seed)
    seeds = list(walker.parent)[:many]
    pairs: dict[int, tuple[float | None, float | None]] = {
        seed: (world.trial(candidate, seed), walker.parent[seed]) for seed in seeds
    }
    gains = [world.task.metric.improvement(before, after) for after, before in pairs.values() if before and after]
    gain, error = statistics.fmean(gains), world.sd * (2 / len(gains)) ** 0.5
    verdict = "keep" if gain > CLEAR * error else "discard" if gain < error else "inconclusive"
    reason = ""
    if rng.random() < 0.02:
        verdict, reason, pairs = "crash", "out of memory", {seeds[0]: (None, 1.0)}
    return make_result(
        world.task,
        walker.best,
        candidate,
        pairs,
        verdict,
        reason=reason,
        effect=None if reason else gain,
        interval=None if reason else (gain - 2 * error, gain + 2 * error),
        device_class=walker.device_class,
        device="Intel(R) Xeon(R) Processor" if walker.device_class == "cpu" else "NVIDIA",
        versions=VERSIONS,
        tokens=198_656,
        steps=97,
        parameters=550_000,
        peak_memory_mb=412.5,
        hypothesis="something of it was promising, and nobody has tried it on this recipe yet",
        replicates=replicates,
    )


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of processor time."""
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


def main() -> None:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    added = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    world, rng = surface_world(), random.Random(1)
    notebook = Notebook(world.task, identity(1).author, "cpu")
    print(machine())
    resident = psutil.Process().memory_info
    before = resident().rss
    records = made_up(world, rng)
    filling = 0.0
    for record in islice(records, many):
        filling += timed(lambda record=record: notebook.add(record))  # type: ignore[misc]
    gc.collect()
    experiments = len(notebook.experiments())
    print(figure(f"{experiments:,} results by {AUTHORS} authors, each", "us of CPU", [1000 * filling / many]))
    print(figure("memory for each result", "kB", [(resident().rss - before) / experiments / 1000], kind="memory"))
    search = Search(1)
    views: dict[str, Callable[[], object]] = {
        "choose": lambda: choose(notebook, claims=(), now_ms=START_MS, rng=rng),
        "noise": notebook.noise,
        "open replications": notebook.open_replications,
        "open hypotheses": lambda: open_ideas(notebook),
        "propose": lambda: _propose(search, notebook),
        "misfits": notebook.misfits,
        "findings": lambda: findings(notebook),
        "suggestions": lambda: suggestions(notebook),
        "effects": notebook.effects,
        "board": notebook.board,
    }
    print(
        f"{len(notebook.discoveries()):,} discoveries, {len(notebook.open_replications()):,} open to replication here"
    )
    gc.collect()
    adding = []
    spent: dict[str, list[float]] = {name: [] for name in views}
    for number, record in enumerate(islice(records, added)):
        if number % EVERY == 0:
            choose(notebook, claims=(), now_ms=START_MS, rng=rng)  # as a node has between its experiments
        adding.append(timed(lambda record=record: notebook.add(record)))  # type: ignore[misc]
        if number % EVERY == 0:
            for name, view in views.items():
                spent[name].append(timed(view))
    print(figure("adding one", "ms of CPU", adding))
    print(figure("… 99 of 100 below", "ms of CPU", [statistics.quantiles(adding, n=100)[98]]))
    for name, times in spent.items():
        print(figure(f"then {name}", "ms of CPU", times))


def _propose(search: Search, notebook: Notebook) -> None:
    try:
        search.propose(notebook, notebook.task)
    except NothingLeft:
        return


if __name__ == "__main__":
    main()
