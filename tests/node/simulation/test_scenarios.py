"""Scenario files, the command that runs them, and the short form of each that comes with arnode."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.simulation.plots import plots_of
from node.simulation.report import as_json, to_line
from node.simulation.run import Outcome, play
from node.simulation.scenario import ScenarioError, load_scenario, parse_property, scenario_names

TINY = """
title = "three nodes"
text = "as small as it gets"
minutes = 2
properties = ["missed = 0", "experiments >= 1"]
nodes = [{ count = 3 }]
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def arnode(*arguments: str, hash_seed: str = "1") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "COLUMNS": "120"}
    command = [sys.executable, "-m", "node.cli", "simulate", *arguments]
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", scenario_names())
def test_the_short_form_of_a_scenario_holds(name: str) -> None:
    outcome = play(load_scenario(name, short=True))
    assert [f"{one.asserted}: {one.value}" for one in outcome.checked if not one.holds] == []


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_says_what_it_shows(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.title
    assert scenario.text


def test_the_same_seed_gives_the_same_run_in_another_process_and_another_seed_another_run(tiny: Path) -> None:
    other_process = arnode(str(tiny), "--json")
    scenario = load_scenario(str(tiny))
    assert json.loads(other_process.stdout) == json.loads(to_line(as_json("tiny", play(scenario))))
    assert play(scenario, seed=7).digest != json.loads(other_process.stdout)["digest"]


def test_a_property_that_fails_is_shown_with_its_figure_and_the_exit_status_is_1(tiny: Path) -> None:
    tiny.write_text(TINY.replace("experiments >= 1", "experiments <= 0"))
    failed = arnode(str(tiny), "--out", str(tiny.parent / "out"), "--plots")
    assert failed.returncode == 1, failed.stderr
    assert "✗  experiments <= 0" in failed.stdout
    assert "1 of 2 properties fail" in failed.stdout
    told = json.loads((tiny.parent / "out" / "tiny.json").read_text())
    assert [one["holds"] for one in told["properties"]] == [True, False]
    assert (tiny.parent / "out" / "tiny-best.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("said", "instead", "words"),
    [
        ("minutes = 2", "minuets = 4", "minuets: there is no such key here"),
        ("minutes = 2", "minutes = 0", "minutes: Input should be greater than 0 (it says 0)"),
        ("missed = 0", "mist = 0", "there is no figure 'mist'; there are"),
        ("missed = 0", "missed == 0", "'missed == 0' is not FIGURE =, <= or >= NUMBER"),
        ("count = 3", 'count = 3, kind = "saint"', "there is no kind of node 'saint'; there are honest"),
        ("minutes = 2", "minutes = 2\ncuts = [{ start = 2, end = 9 }]", "a cut from 2 to 9 does not lie within 2"),
        ("minutes = 2", "minutes = 2\nnetwork = { sharded = true }", "shelves are on the router's network only"),
        ("count = 3", "count = 3, keep_days = 9", "archives and forgetting are on the router's network only"),
        ("minutes = 2", "minutes =", "this is not TOML"),
    ],
)
def test_a_mistake_in_a_file_is_named(tiny: Path, said: str, instead: str, words: str) -> None:
    tiny.write_text(TINY.replace(said, instead))
    with pytest.raises(ScenarioError) as error:
        load_scenario(str(tiny))
    assert str(tiny) in str(error.value)
    assert words in str(error.value)


def test_a_scenario_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(ScenarioError, match=r"there is no scenario nihgt, and no such file; there are .*night"):
        load_scenario("nihgt")


def test_a_world_without_recorded_trials_is_named(tiny: Path) -> None:
    tiny.write_text(f'world = "circles"\n{TINY}')
    with pytest.raises(ScenarioError, match="world: "):
        play(load_scenario(str(tiny)))


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [("missed = 0", 0, True), ("missed = 0", 1, False), ("p99_seconds <= 5", 5, True), ("roles >= 4", 3, False)],
)
def test_a_property_compares(text: str, value: float, holds: bool) -> None:
    assert parse_property(text).holds(value) is holds


def test_a_change_of_many_knobs_leaves_room_for_the_picture_of_its_spread() -> None:
    """Where the legend leaves none, matplotlib warns, which is an error here."""
    curve = {
        "change": ", ".join(f"KNOB_{n}=0.00123" for n in range(30)),
        "gain": 9.0,
        "reached": (0.0, 3.0),
        "nodes": 4,
        "watched": 5.0,
    }
    outcome = Outcome(load_scenario("adoption-24"), 1, "digest", {}, {"adoption": [curve, curve]})
    assert b"KNOB_0" in plots_of(outcome)["adoption"]
