"""What the planner makes of a model: its ideas come before the search's, its conclusions beside those by rule."""

import json
import math
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from agent.entries import Hypothesis, write
from agent.llm.prompt import Message
from agent.policy import DIGEST, Synthesise
from gossip.clock import now_ms
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


@asynccontextmanager
async def planning(
    lab: Lab, caller: Scripted, patience: float = math.inf
) -> AsyncIterator[tuple[Planner, list[Event]]]:
    """The planner of a node with that model, and what it tells."""

    async def silent(presence: object) -> None:
        await trio.lowlevel.checkpoint()

    shown: list[Event] = []
    lab.log.close()
    with open_state(lab.home, None, writing=True) as state, open_trials(lab, state.device) as trials:
        model = Model(NAME, caller, Terms("some", 0.0, 0.0), Spending(lab.home.spending, Budget()), seconds=60)
        told = Told(shown.append, "ada")
        async with trio.open_nursery() as nursery:
            asked = Proposing(model, told, nursery, patience=patience)
            yield Planner(state, trials, Claims(state, "ada", silent), told, Eager(1), asked), shown
            nursery.cancel_scope.cancel()


async def steps(lab: Lab, caller: Scripted, count: int) -> list[object]:
    """What a node with that model would do next, asked so many times."""
    async with planning(lab, caller) as (planner, _):
        return [await planner.next() for _ in range(count)]


async def test_a_models_idea_comes_first_and_the_search_when_it_fails(lab: Lab) -> None:
    idea = json.dumps({"hypothesis": "deeper", "knobs": {"DEPTH": 4}})
    caller = Scripted(idea, CallFailed("refused", "no", charged=False))
    planned, searched = await steps(lab, caller, 2)
    assert isinstance(planned, Plan)
    assert (planned.candidate, planned.proposer) == (make_recipe(lab.task, {"DEPTH": 4}), NAME)
    assert isinstance(searched, Plan)
    assert searched.proposer == "search"


class Slow(Scripted):
    """Answers when it is let."""

    def __init__(self, *answers: str | CallFailed) -> None:
        super().__init__(*answers)
        self.may_answer = trio.Event()
        self.asked = 0

    async def call(self, messages: Sequence[Message], *, max_tokens: int, seconds: float) -> Reply:
        self.asked += 1
        await self.may_answer.wait()
        return await super().call(messages, max_tokens=max_tokens, seconds=seconds)


async def test_while_a_model_thinks_the_node_searches_and_takes_its_idea_up_later(lab: Lab) -> None:
    caller = Slow(json.dumps({"hypothesis": "deeper", "knobs": {"DEPTH": 4}}))
    async with planning(lab, caller, patience=0.05) as (planner, shown):
        for _ in range(2):
            meanwhile = await planner.next()
            assert isinstance(meanwhile, Plan)
            assert meanwhile.proposer == "search"
        assert caller.asked == 1, "it is asked nothing else until it has answered"
        (note,) = (event.data["text"] for event in shown if event.kind == "note")
        assert note == f"{NAME} is still thinking: the node searches until it has an idea"
        caller.may_answer.set()
        with trio.fail_after(20):
            while not isinstance(step := await planner.next(), Plan) or step.proposer != NAME:
                await trio.lowlevel.checkpoint()
        assert step.candidate == make_recipe(lab.task, {"DEPTH": 4})


@pytest.mark.parametrize("tested_meanwhile", [False, True])
async def test_an_idea_that_comes_late_is_put_onto_what_is_best_by_then(lab: Lab, tested_meanwhile: bool) -> None:
    caller = Slow(json.dumps({"hypothesis": "deeper", "knobs": {"DEPTH": 4}}))
    async with planning(lab, caller, patience=0.05) as (planner, shown):
        await planner.next()
        caller.may_answer.set()
        with trio.fail_after(20):
            while not any(event.kind == "model" for event in shown):  # noqa: ASYNC110 - it is told by a plain function
                await trio.sleep(0.01)
        notebook, moved = planner.state.notebook, {"INIT": "normal"} | ({"DEPTH": 4} if tested_meanwhile else {})
        mine = load_or_create(lab.home.identity)
        planner.state.take(write(mine, lab.task.fingerprint, now_ms(), lab.result(moved, values=(2.0, 2.7))))
        assert notebook.best() == make_recipe(lab.task, moved)
        with trio.fail_after(20):
            if tested_meanwhile:
                while not any("had an idea that was tested before" in str(event.data.get("text")) for event in shown):
                    await planner.next()
                return
            while not isinstance(step := await planner.next(), Plan) or step.proposer != NAME:
                await trio.lowlevel.checkpoint()
        assert (step.parent, step.candidate) == (notebook.best(), make_recipe(lab.task, {**moved, "DEPTH": 4}))


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
