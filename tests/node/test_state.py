"""A node's state: what it says about a record, and when a discovery counts as confirmed."""

from pathlib import Path

from agent.entries import Profile
from gossip.identity import new_identity
from node.state import open_state
from tests.node.lab import open_lab

ADA, BOB, CYD = new_identity(), new_identity(), new_identity()


def test_a_discovery_is_told_confirmed_once_when_two_others_have_kept_it(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab, open_state(lab.home, None, writing=False) as state:
        found = lab.write(lab.result({"INIT": "normal"}), ADA)
        first = lab.write(lab.result({"INIT": "normal"}, replicates=found.id), BOB)
        second = lab.write(lab.result({"INIT": "normal"}, replicates=found.id), CYD)
        third = lab.write(lab.result({"INIT": "normal"}, replicates=found.id))
        told = [[event.kind for event in state.take(record)] for record in (found, first, second, third)]
        assert told == [["result"], ["result"], ["result", "confirmed"], ["result"]]
    with open_state(lab.home, None, writing=False) as again:
        again_told = [event.kind for event in again.take(third)]
        assert again_told == ["result"], "what was confirmed before the start is no news"


def test_events_name_authors_as_they_name_themselves(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab, open_state(lab.home, None, writing=False) as state:
        found = lab.write(lab.result({"INIT": "normal"}), ADA)
        replication = lab.write(lab.result({"INIT": "normal"}, replicates=found.id))
        (early,) = state.take(replication)
        assert early.data["replicates_of"] == "someone", "the record it names is not here yet"
        state.take(found)
        state.take(lab.write(Profile(alias="ada", device_class="cpu", device="x"), ADA))
        state.take(lab.write(Profile(alias="Ada2", device_class="cpu", device="x"), ADA))
        event = state.event_of(replication)
        assert (event.own, event.data["replicates_of"]) == (True, "Ada2")


def test_records_of_another_task_are_kept_and_not_told(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab, open_state(lab.home, "story-cpu", writing=False) as state:
        assert state.take(lab.write(lab.result({"INIT": "normal"}), ADA)) == []
        assert state.notebook.experiments() == []


def test_the_best_record_is_the_own_latest_keep(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"DEPTH": 4}), ADA)
        mine = lab.write(lab.result({"INIT": "normal"}))
        lab.write(lab.result({"RATE": 0.9}, verdict="discard", values=(3.0, 2.7)))
        with open_state(lab.home, None, writing=False) as state:
            assert state.best_record() == mine
            assert dict(state.notebook.best().knobs) == {"INIT": "normal"}
