"""Proposals of a person and code recipes in the research loop, with real trials in the real sandbox."""

import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from agent.entries import Entry, Presence, Result, write
from agent.proposal import Proposal
from agent.search import Search
from gossip.clock import now_ms
from gossip.identity import load_or_create, new_identity
from node.events import Event
from node.export import export
from node.look import show_record
from node.propose import ProposeError, propose, waiting_proposals
from node.research import Research
from node.run import RunError, run_trials
from node.state import State, open_state
from node.trials import Trials
from tests.node.lab import PROGRAM, Lab, open_lab
from trainer.errors import RecipeError, SandboxError
from trainer.recipe import BASELINE, make_recipe, materialise
from trainer.sandbox import Sandbox, find_sandbox

FASTER = PROGRAM.replace("score = 2.0 +", "score = 1.5 +")
BROKEN = PROGRAM.replace("score = 2.0 +", "score = 2.0 / 0 +")
BOB = new_identity()


@cache
def sandbox_here() -> Sandbox | None:
    try:
        return find_sandbox()
    except SandboxError:
        return None


def need_sandbox() -> Sandbox:
    found = sandbox_here()
    if found is None:
        pytest.skip("edited code runs in a sandbox only, and there is none on this machine")
    return found


@dataclass
class Bench:
    """A research loop without a network: what it publishes goes into its own log."""

    lab: Lab
    state: State
    trials: Trials
    events: list[Event] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    presences: list[Presence] = field(default_factory=list)

    async def publish(self, entry: Entry) -> None:
        record = write(load_or_create(self.lab.home.identity), self.lab.task.fingerprint, now_ms(), entry)
        self.lab.log.append([record])
        self.state.take(record)
        if isinstance(entry, Result):
            self.results.append(entry)

    async def run(self, experiments: int = 1) -> None:
        async def announce(presence: Presence) -> None:
            self.presences.append(presence)

        await Research(
            state=self.state,
            publish=self.publish,
            announce=announce,
            show=self.events.append,
            progress=lambda label, progress: None,
            alias="me",
            experiments_wanted=experiments,
        ).run(self.trials)

    def told(self, kind: str) -> list[str]:
        return [" ".join(map(str, event.data.values())) for event in self.events if event.kind == kind]


@asynccontextmanager
async def open_bench(lab: Lab, sandbox: Sandbox | None, *, peers_code: bool = False) -> AsyncIterator[Bench]:
    with (
        open_state(lab.home, None, writing=False) as state,
        Trials(
            lab.task,
            state.device,
            store=lab.home.trials,
            workspaces=lab.home.workspaces,
            data=None,
            trouble=lambda what, why: pytest.fail(f"{what}: {why}"),
            sandbox=sandbox,
            peers_code=peers_code,
        ) as trials,
    ):
        yield Bench(lab, state, trials)


def proposed(lab: Lab, text: str, base: str = "best") -> None:
    file = lab.home.folder / "mine.py"
    file.write_text(text)
    propose(lab.home, None, "because I think so", [], file, base, as_json=False)


async def test_a_proposal_of_code_is_the_next_experiment_and_its_record_shows_and_exports_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = need_sandbox()
    with open_lab(tmp_path) as lab:
        proposed(lab, FASTER.replace("DEPTH = 2", "DEPTH = 3"))
        assert "train.py +1 −1; `arnode join` tests it first" in capsys.readouterr().out
        async with open_bench(lab, sandbox) as bench:
            await bench.run()
            (result,) = bench.results
            assert (result.verdict, result.proposer, result.hypothesis) == ("keep", "person", "because I think so")
            assert result.change == {"DEPTH": (2, 3)}
            assert result.edits == {"train.py": None}
            assert result.integrity == "reported"
            best = bench.state.notebook.best()
            assert best == make_recipe(lab.task, {"DEPTH": 3}, {"train.py": FASTER})
            record = bench.state.best_record()
            assert record is not None
            assert bench.state.event_of(record).data["edits"] == {"train.py": (1, 1)}
        assert list(waiting_proposals(lab.home, lab.task)) == []
        assert export(lab.home, None, "program", "best") == materialise(lab.task, best)["train.py"]
        assert "+score = 1.5 +" in export(lab.home, None, "patch", "best")
        show_record(lab.home, None, record.id.hex(), json=False)
        shown = capsys.readouterr().out
        assert "+score = 1.5 +" in shown
        assert "train.py +1 −1" in shown
        failed = await run_trials(lab.home, None, [], record.id.hex(), None, [], True)
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert (failed, [row["repeats"] for row in rows]) == (False, [True] * len(result.pairs))


