"""What the planner makes of a model: its ideas come before the search's, its conclusions beside those by rule."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio

from agent.entries import Hypothesis
from agent.llm.prompt import Message
from agent.policy import DIGEST, Synthesise
from gossip.identity import load_or_create
from node.claims import Claims
from node.events import Event
from node.experiment import Plan
from node.llm.model import Model
from node.llm.process import CallFailed, Reply
from node.llm.proposing import Proposing
from node.llm.spending import Budget, Spending
from node.llm.terms import Terms
from node.planning import Planner
from node.state import open_state
from node.told import Told
from tests.node.lab import Lab, open_lab, open_trials
from trainer.recipe import make_recipe

NAME = "some/model"


class Scripted:
    """Answers as it is told to."""

    def __init__(self, *answers: str | CallFailed) -> None:
        self.answers = list(answers)

    async def call(self, messages: Sequence[Message], *, max_tokens: int, seconds: float) -> Reply:
        await trio.lowlevel.checkpoint()
        answer = self.answers.pop(0)
        if isinstance(answer, CallFailed):
            raise answer
        return Reply(answer, (10, 5))


class Eager(random.Random):
    """Takes every chance."""

    def random(self) -> float:
        return 0.0


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with open_lab(tmp_path) as made:
        yield made


async def steps(lab: Lab, caller: Scripted, count: int) -> list[object]:
    """What a node with that model would do next, asked so many times."""

    async def silent(presence: object) -> None:
        await trio.lowlevel.checkpoint()

    shown: list[Event] = []
    lab.log.close()
    with open_state(lab.home, None, writing=True) as state, open_trials(lab, state.device) as trials:
        model = Model(NAME, caller, Terms("some", 0.0, 0.0), Spending(lab.home.spending, Budget()), seconds=60)
        told = Told(shown.append, "ada")
        planner = Planner(state, trials, Claims(state, "ada", silent), told, Eager(1), Proposing(model, told))
        return [await planner.next() for _ in range(count)]


async def test_a_models_idea_comes_first_and_the_search_when_it_fails(lab: Lab) -> None:
    idea = json.dumps({"hypothesis": "deeper", "knobs": {"DEPTH": 4}})
    caller = Scripted(idea, CallFailed("refused", "no", charged=False))
    planned, searched = await steps(lab, caller, 2)
    assert isinstance(planned, Plan)
    assert (planned.candidate, planned.proposer) == (make_recipe(lab.task, {"DEPTH": 4}), NAME)
    assert isinstance(searched, Plan)
    assert searched.proposer == "search"


async def test_a_model_concludes_beside_the_rules_when_there_is_something_to_read(lab: Lab, tmp_path: Path) -> None:
    authors = [load_or_create(tmp_path / f"{n}.pem") for n in range(3)]
    for number in range(DIGEST):
        knobs = {"DEPTH": 4} if number < len(authors) else {"RATE": 0.1 + number / 100}
        lab.write(lab.result(knobs, values=(2.0, 2.7)), authors[number % len(authors)])
    said = {"hypotheses": [{"text": "the step size and the depth together", "evidence": [1]}]}
    (step,) = await steps(lab, Scripted(json.dumps(said)), 1)
    assert isinstance(step, Synthesise)
    by = [entry.proposer for entry in step.entries]
    assert set(by) == {"rule", NAME}
    last = step.entries[-1]
    assert isinstance(last, Hypothesis)
    assert (last.text, len(last.evidence)) == ("the step size and the depth together", 1)
