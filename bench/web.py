"""What the page costs its node: for how long each answer of the API holds the node's loop, after a record came in.

    python -m bench.web [RECORDS...] [--runs N]

The records are those of `bench.notebook`: 200 authors on three device classes. Before each answer one more record is
taken in, so that nothing is kept from the answer before. Times are processor time of this process; sizes are of the
JSON.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agent.notebook import Notebook
from bench.figures import figure, machine
from bench.notebook import made_up
from gossip.log import Log
from gossip.record import Record
from node.home import Home
from node.simulation.world import World
from node.state import State
from node.view.board import board_of
from node.view.discovery import discovery
from node.view.effects import effects
from node.view.feed import feed
from node.view.ideas import notebook_view
from node.view.live import Live
from node.view.peers import peers
from node.view.progress import progress
from node.view.record import record_view
from node.view.status import status
from node.view.trial import trial
from node.web.api import encoded
from trainer.device import detect
from trainer.recipe import Recipe
from trainer.task import load_task

RUNS: Final = 7


def made_up_world() -> World:
    """`story-cpu`, with a gain for each value of a knob that nothing but its name decides."""

    def truth(recipe: Recipe) -> float:
        return 2.8 - sum(random.Random(f"{knob} {value}").gauss(0, 0.05) for knob, value in recipe.knobs.items())

    return World(load_task("story-cpu"), truth)


def opened(folder: Path, records: list[Record]) -> State:
    """A state with these records in its log and notebook; it is the author's of the first."""
    task, log = load_task("story-cpu"), Log(folder / "log.sqlite")
    for start in range(0, len(records), 500):
        log.append(records[start : start + 500])
    me = records[0].author
    state = State(Home(folder), task, detect(), me, log, Notebook(task, me, "cpu"))
    state.load()
    return state


def views(state: State, live: Live, now_ms: int) -> dict[str, Callable[[], Any]]:
    """The API's answers by name."""
    found = max(state.notebook.discoveries(), key=lambda one: len(one.replications))
    record = state.log.get(found.record_id)
    assert record is not None
    return {
        "status": lambda: status(state, live, now_ms),
        "feed": lambda: feed(state, live, before=None, limit=60, show="all"),
        "feed, kept only": lambda: feed(state, live, before=None, limit=60, show="findings"),
        "feed, crashes only": lambda: feed(state, live, before=None, limit=60, show="failures"),
        "board": lambda: board_of(state),
        "progress": lambda: progress(state),
        "effects": lambda: effects(state),
        "notebook": lambda: notebook_view(state, live, now_ms),
        "discovery": lambda: discovery(state, found.record_id),
        "record": lambda: record_view(state, record),
        "peers": lambda: peers(state, live),
        "trial": lambda: trial(live),
    }


def measure(count: int, runs: int) -> None:
    """Print the figures for so many records."""
    records = list(made_up(made_up_world(), count + 20 * runs, random.Random(1)))
    known, later = records[:count], iter(records[count:])
    with tempfile.TemporaryDirectory() as folder:
        state = opened(Path(folder), known)
        live = Live("bench", False, True, 0, peers=list, mesh=lambda: 0, done=lambda: 0)
        for name, view in views(state, live, records[-1].time_ms).items():
            seconds, sizes = [], []
            for _ in range(runs):
                record = next(later)
                state.log.append([record])
                state.take(record)
                before = time.process_time()
                body = encoded(view())
                seconds.append((time.process_time() - before) * 1000)
                sizes.append(len(body))
            print(figure(f"{count:,} records, {name} ({max(sizes) / 1000:.0f} kB)", "ms", seconds), flush=True)
        state.log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--runs", type=int, default=RUNS)
    chosen = parser.parse_args()
    print(machine())
    for count in chosen.records:
        measure(count, chosen.runs)


if __name__ == "__main__":
    main()
