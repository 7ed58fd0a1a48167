"""An edit of code between real nodes: proposed by a person, tested, merged and adopted by one peer, left by another."""

import json
from pathlib import Path

import pytest

from tests.e2e.guesses import BETTER, make_guesses, need_full_sandbox
from tests.e2e.processes import Event, arnode, running_node


@pytest.fixture
def task(tmp_path: Path) -> Path:
    need_full_sandbox()
    return make_guesses(tmp_path / "guesses")


def edits(event: Event) -> bool:
    return event["event"] == "result" and bool(event["edits"])


def test_code_is_replicated_and_adopted_where_it_is_accepted_and_only_shown_elsewhere(
    tmp_path: Path, task: Path
) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    (tmp_path / "train.py").write_text(BETTER)
    why = "what came before says more than how common a token is"
    arnode("propose", why, "--task", task, "--program", tmp_path / "train.py", home=a)
    with running_node(a, "--task", task, "--alias", "ada") as ada:
        address = ada.listening()
        found = ada.wait_for(lambda event: event["event"] == "result", 120)
        assert found["verdict"] == "keep", found["reason"]
        assert (found["edits"], found["proposer"]) == ({"train.py": [1, 1]}, "person")
        joined = ["--task", task, "--bootstrap", address]
        with (
            running_node(b, *joined, "--alias", "bob", "--accept-code", "sandbox") as bob,
            running_node(c, *joined, "--alias", "cat") as cat,
        ):
            cat.wait_for(lambda event: event.get("id") == found["id"], 120)
            adopted = bob.wait_for(lambda event: event.get("replicates") == found["id"] and event["own"], 120)
            assert (adopted["verdict"], adopted["edits"]) == ("keep", {"train.py": [1, 1]})
            for node in (ada, cat):
                node.wait_for_all([adopted["id"]])
            # begun after both were known
            for _ in range(2):
                cat.wait_for(lambda event: event["event"] == "result" and event["own"], 120)
            assert not [event for event in cat.seen if edits(event) and event["own"]]

    record = json.loads(arnode("show", "--json", adopted["id"], home=b).stdout)
    assert record["body"]["integrity"] == "audited"
    assert "+    np.add.at(counts" in record["diff"]
    shown = arnode("show", found["id"], home=c).stdout
    assert "+    np.add.at(counts" in shown
    assert why in shown
