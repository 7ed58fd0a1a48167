"""What the page costs its node: for how long each answer of the API holds the node's loop, after a record came in.

    python -m bench.web [RECORDS...] [--runs N]

The records are those of `bench.notebook`: 200 authors on three device classes. Before each answer one more record is
taken in, so that nothing is kept from the answer before. Times are processor time of this process, for the whole answer
and for its longest part without a break, in which the node's loop does nothing else; sizes are of the JSON. A record's
own page is made in a thread.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from itertools import islice
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
from node.view.board import board_in_steps
from node.view.discovery import discovery
from node.view.effects import effects
from node.view.feed import feed
from node.view.live import Live
from node.view.peers import peers
from node.view.progress import progress_in_steps
from node.view.said import notebook_view
from node.view.status import status
from node.view.steps import SLICE_SECONDS, Steps
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


def views(state: State, live: Live, now_ms: int) -> dict[str, Callable[[], Steps[Any]]]:
    """The API's answers by name, in their steps."""
    found = max(state.notebook.discoveries(), key=lambda one: len(one.replications))

    def at_once(view: Callable[[], Any]) -> Callable[[], Steps[Any]]:
        def steps() -> Steps[Any]:
            yield
            return view()

        return steps

    return {
        "status": at_once(lambda: status(state, live, now_ms)),
        "feed": lambda: feed(state, live, before=None, limit=60, show="all"),
        "feed, kept only": lambda: feed(state, live, before=None, limit=60, show="findings"),
        "feed, crashes only": lambda: feed(state, live, before=None, limit=60, show="failures"),
        "board": lambda: board_in_steps(state),
        "progress": lambda: progress_in_steps(state),
        "effects": lambda: effects(state),
        "notebook": at_once(lambda: notebook_view(state, live, now_ms)),
        "discovery": at_once(lambda: discovery(state, found.record_id)),
        "peers": lambda: peers(state, live),
        "trial": at_once(lambda: trial(live)),
    }


def timed(steps: Steps[Any]) -> tuple[float, float, bytes]:
    """(milliseconds for the whole answer, for the longest time without the loop, the answer)."""
    held, longest, total = 0.0, 0.0, 0.0
    before = time.process_time()

    def took() -> float:
        nonlocal before
        now = time.process_time()
        before, passed = now, now - before
        return passed

    while True:
        try:
            next(steps)
        except StopIteration as done:
            passed = took()
            body = encoded(done.value)
            encoding = took()
            return 1000 * (total + passed + encoding), 1000 * max(longest, held + passed, encoding), body
        passed = took()
        total, held = total + passed, held + passed
        longest = max(longest, held)
        if held > SLICE_SECONDS:
            held = 0.0


def measure(count: int, runs: int) -> None:
    """Print the figures for so many records."""
    records = list(islice(made_up(made_up_world(), random.Random(1)), count + 20 * runs))
    known, later = records[:count], iter(records[count:])
    with tempfile.TemporaryDirectory() as folder:
        state = opened(Path(folder), known)
        live = Live("bench", False, True, 0, peers=list, mesh=lambda: 0, done=lambda: 0)
        for name, view in views(state, live, records[-1].time_ms).items():
            made = []
            for _ in range(runs):
                record = next(later)
                state.log.append([record])
                state.take(record)
                made.append(timed(view()))
            print(figure(f"{count:,} records, {name}", "ms of CPU", [whole for whole, _, _ in made]))
            print(figure("… of it without a break", "ms of CPU", [held for _, held, _ in made]))
            print(figure("… its size", "kB", [len(body) / 1000 for _, _, body in made]), flush=True)
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
