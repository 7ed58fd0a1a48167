"""A person's idea between real nodes: proposed while the node runs, heard by a peer, tested next, answered."""

import json
from pathlib import Path

from tests.e2e.processes import Event, arnode, running_node
from tests.node.lab import make_task


def test_an_idea_proposed_to_a_running_node_reaches_a_peer_and_is_answered(tmp_path: Path) -> None:
    task, a, b = make_task(tmp_path / "toy"), tmp_path / "a", tmp_path / "b"
    why = "deeper nets learn more of so little text"

    def said(event: Event) -> bool:
        return event["event"] == "hypothesis" and event["text"] == why

    with running_node(a, "--task", task, "--alias", "ada") as ada:
        join = ["--task", task, "--bootstrap", ada.listening(), "--alias", "bob", "--no-research"]
        with running_node(b, *join) as bob:
            proposed = arnode("propose", why, "--set", "DEPTH=4", "--set", "RATE=0.3", home=a).stdout
            assert "the node that runs here tells all others, and tests it next" in proposed
            idea = ada.wait_for(said, 60)
            assert (idea["own"], idea["set"], idea["proposer"]) == (True, {"DEPTH": 4, "RATE": 0.3}, "person")
            assert bob.wait_for(said, 60)["id"] == idea["id"]
            result = ada.wait_for(lambda event: event["event"] == "result" and event["proposer"] == "person", 120)
            assert set(result["change"]) <= {"DEPTH", "RATE"}
            bob.wait_for_all([result["id"]])
    shown = json.loads(arnode("show", "--json", idea["id"], home=b).stdout)
    assert [answer["id"] for answer in shown["answers"]] == [result["id"]]
