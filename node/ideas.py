"""Ideas in words and knob values: `arnode propose` and `arnode import` leave them here, a running node signs them.

An idea waits as a file until a node of this state folder has published it as a `hypothesis` record; from then on it
waits in the notebook, here and with all others. Only a running node holds the log open for writing and has peers.
"""

import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import trio
from pydantic import ValidationError

from agent.entries import Hypothesis
from node.home import Home
from node.state import State
from trainer.knobs import Scalar
from trainer.task import Task

PERSON: Final = "person"
PRIORITY: Final = 0.9  # a person has a reason, and rules have many suggestions
LOOK_SECONDS: Final = 2.0

Publish: TypeAlias = Callable[[Hypothesis], Awaitable[None]]


def persons_idea(text: str, change: Mapping[str, Scalar]) -> Hypothesis:
    """An idea as a person has one."""
    return Hypothesis(text=text, change=dict(change), priority=PRIORITY, proposer=PERSON)


def leave_idea(home: Home, task: Task, idea: Hypothesis) -> None:
    """Leave an idea for the node that runs here, or is next started here. Raises OSError."""
    path = home.proposals / f"{time.time_ns()}.idea"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    data = {"task": task.fingerprint_hex} | idea.model_dump(exclude={"evidence"})
    path.with_suffix(".new").write_text(json.dumps(data), encoding="utf-8")
    os.replace(path.with_suffix(".new"), path)


def waiting_ideas(home: Home, task: Task) -> Iterator[tuple[Path, Hypothesis]]:
    """The ideas about that task, the oldest first. One that cannot be read is set aside as `.broken`."""
    for path in sorted(home.proposals.glob("*.idea")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["task"] == task.fingerprint_hex:
                yield path, Hypothesis.model_validate(data)
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, ValidationError):
            path.rename(path.with_suffix(".broken"))


async def keep_publishing(state: State, publish: Publish) -> None:
    """Publish what waits, and what comes. Runs until cancelled."""
    while True:
        await publish_ideas(state, publish)
        await trio.sleep(LOOK_SECONDS)


async def publish_ideas(state: State, publish: Publish) -> None:
    """Publish what waits, each once: also where a node was killed between record and file."""
    for path, idea in list(waiting_ideas(state.home, state.task)):
        said = [told.hypothesis for told in state.notebook.hypotheses() if told.author == state.me]
        if idea not in said:
            await publish(idea)
        path.unlink(missing_ok=True)