async def test_without_a_sandbox_no_edited_code_runs_and_knobs_go_on(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        proposed(lab, FASTER)
        proposed(lab, PROGRAM.replace("DEPTH = 2", "DEPTH = 4"))
        async with open_bench(lab, None) as bench:
            await bench.run(2)
            assert bench.results[0].change == {"DEPTH": (2, 4)}
            assert [result.edits for result in bench.results] == [{}, {}]
            assert [text.count("there is no sandbox") for text in bench.told("trouble")] == [1]
            with pytest.raises(SandboxError):
                await bench.trials.run(make_recipe(lab.task, {}, {"train.py": FASTER}), 1)
        assert len(list(waiting_proposals(lab.home, lab.task))) == 1


async def test_code_that_crashes_is_an_outcome_with_its_reason(tmp_path: Path) -> None:
    sandbox = need_sandbox()
    with open_lab(tmp_path) as lab:
        proposed(lab, BROKEN)
        async with open_bench(lab, sandbox) as bench:
            await bench.run()
            (result,) = bench.results
            assert result.verdict == "crash"
            assert "ZeroDivisionError" in result.reason
            assert bench.state.notebook.best() == BASELINE


async def test_a_proposal_is_merged_onto_the_best_recipe_or_told_to_conflict(tmp_path: Path) -> None:
    sandbox = need_sandbox()
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"INIT": "normal"}, files={"train.py": FASTER}))
        proposed(lab, PROGRAM.replace("score = 2.0 +", "score = 1.9 +"), "baseline")
        proposed(lab, PROGRAM.replace("import sys", "import math\nimport sys"), "baseline")
        async with open_bench(lab, sandbox) as bench:
            await bench.run()
            assert bench.results[0].change == {}
            (experiment,) = bench.state.notebook.experiments(lab.me.author)[1:]
            merged = FASTER.replace("import sys", "import math\nimport sys")
            assert experiment.candidate == make_recipe(lab.task, {"INIT": "normal"}, {"train.py": merged})
            (told,) = bench.told("trouble")
            assert "train.py where it was changed already (line 13)" in told
        assert list(waiting_proposals(lab.home, lab.task)) == []


@pytest.mark.parametrize("walled", [True, False])
async def test_an_edit_that_a_proposer_has_the_idea_for_is_tested_in_the_sandbox_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, walled: bool
) -> None:
    sandbox = need_sandbox() if walled else None
    ideas = [
        Proposal(
            {"DEPTH": 4},
            "why",
            "a model",
            edits={"train.py": PROGRAM + f"x = '{random.Random(1).randbytes(60_000).hex()}'"},
        ),
        Proposal({"DEPTH": 4}, "why", "a model", edits={"train.py": FASTER}),
        Proposal({"DEPTH": 4}, "why", "a model"),
    ]
    # no proposer of today edits code
    monkeypatch.setattr(Search, "propose", lambda *_, **__: ideas.pop(0))
    with open_lab(tmp_path) as lab:
        async with open_bench(lab, sandbox) as bench:
            await bench.run()
            (result,) = bench.results
            assert (result.proposer, result.change) == ("a model", {"DEPTH": (2, 4)})
            assert result.edits == ({"train.py": None} if walled else {})
            assert ["a record carries at most" in text for text in bench.told("trouble")] == [True, False][: 2 - walled]


@pytest.mark.parametrize(
    ("text", "base", "reason"),
    [
        (PROGRAM, "best", "as it is"),
        (PROGRAM + f"x = '{random.Random(1).randbytes(60_000).hex()}'", "best", "a record carries at most"),
        (PROGRAM.replace("DEPTH = 2", "DEPTH = 1"), "best", "tested exactly that already"),
    ],
    ids=["nothing", "too much", "known"],
)
def test_what_cannot_be_tested_is_not_proposed(tmp_path: Path, text: str, base: str, reason: str) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"DEPTH": 1}, verdict="discard", values=(2.9, 2.7)))
        with pytest.raises((ProposeError, RecipeError), match=reason):
            proposed(lab, text, base)
        assert list(waiting_proposals(lab.home, lab.task)) == []


def test_a_broken_proposal_is_set_aside_and_one_of_another_task_waits(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        proposed(lab, FASTER)
        lab.home.proposals.joinpath("0.json").write_text("{")
        lab.home.proposals.joinpath("1.json").write_text(json.dumps({"task": "another"}))
        (waiting,) = waiting_proposals(lab.home, lab.task)
        assert waiting.change.edits == {"train.py": (PROGRAM, FASTER)}
        assert {path.suffix for path in lab.home.proposals.iterdir()} == {".json", ".broken"}
        assert len(list(lab.home.proposals.glob("*.json"))) == 2


@pytest.mark.parametrize(
    ("peers_code", "weaker", "reason"),
    [(False, "", "--accept-code sandbox"), (True, "too old", "too weak for code of peers: too old"), (True, "", None)],
)
async def test_whose_code_is_run_and_why_not(tmp_path: Path, peers_code: bool, weaker: str, reason: str | None) -> None:
    sandbox = need_sandbox()
    walls = object() if weaker else sandbox.walls
    with open_lab(tmp_path) as lab:
        async with open_bench(lab, Sandbox(walls, weaker), peers_code=peers_code) as bench:  # type: ignore[arg-type]
            assert bench.trials.accepts_code(own=True) is None
            why = bench.trials.accepts_code(own=False)
            assert (why is None) if reason is None else (reason in (why or ""))


async def test_what_peers_edited_otherwise_is_told_once_and_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = need_sandbox()
    # what is scored from outside takes a task with data and a model, which is more than this test is about
    monkeypatch.setattr("agent.evidence.level", lambda task, recipe: "audited")
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({}, files={"train.py": FASTER}))
        other = lab.result({}, files={"train.py": PROGRAM.replace("score = 2.0 +", "score = 1.0 +")})
        theirs = lab.write(other.model_copy(update={"integrity": "audited"}), BOB)
        async with open_bench(lab, sandbox, peers_code=True) as bench:
            await bench.run(2)
            assert all(result.replicates != theirs.id for result in bench.results)
            (told,) = [text for text in bench.told("note") if "not tried" in text]
            assert "train.py +1 −1" in told
            assert "line 13" in told


async def test_run_refuses_edited_code_without_a_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(note: Callable[[str], object]) -> None:
        return None

    monkeypatch.setattr("node.run.sandbox_or_none", none)
    with open_lab(tmp_path) as lab:
        (tmp_path / "train.py").write_text(FASTER)
        with pytest.raises(RunError, match="only in a sandbox and there is none here"):
            await run_trials(lab.home, None, [], None, tmp_path / "train.py", [1], True)
