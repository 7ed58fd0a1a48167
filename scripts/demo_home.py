"""Fill a state folder with a night of a swarm, for screenshots and for looking at the page without waiting for one.

    python scripts/demo_home.py DIR [--minutes 420] [--serve [ADDR:PORT]]

Six nodes with the real notebook, judge, policy and search work on `story-cpu`; only the training is simulated, by the
surface that was fitted to recorded trials. One of the six boasts. The records are real and signed, with their times
ending now, so every command works: `arnode --home DIR board`. With --serve the page is served as a running node would,
with peers and a trial that are made up.
"""

import argparse
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import trio

from agent.entries import NO_TASK, Entry, Hypothesis, Presence, Profile, Result, write
from agent.insights import findings
from agent.suggestions import suggestions
from gossip.events import Peer
from gossip.host import peer_id_of
from gossip.identity import plain_pem
from gossip.log import Log
from gossip.metrics import Metrics
from gossip.private_file import write_private
from gossip.record import Record
from node.experiment import Plan
from node.home import Home, open_home, remember_task
from node.server import application, local_server
from node.simulation.liars import Liar
from node.simulation.modelled import modelled_world
from node.simulation.node import Node, identity
from node.simulation.swarm import Swarm
from node.state import State, open_state
from node.view.live import Live
from node.web import page
from node.web.api import Api
from trainer.output import Progress
from trainer.task import load_task

TASK: Final = "story-cpu"
TRIAL_SECONDS: Final = 60.0
NODES: Final = [
    ("my-laptop", "Intel Core i7-1260P"),
    ("attic-box", "AMD Ryzen 9 5950X"),
    ("brisk-heron", "AMD EPYC 7763"),
    ("mira", "Apple M2"),
    ("lab-4", "Intel Xeon Gold 6226R"),
    ("turbo9000", "AMD Ryzen 5 5600X"),
]


@dataclass
class Boaster(Liar):
    """A node that mostly works, and now and then claims a great gain that it never saw."""

    def experiment(self, plan: Plan) -> tuple[Result, float]:
        boasts = plan.replicates is None and self.rng.random() < 0.2
        return super().experiment(plan) if boasts else Node.experiment(self, plan)


@dataclass
class Night:
    """What a night gave: the records by time, and the nodes."""

    swarm: Swarm
    records: list[Record] = field(default_factory=list)


def simulate(minutes: float) -> Night:
    """A night of six nodes that ends now."""
    task = load_task(TASK)
    world = replace(modelled_world(task), seconds=TRIAL_SECONDS)
    kinds = [Node] * (len(NODES) - 1) + [Boaster]
    nodes = [kind(world, identity(400 + number), 400 + number) for number, kind in enumerate(kinds)]
    start_ms = time.time_ns() // 1_000_000 - int(minutes * 60_000)
    swarm = Swarm(world, nodes, latency=2.0, start_ms=start_ms)
    swarm.run(minutes)
    profiles = [
        write(
            node.signer,
            NO_TASK,
            start_ms - 1000 * number,
            Profile(alias=alias, device_class="cpu", device=device),
        )
        for number, (node, (alias, device)) in enumerate(zip(nodes, NODES, strict=True))
    ]
    swarm.settle()
    return Night(swarm, profiles + swarm.records + list(conclusions(swarm, start_ms + int(minutes * 60_000))))


def conclusions(swarm: Swarm, end_ms: int) -> Iterator[Record]:
    """What the nodes make of the night, by rule, and an idea of a person's."""
    for number, node in enumerate(swarm.nodes[:3]):
        entries: list[Entry] = [*findings(node.notebook), *suggestions(node.notebook)]
        if number == 1:
            text = "Shorter sequences leave more steps in the budget: worth a try with the larger learning rate."
            entries.append(Hypothesis(text=text, change={"SEQ_LEN": 128}, priority=0.7, proposer="person"))
        for order, entry in enumerate(entries):
            time_ms = end_ms - 600_000 * (3 - number) + 7000 * order
            record = write(node.signer, swarm.world.task.fingerprint, time_ms, entry)
            for other in swarm.nodes:
                other.notebook.add(record)  # what was said is not said again
            yield record


def fill(home: Home, night: Night) -> None:
    """Make the state folder that of the night's first node."""
    write_private(home.identity, plain_pem(night.swarm.nodes[0].signer))
    remember_task(home, TASK)
    with Log(home.log) as log:
        log.append(night.records)


def made_up_life(state: State, night: Night) -> Live:
    """Peers that are connected and say what they do."""
    others = night.swarm.nodes[1:]
    now = time.time_ns() // 1_000_000
    peers = [
        Peer(
            peer_id_of(node.author),
            f"/ip4/192.0.2.{10 + i}/tcp/4477",
            inbound=i % 2 == 0,
            since=now - 3_600_000 * (i + 1),
        )
        for i, node in enumerate(others[:4])
    ]
    live = Live(
        swarm="main",
        private=False,
        research=True,
        started_ms=now - 25_000_000,
        peers=lambda: peers,
        mesh=lambda: 4,
        done=lambda: len(state.notebook.experiments(state.me)),
        activity="exploring WARMDOWN 0 → 0.42",
    )
    doing = [
        "exploring DEPTH 3 → 2",
        "replicating OPTIMIZER adamw → normuon",
        "calibrating",
        "exploring QK_NORM False → True",
    ]
    for i, (node, text) in enumerate(zip(others, doing, strict=False)):
        result = node.notebook.best_result()
        best = [pair.candidate for pair in result.pairs if pair.candidate is not None] if result else []
        said = Presence(alias=NODES[i + 1][0], activity=text, best=sum(best) / len(best) if best else None)
        live.heard(node.author, now - 4000 * i, said)
    return live


async def train(live: Live) -> None:
    """A trial whose loss falls, again and again."""
    rng = random.Random(1)
    while True:
        for step in range(1, 121):
            share = step / 120
            loss = 1.9 + 3.6 * math.exp(-5 * share) + rng.gauss(0, 0.02)
            live.progress(
                "WARMDOWN 0 → 0.42", Progress(share, loss, 48_000 + rng.gauss(0, 800)), time.time_ns() // 1_000_000
            )
            await trio.sleep(0.25 if step > 70 else 0)
        live.trial_ended()


async def serve(home: Home, night: Night, where: str) -> None:
    """Serve the page until Ctrl-C."""
    with open_state(home, TASK, writing=False) as state:
        live = made_up_life(state, night)
        app = application(Metrics().text, [*page.routes(), *Api(state, live).routes()])
        async with local_server(where, app, print) as url, trio.open_nursery() as nursery:
            print(url, flush=True)
            nursery.start_soon(train, live)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=420.0)
    parser.add_argument("--serve", metavar="ADDR:PORT", nargs="?", const="127.0.0.1:4478")
    chosen = parser.parse_args()
    home = open_home(chosen.folder)
    night = simulate(chosen.minutes)
    fill(home, night)
    results = sum(isinstance(result, Result) for _, result in night.swarm.results())
    print(f"{home.folder}: {len(night.records)} records, {results} experiments", flush=True)
    if chosen.serve:
        trio.run(serve, home, night, chosen.serve)


if __name__ == "__main__":
    main()
