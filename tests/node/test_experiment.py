"""Experiments with real trials of a small program: what was run, what was remembered, what the record says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from agent.entries import Result
from agent.notebook import Notebook
from node.experiment import Plan, load_plan, run_experiment
from node.trials import Trials
from tests.node.lab import Lab, open_lab, open_trials
from trainer.device import Device, detect
from trainer.errors import SandboxError
from trainer.recipe import BASELINE, Recipe, make_recipe, materialise, program_sha256, recipe_id
from trainer.sandbox import find_sandbox
from trainer.slots import WHOLE_MACHINE
from trainer.trial import Progress, Trial


@dataclass
class Bench:
    lab: Lab
    trials: Trials
    device: Device
    ran: list[Trial]
    progress: list[tuple[str, int, Progress]]

    async def run(self, candidate: Recipe, parent: Recipe = BASELINE) -> Result:
        plan = Plan(parent, candidate, "why not", "search")
        return await run_experiment(
            plan,
            notebook=Notebook(self.lab.task, self.lab.me.author, "cpu"),
            trials=self.trials,
            device=self.device,
            on_trial=self.ran.append,
            on_progress=lambda side, number, progress: self.progress.append((side, number, progress)),
        )


@pytest.fixture(params=[1, 2], ids=["one trial at a time", "two side by side"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    with open_lab(tmp_path) as lab:
        device = detect()
        with open_trials(lab, device, slots=(WHOLE_MACHINE,) * request.param) as trials:
            yield Bench(lab, trials, device, [], [])


async def test_a_clear_gain_is_kept_after_two_seeds_and_the_record_can_be_repeated(bench: Bench) -> None:
    candidate = make_recipe(bench.lab.task, {"INIT": "normal"})
    result = await bench.run(candidate)
    assert result.verdict == "keep"
    assert result.effect == pytest.approx(0.5, abs=0.05)
    assert result.interval is not None
    assert result.interval[0] < 0.5 < result.interval[1]
    assert result.change == {"INIT": ("default", "normal")}
    assert (result.tokens, result.steps) == (1000, 10)
    assert result.program == program_sha256(materialise(bench.lab.task, candidate))
    assert result.parent == recipe_id(BASELINE)
    assert [trial.seed for trial in bench.ran] == [pair.seed for pair in result.pairs for _ in range(2)]
    assert len(result.pairs) == 2
    assert {side for side, _, _ in bench.progress} == {"parent", "candidate"}
    again = await bench.trials.run(candidate, result.pairs[0].seed)
    assert again.value == result.pairs[0].candidate


async def test_a_trial_is_told_when_it_ends_and_not_only_with_the_other_one_of_its_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_lab(tmp_path) as lab, open_trials(lab, device := detect()) as trials:
        told: list[Trial] = []
        before: list[int] = []
        run = trials.run

        async def noting(recipe: Recipe, seed: int, on_progress: Callable[[Progress], None] | None = None) -> Trial:
            before.append(len(told))
            return await run(recipe, seed, on_progress)

        monkeypatch.setattr(trials, "run", noting)
        await Bench(lab, trials, device, told, []).run(make_recipe(lab.task, {"DEPTH": 1}))
    assert (before, len(told)) == ([0, 1], 2)


async def test_a_clear_loss_is_discarded_after_one_seed(bench: Bench) -> None:
    result = await bench.run(make_recipe(bench.lab.task, {"DEPTH": 1}))
    assert (result.verdict, len(result.pairs)) == ("discard", 1)


async def test_a_candidate_that_crashes_says_why_and_the_parents_value_is_kept(bench: Bench) -> None:
    result = await bench.run(make_recipe(bench.lab.task, {"INIT": "zeros"}))
    assert result.verdict == "crash"
    assert "zeros never learn" in result.reason
    assert result.pairs[0].candidate is None
    assert result.pairs[0].parent is not None
    assert result.effect is None


async def test_a_parent_that_fails_decides_nothing_about_the_candidate(bench: Bench) -> None:
    parent = make_recipe(bench.lab.task, {"INIT": "zeros"})
    result = await bench.run(make_recipe(bench.lab.task, {"INIT": "zeros", "DEPTH": 4}), parent)
    assert result.verdict == "inconclusive"
    assert "the parent failed" in result.reason


async def test_no_trial_is_run_twice_even_by_another_process(bench: Bench) -> None:
    await bench.run(make_recipe(bench.lab.task, {"INIT": "normal"}))
    first = len(bench.ran)
    with open_trials(bench.lab, bench.device) as reopened:
        other = replace(bench, trials=reopened)
        await other.run(make_recipe(bench.lab.task, {"INIT": "normal"}))
        assert len(bench.ran) == first
        await other.run(make_recipe(bench.lab.task, {"DEPTH": 1}))
        assert len(bench.ran) == first + 1  # the parent's trial on that seed is there already


async def test_a_crash_is_not_remembered_since_it_may_have_had_another_cause(bench: Bench) -> None:
    zeros = make_recipe(bench.lab.task, {"INIT": "zeros"})
    assert (await bench.trials.run(zeros, 1)).status == "crash"
    assert bench.trials.known(zeros, 1) is None


@pytest.fixture
def coding(tmp_path: Path) -> Iterator[Bench]:
    """As `bench`, and edited code runs."""
    try:
        sandbox = find_sandbox()
    except SandboxError as error:
        pytest.skip(f"edited code runs in a sandbox only: {error}")
    with open_lab(tmp_path) as lab, open_trials(lab, detect(), sandbox=sandbox) as trials:
        yield Bench(lab, trials, detect(), [], [])


def edited(lab: Lab, old: str, new: str, more: str = "") -> Recipe:
    text = lab.task.files["train.py"]
    assert old in text
    return make_recipe(lab.task, {}, {"train.py": text.replace(old, new) + more})


async def test_a_program_that_sets_its_own_seed_is_never_kept_however_lucky(coding: Bench) -> None:
    lucky = await coding.run(edited(coding.lab, "os.environ['ARNODE_SEED']", "'lucky'"))
    assert lucky.verdict in ("discard", "inconclusive")  # by the parent's luck
    better = await coding.run(edited(coding.lab, "gauss(0, 0.002)", "gauss(0, 0) - 0.1"))
    assert better.verdict == "discard"
    assert "whatever the seed" in better.reason
    assert len(better.pairs) == 3


async def test_the_same_values_with_less_code_are_kept_as_simpler_and_with_more_are_not(coding: Bench) -> None:
    shorter = await coding.run(edited(coding.lab, "abs(DEPTH - 4) * 0.1 + abs(RATE - 0.3)", "0.1 * 2 + 0.2"))
    assert (shorter.verdict, shorter.effect, len(shorter.pairs)) == ("simpler", 0.0, 2)
    longer = await coding.run(edited(coding.lab, "import sys", "import sys", "unused = [0]\n"))
    assert (longer.verdict, longer.effect) == ("discard", 0.0)


MEETING = """\
import os, time
from pathlib import Path
meeting = Path({folder!r})
(meeting / os.environ["ARNODE_SEED"]).touch()
deadline = time.monotonic() + 20
while len(list(meeting.iterdir())) < {guests} and time.monotonic() < deadline:
    time.sleep(0.01)
