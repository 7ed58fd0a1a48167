"""A small real task in a folder, and logs with real records of it, for the node's tests."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from agent.entries import BudgetBody, Entry, Pair, Profile, Result, Verdict, write
from agent.packed import edits_body, recipe_body
from gossip.identity import Identity, load_or_create, plain_pem
from gossip.log import Log
from gossip.record import Record
from node.home import Home, open_home, remember_task
from node.trials import Trials
from trainer.device import Device
from trainer.recipe import BASELINE, Recipe, change_between, make_recipe, materialise, program_sha256, recipe_id
from trainer.sandbox import Sandbox
from trainer.slots import WHOLE_MACHINE, Slot
from trainer.task import Task, load_task

PROGRAM = '''\
"""A program whose score depends on its constants, and a little on the seed."""

import os
import random
import sys

INIT = "default"  # default, normal, zeros
DEPTH = 2  # layers
RATE = 0.1  # step size

if INIT == "zeros":
    sys.exit("zeros never learn")
score = 2.0 + (0.0 if INIT == "normal" else 0.5) + abs(DEPTH - 4) * 0.1 + abs(RATE - 0.3)
score += random.Random(f"{os.environ['ARNODE_SEED']} {INIT} {DEPTH} {RATE}").gauss(0, 0.002)
print('progress: {"fraction": 0.5, "loss": 3.0, "tokens_per_second": 1000.0}', flush=True)
print("---")
print("score:", repr(score))
print("total_tokens:", 1000)
print("num_steps:", 10)
'''

TASK = """\
name = "toy"
title = "constants that make a score"
[program]
folder = "."
files = ["train.py"]
editable = ["train.py"]
command = ["{python}", "train.py"]
[metric]
name = "score"
direction = "minimize"
unit = "points"
floor = 2.0
known_best = { value = 1.999, source = "a paper" }
noise = 0.002
[budget]
kind = "tokens"
amount = 1000
[limits]
wall_seconds = 20
memory_mb = 500
output_bytes = 100000
[[knobs]]
name = "INIT"
type = "choice"
choices = ["default", "normal", "zeros"]
[[knobs]]
name = "DEPTH"
type = "int"
low = 1
high = 8
[[knobs]]
name = "RATE"
type = "float"
low = 0.01
high = 1.0
log = true
"""


def make_task(folder: Path) -> Path:
    """Write the toy task's folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(PROGRAM)
    (folder / "task.toml").write_text(TASK)
    return folder


@dataclass
class Lab:
    """A state folder with a log about the toy task, written record by record."""

    home: Home
    folder: Path
    task: Task
    me: Identity
    log: Log
    clock: int = 1_700_000_000_000

    def write(self, entry: Entry, author: Identity | None = None) -> Record:
        """Sign an entry, by this node unless another author is named, and put it in the log."""
        self.clock += 1000
        task = bytes(32) if isinstance(entry, Profile) else self.task.fingerprint
        record = write(author or self.me, task, self.clock, entry)
        self.log.append([record])
        return record

    def result(
        self,
        knobs: dict[str, object],
        *,
        parent: Recipe = BASELINE,
        verdict: Verdict = "keep",
        values: tuple[float | None, float | None] = (2.0, 2.7),
        replicates: bytes | None = None,
        hypothesis: str = "because",
        files: dict[str, str] | None = None,
    ) -> Result:
        """A result of that candidate. files: what it edits, beside the knobs that it sets."""
        candidate = make_recipe(self.task, {**parent.knobs, **knobs}, {**parent.files, **(files or {})})
        value, before = values
        change = change_between(self.task, parent, candidate)
        effect = before - value if value is not None and before is not None else None
        return Result(
            candidate=recipe_body(candidate),
            parent=recipe_id(parent),
            change=dict(change.knobs),
            edits=edits_body(parent, change),
            pairs=[Pair(seed=7, candidate=value, parent=before)],
            verdict=verdict,
            reason="crash: zeros never learn" if verdict == "crash" else "",
            effect=effect,
            interval=None if effect is None else (effect - 0.01, effect + 0.01),
            budget=BudgetBody(kind="tokens", amount=1000.0),
            integrity="trusted",
            device_class="cpu",
            device="a processor",
            seconds=1.0,
            peak_memory_mb=512.0,
            program=program_sha256(materialise(self.task, candidate)),
            hypothesis=hypothesis,
            proposer="search",
            replicates=replicates,
        )


@contextlib.contextmanager
def open_lab(tmp_path: Path, me: Identity | None = None) -> Iterator[Lab]:
    """A lab in two folders below tmp_path: `home` and `toy`. me: who this node is, if it matters."""
    folder = make_task(tmp_path / "toy")
    home = open_home(tmp_path / "home")
    remember_task(home, str(folder))
    if me is not None:
        home.identity.touch(mode=0o600)
        home.identity.write_bytes(plain_pem(me))
    with Log(home.log) as log:
        yield Lab(home, folder, load_task(folder), load_or_create(home.identity), log)


def open_trials(
    lab: Lab,
    device: Device,
    trouble: Callable[[str, str], object] = lambda what, why: None,
    slots: Sequence[Slot] = (WHOLE_MACHINE,),
    sandbox: Sandbox | None = None,
) -> Trials:
    """The lab's trials on that device."""
    return Trials(
        lab.task,
        device,
        store=lab.home.trials,
        workspaces=lab.home.workspaces,
        data=None,
        trouble=trouble,
        slots=slots,
        sandbox=sandbox,
    )


def json_lines(text: str) -> list[dict[str, object]]:
    """The objects of a text with one JSON object to a line."""
    return [json.loads(line) for line in io.StringIO(dedent(text)) if line.strip()]
