"""A person's ideas in words and knob values: left as a file, published once, tested first, shown with their answers."""

import json
from pathlib import Path

import pytest

from agent.entries import Hypothesis
from gossip.identity import new_identity
from node.events import Event
from node.feed import line_of
from node.ideas import PERSON, publish_ideas, waiting_ideas
from node.look import show_board, show_record
from node.propose import ProposeError, propose
from node.run import RunError
from tests.node.lab import Lab, open_lab
from tests.node.test_propose import Bench, open_bench
from trainer.errors import KnobError

PEER = new_identity()


def think(lab: Lab, text: str, *settings: str) -> None:
    propose(lab.home, None, text, settings, None, "best", as_json=False)


async def publish_what_waits(bench: Bench) -> list[Hypothesis]:
    said: list[Hypothesis] = []

    async def publish(idea: Hypothesis) -> None:
        said.append(idea)
        await bench.publish(idea)

    await publish_ideas(bench.state, publish)
    assert list(waiting_ideas(bench.lab.home, bench.lab.task)) == []
    return said


async def test_an_idea_is_published_once_tested_next_and_answered_by_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_lab(tmp_path) as lab:
        think(lab, "deeper  is\nbetter", "DEPTH=3", "INIT=normal")
        assert capsys.readouterr().out == (
            "proposed for toy: DEPTH 2 → 3, INIT default → normal; `arnode join` tells all others, and tests it next\n"
        )
        async with open_bench(lab, None) as bench:
            (said,) = await publish_what_waits(bench)
            assert said == Hypothesis(
                text="deeper is better", change={"DEPTH": 3, "INIT": "normal"}, priority=0.9, proposer=PERSON
            )
            (told,) = bench.state.notebook.hypotheses()
            await bench.run()
            (result,) = bench.results
            assert (result.proposer, result.hypothesis) == (PERSON, "deeper is better")
            assert result.inspired_by == [told.moment[1]]
            assert set(result.change) == {"DEPTH", "INIT"}
            (presence,) = bench.presences
            assert (presence.claim, presence.hypothesis) == ({"DEPTH": 3, "INIT": "normal"}, told.moment[1])
        show_record(lab.home, None, told.moment[1].hex(), json=True)
        shown = json.loads(capsys.readouterr().out)
        assert [answer["verdict"] for answer in shown["answers"]] == [result.verdict]


async def test_a_node_that_was_killed_after_publishing_does_not_publish_again(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        think(lab, "deeper", "DEPTH=3")
        (path, _) = next(waiting_ideas(lab.home, lab.task))
        kept = path.read_bytes()
        async with open_bench(lab, None) as bench:
            assert len(await publish_what_waits(bench)) == 1
            path.write_bytes(kept)
            assert await publish_what_waits(bench) == []
            assert len(bench.state.notebook.hypotheses()) == 1


def test_words_alone_are_an_idea_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_lab(tmp_path) as lab:
        think(lab, "try a cosine schedule")
        assert "without --set it is for people and models" in capsys.readouterr().out
        (_, idea) = next(waiting_ideas(lab.home, lab.task))
        assert (idea.text, idea.change) == ("try a cosine schedule", {})


@pytest.mark.parametrize(
    ("text", "settings", "error", "reason"),
    [
        (" \n", ["DEPTH=3"], ProposeError, "say in a sentence"),
        ("why", ["DEPTH"], RunError, "--set KNOB=VALUE"),
        ("why", ["DEEP=3"], KnobError, "no knob 'DEEP'"),
        ("why", ["DEPTH=three"], KnobError, "not allowed"),
        ("why", ["DEPTH=2"], ProposeError, "has already"),
        ("why", ["DEPTH=1"], ProposeError, "tested exactly that"),
    ],
    ids=["no words", "no value", "no knob", "no number", "nothing new", "known"],
)
def test_what_cannot_be_tested_is_refused_with_the_reason(
    tmp_path: Path, text: str, settings: list[str], error: type[Exception], reason: str
) -> None:
    with open_lab(tmp_path) as lab:
        lab.write(lab.result({"DEPTH": 1}, verdict="discard", values=(2.9, 2.7)))
        with pytest.raises(error, match=reason):
            think(lab, text, *settings)
        assert list(waiting_ideas(lab.home, lab.task)) == []


def test_an_idea_that_cannot_be_read_is_set_aside_and_one_of_another_task_waits(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        think(lab, "deeper", "DEPTH=3")
        lab.home.proposals.joinpath("0.idea").write_text("{")
        lab.home.proposals.joinpath("1.idea").write_text(json.dumps({"task": "another"}))
        lab.home.proposals.joinpath("2.idea").write_text(
            json.dumps({"task": lab.task.fingerprint_hex, "text": "x", "change": {"DEPTH": [3]}})
        )
        assert [idea.text for _, idea in waiting_ideas(lab.home, lab.task)] == ["deeper"]
        assert sorted(path.suffix for path in lab.home.proposals.iterdir()) == [".broken", ".broken", ".idea", ".idea"]


def test_the_board_shows_open_ideas_shortly_and_show_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_lab(tmp_path) as lab:
        many = [
            lab.write(Hypothesis(text=f"idea {n}", change={"DEPTH": n}, priority=n / 10, proposer="rule"), PEER)
            for n in range(3, 8)
        ]
        answer = lab.result({"DEPTH": 7}, verdict="discard", values=(2.9, 2.7))
        lab.write(answer.model_copy(update={"inspired_by": [many[-1].id]}), PEER)
        show_board(lab.home, None, json=False)
        shown = capsys.readouterr().out
        assert [f"idea {n}" in shown for n in range(3, 8)] == [False, True, True, True, False]
        assert f"? idea 6  DEPTH=6  {many[3].id.hex()[:8]}" in shown
        show_record(lab.home, None, many[-1].id.hex(), json=False)
        assert "discard" in capsys.readouterr().out


def test_the_feed_shows_an_idea_with_what_it_sets() -> None:
    data = {"id": "ab" * 32, "text": "it may help", "set": {"LR": 0.003}, "priority": 0.5, "proposer": "rule"}
    line = line_of(Event("hypothesis", 0, "me", True, data))
    assert line is not None
    assert line.plain.endswith("? idea        it may help  LR=0.003")
