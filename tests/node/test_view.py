"""The views of a node: what the page and the terminal view are made of."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path

import pytest
import trio

from agent.entries import Hypothesis, Presence, Profile
from gossip.events import Peer
from gossip.host import peer_id_of
from gossip.identity import new_identity
from node.events import Event
from node.state import State, open_state
from node.view.board import board_of
from node.view.discovery import discovery
from node.view.effects import effects
from node.view.feed import feed, place_of
from node.view.live import CURVE_POINTS, Live
from node.view.peers import peers
from node.view.progress import progress
from node.view.record import record_view
from node.view.status import status
from node.view.steps import SLICE_SECONDS, Steps, in_turns, whole
from node.view.stream import KEPT, RESET, WAITING, Stream
from node.view.trial import trial
from tests.node.lab import Lab, open_lab
from trainer.output import Progress
from trainer.recipe import make_recipe

A, B, C = (new_identity() for _ in range(3))


@contextmanager
def seen(lab: Lab) -> Iterator[State]:
    with open_state(lab.home, None, writing=False) as state:
        yield state


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with open_lab(tmp_path) as lab:
        yield lab


def make_live(*peers: Peer) -> Live:
    return Live(
        swarm="test",
        private=False,
        research=True,
        started_ms=1000,
        peers=lambda: peers,
        mesh=lambda: len(peers),
        done=lambda: 3,
    )


def test_the_feed_goes_back_page_by_page_to_the_first_record(lab: Lab) -> None:
    written = [lab.write(lab.result({"DEPTH": depth}), A).id.hex() for depth in (1, 3, 4, 5, 6)]
    with seen(lab) as state:
        pages, before = [], None
        while True:
            page = whole(feed(state, None, before=before, limit=2, show="all"))
            pages.append([event["id"] for event in page["events"]])
            if page["next"] is None:
                break
            before = place_of(page["next"])
    assert [len(page) for page in pages] in ([2, 2, 1], [2, 2, 1, 0])
    assert list(chain(*pages)) == written[::-1]


def test_the_feed_filters(lab: Lab) -> None:
    lab.write(Profile(alias="ada", device_class="cpu", device="a processor"), A)
    kept = lab.write(lab.result({"DEPTH": 3}), A)
    crashed = lab.write(lab.result({"INIT": "zeros"}, verdict="crash", values=(None, 2.7)), A)
    mine = lab.write(lab.result({"DEPTH": 1}, verdict="discard", values=(2.8, 2.7)))
    idea = lab.write(Hypothesis(text="try less"), A)
    live = make_live()
    live.tell(Event("trouble", mine.time_ms, "me", True, {"what": "disk", "why": "full"}))
    live.tell(Event("trial", mine.time_ms, "me", True, {}))

    def shown(show: str) -> list[object]:
        page = whole(feed(state, live, before=None, limit=50, show=show))  # type: ignore[arg-type]
        return [event.get("id", event["event"]) for event in page["events"]]

    with seen(lab) as state:
        assert shown("findings") == [kept.id.hex()]
        assert shown("failures") == [crashed.id.hex()]
        assert shown("ideas") == [idea.id.hex()]
        assert set(shown("own")) == {"trouble", mine.id.hex()}
        assert len(shown("all")) == 6


def test_progress_has_every_experiment_as_a_point_and_only_believable_steps_for_the_swarm(lab: Lab) -> None:
    lab.write(lab.result({"DEPTH": 3}, values=(2.6, 2.7)), A)
    lab.write(lab.result({"DEPTH": 1}, verdict="discard", values=(2.9, 2.7)), A)
    lab.write(lab.result({"INIT": "zeros"}, verdict="crash", values=(None, 2.7)), B)
    lab.write(lab.result({"DEPTH": 4}, values=(2.5, 2.7)))
    lie = lab.write(lab.result({"DEPTH": 8}, values=(1.0, 2.7)), B)  # below the floor, which is 2.0
    with seen(lab) as state:
        found = progress(state)
    assert found["points"]["number"] == [1, 2, 3, 4, 5]
    assert found["points"]["value"] == [2.6, 2.9, None, 2.5, 1.0]
    assert found["points"]["id"][-1] == lie.id.hex()
    assert [step["value"] for step in found["swarm"]] == [2.6, 2.5]
    assert [step["value"] for step in found["own"]] == [2.5]


def test_a_long_history_is_thinned_evenly_and_every_keep_stays(lab: Lab) -> None:
    for number in range(60):
        rate, keep = 0.025 + number / 100, number % 20 == 5
        values = (2.6, 2.7) if keep else (2.8, 2.7)
        lab.write(lab.result({"RATE": rate}, verdict="keep" if keep else "discard", values=values), A)
    with seen(lab) as state:
        found = progress(state, points=20)
    assert found["of"] == 60
    assert len(found["points"]["number"]) == 20
    assert found["points"]["verdict"].count("keep") == 3
    numbers = found["points"]["number"]
    assert max(later - earlier for earlier, later in pairwise(numbers)) <= 5


def test_effects_are_sorted_by_what_is_to_be_gained_and_have_intervals(lab: Lab) -> None:
    lab.write(lab.result({"DEPTH": 3}, values=(2.6, 2.7)), A)
    lab.write(lab.result({"INIT": "normal"}, values=(2.2, 2.7)), A)
    lab.write(lab.result({"INIT": "zeros"}, verdict="crash", values=(None, 2.7)), A)
    with seen(lab) as state:
        knobs = whole(effects(state))["knobs"]
    assert [knob["name"] for knob in knobs] == ["INIT", "DEPTH"]
    normal, zeros = knobs[0]["values"]
    assert normal["mean"] == pytest.approx(0.5)
    assert normal["low"] < normal["mean"] < normal["high"]
    assert (zeros["mean"], zeros["crashes"]) == (None, 1)


def test_a_discovery_tells_who_tested_it_when_and_what_it_came_from(lab: Lab) -> None:
    base = make_recipe(lab.task, {"INIT": "normal"})
    root = lab.write(lab.result({"INIT": "normal"}, values=(2.2, 2.7)), A)
    found = lab.write(lab.result({"DEPTH": 4}, parent=base, values=(2.0, 2.2)), A)
    lab.write(lab.result({"DEPTH": 4}, values=(2.5, 2.7), replicates=found.id), B)
    lab.write(lab.result({"DEPTH": 4}, verdict="discard", values=(2.8, 2.7), replicates=found.id))
    child = lab.write(
        lab.result({"RATE": 0.3}, parent=make_recipe(lab.task, {"INIT": "normal", "DEPTH": 4}), values=(1.9, 2.0)), A
    )
    lab.write(lab.result({"RATE": 0.2}, values=(2.6, 2.7)), C)
    with seen(lab) as state:
        told = discovery(state, found.id)
        assert told is not None
        assert [(test["role"], test["verdict"], test["after_ms"]) for test in told["tests"]] == [
            ("found", "keep", 0),
            ("replicated", "keep", 1000),
            ("replicated", "discard", 2000),
        ]
        assert [node["author"] for node in told["waiting"]] == [C.author.hex()]
        assert [one["id"] for one in told["ancestors"]] == [root.id.hex()]
        assert [one["id"] for one in told["descendants"]] == [child.id.hex()]
        assert discovery(state, bytes(32)) is None


def test_a_record_is_shown_with_its_diff_and_whether_its_signature_holds(lab: Lab) -> None:
    record = lab.write(lab.result({"DEPTH": 4}), A)
    with seen(lab) as state:
        told = record_view(state, record)
    assert told["signature"] == "valid"
    assert "+DEPTH = 4" in told["diff"]
    assert told["diff"] == told["parent_diff"]
    assert told["event"]["verdict"] == "keep"
    json.dumps(told, allow_nan=False)


def test_peers_are_named_by_their_key_and_say_what_they_do(lab: Lab) -> None:
    lab.write(Profile(alias="ada", device_class="cpu", device="a processor"), A)
    lab.write(lab.result({"DEPTH": 4}), A)
    live = make_live(
        Peer(peer_id_of(A.author), "/ip4/127.0.0.1/tcp/1", True, 5), Peer("12D3Koo", "/ip4/1.1.1.1", False, 6)
    )
    said = Presence(alias="ada", activity="exploring DEPTH 2 → 4", claim={"DEPTH": 4}, expires_ms=10, best=2.0)
    live.heard(A.author, 7, said)
    live.heard(A.author, 6, Presence(alias="ada", activity="an older word"))
    live.heard(B.author, 7, Presence(alias="bob", activity="calibrating"))
    with seen(lab) as state:
        told = whole(peers(state, live))
    assert [peer["alias"] for peer in told["connected"]] == ["ada", None]
    by_alias = {node["alias"]: node for node in told["nodes"]}
    assert by_alias["ada"]["connected"]
    assert by_alias["ada"]["activity"] == "exploring DEPTH 2 → 4"
    assert not by_alias["bob"]["connected"]
    assert told["nodes"][0]["own"]


def test_a_trial_has_its_loss_curve_bounded(lab: Lab) -> None:
    live = make_live()
    for step in range(5000):
        live.progress("a", Progress(step / 5000, 4.0 - step / 5000, 100.0), 1000 + step)
    live.progress("parent, seed 1", Progress(0.1, None, None), 6000)
    told = trial(live)
    running = {one["label"]: one for one in told["running"]}
    assert len(running["a"]["curve"]) <= CURVE_POINTS
    assert running["a"]["curve"][0] == [0.0, 4.0]
    assert running["a"]["curve"][-1] == [4999 / 5000, 4.0 - 4999 / 5000]
    assert running["a"]["seconds_left"] == pytest.approx(0.001, abs=0.001)
    assert running["parent, seed 1"]["seconds_left"] is None
    live.trial_ended()
    assert trial(live)["last"]["label"] == "a"
    live.progress("parent, seed 1", Progress(0.05, 1.0, None), 7000)
    assert trial(live)["running"][0]["started_ms"] == 7000


def test_the_status_says_what_was_found_how_sure_and_by_whom(lab: Lab) -> None:
    with seen(lab) as state:
        assert "No experiment" in status(state, make_live(), lab.clock)["headline"]["sentences"][0]
    lab.write(Profile(alias="ada", device_class="cpu", device="a processor"), A)
    found = lab.write(lab.result({"INIT": "normal"}, values=(2.2, 2.7)), A)
    for author in (lab.me, B):
        lab.write(lab.result({"INIT": "normal"}, values=(2.2, 2.7), replicates=found.id), author)
    with seen(lab) as state:
        told = status(state, make_live(), lab.clock)
        json.dumps(board_of(state) | told, allow_nan=False)
    gain, largest = told["headline"]["sentences"]
    assert "from 2.7000 to 2.2000 points (−18.5%)" in gain
    assert "INIT default → normal" in largest
    assert "by ada, confirmed by 2 other nodes" in largest
    assert told["headline"]["discovery"] == found.id.hex()
    assert told["headline"]["day"]["confirmed"] == 1
    assert told["counts"]["own_adoptions"] == 1


async def test_who_comes_back_gets_what_was_missed_and_who_missed_too_much_is_told(lab: Lab) -> None:
    stream = Stream(epoch=7)
    for number in range(3):
        stream.send("note", str(number))
    with stream.read("7-1") as messages:
        assert [(await messages.receive()).data for _ in range(2)] == ["1", "2"]
        stream.send("note", "3")
        assert (await messages.receive()).number == 4
    for number in range(KEPT):
        stream.send("note", str(number))
    for lost in ("7-1", "6-500", "nonsense", "7-99999"):
        with stream.read(lost) as messages:
            assert messages.receive_nowait() == RESET
    assert stream.readers == 0


async def test_a_reader_who_does_not_read_is_let_go_and_the_others_miss_nothing() -> None:
    stream = Stream()
    with stream.read() as slow, stream.read() as quick:
        for number in range(WAITING + 10):
            stream.send("note", str(number))
            assert quick.receive_nowait().data == str(number)
        received = [message.data async for message in slow]
    assert len(received) == WAITING


async def test_a_view_in_turns_is_the_same_and_lets_others_run_in_between() -> None:
    turns: list[int] = []

    def counted() -> Steps[str]:
        for number in range(3):
            deadline = time.perf_counter() + 1.5 * SLICE_SECONDS
            while time.perf_counter() < deadline:
                pass  # a step that takes its whole slice
            turns.append(number)
            yield
        return "made"

    assert whole(counted()) == "made"
    turns.clear()
    ran = 0

    async def beside() -> None:
        nonlocal ran
        while True:
            ran += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(beside)
        assert await in_turns(counted()) == "made"
        nursery.cancel_scope.cancel()
    assert turns == [0, 1, 2]
    assert ran >= 3
