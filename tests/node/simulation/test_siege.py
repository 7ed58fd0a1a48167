"""Strangers at the entrance of a private node: what the scenario counts is what keeps them out."""

import pytest

from node.simulation import siege
from node.simulation.run import play
from node.simulation.scenario import load_scenario


def test_without_the_key_under_all_bytes_strangers_would_be_counted_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siege, "ProtectedStream", lambda wire, key: wire)
    outcome = play(load_scenario("private", short=True))
    assert outcome.figures["strangers_in"] > 0
    assert not outcome.holds


def test_members_get_in_where_strangers_do_not_and_the_same_seed_gives_the_same_siege() -> None:
    scenario = load_scenario("private", short=True)
    one, again, other = play(scenario), play(scenario), play(scenario, seed=9)
    assert (one.figures["strangers_in"], one.figures["members_in"]) == (0, 1)
    assert one.digest == again.digest != other.digest