print("---")
print("score:", len(list(meeting.iterdir())))
"""


@pytest.mark.parametrize("slots", [1, 2])
async def test_as_many_trials_run_at_once_as_there_are_slots(tmp_path: Path, slots: int) -> None:
    with open_lab(tmp_path) as lab:
        meeting = tmp_path / "meeting"
        meeting.mkdir()
        files = {"train.py": MEETING.format(folder=str(meeting), guests=slots)}
        lab.task = lab.task.model_copy(update={"files": files, "knobs": {}})
        values: list[float | None] = []

        async def run(seed: int) -> None:
            values.append((await trials.run(BASELINE, seed)).value)

        with open_trials(lab, detect(), slots=(WHOLE_MACHINE,) * slots) as trials:
            async with trio.open_nursery() as nursery:
                for seed in range(2):
                    nursery.start_soon(run, seed)
    assert sorted(values) == ([1.0, 2.0] if slots == 1 else [2.0, 2.0])


def test_a_plan_survives_on_disk_and_a_broken_one_is_no_plan(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        path = lab.home.experiment
        assert load_plan(path, lab.task) is None
        plan = Plan(BASELINE, make_recipe(lab.task, {"DEPTH": 3}), "deeper", "search", (b"x" * 32,), b"y" * 32)
        plan.save(path)
        assert load_plan(path, lab.task) == plan
        whole = path.read_text()
        for broken in (
            "",
            "[]",
            whole[:-5],
            whole.replace('"DEPTH": 3', '"DEPTH": 99'),
            whole.replace("DEPTH", "WIDTH"),
        ):
            path.write_text(broken)
            assert load_plan(path, lab.task) is None
