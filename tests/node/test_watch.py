"""The full-screen view, driven by keys against a real local server, and looked at as pictures at two sizes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList, Static, TabbedContent

from agent.entries import Presence, Profile
from node.events import Event
from node.simulation.node import identity
from node.watch import words
from node.watch.app import TABS, WatchApp
from node.watch.charts import stairs
from node.watch.screens import DiscoveryScreen, Help, RecordScreen
from node.watch.source import Source, WatchError
from node.web import api
from tests.node.lab import Lab, open_lab
from tests.node.served import make_live, served
from tests.node.terminal import terminal
from trainer.output import Progress

ADA, BOB = identity(1), identity(2)
SMALL, LARGE = (80, 24), (130, 42)
PATIENCE_SECONDS = 30.0

Check = Callable[[], object]
View = Pilot[None]
Script = Callable[[View], Awaitable[None]]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A small swarm's log: one discovery that two others repeated, misses, a crash."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with open_lab(tmp_path, me=identity(3)) as lab:
        monkeypatch.setattr(api, "now_ms", lambda: lab.clock + 90_000)
        for who, alias in ((ADA, "ada"), (BOB, "bob"), (lab.me, "me")):
            lab.write(Profile(alias=alias, device_class="cpu", device="a processor"), who)
        found = lab.write(lab.result({"INIT": "normal"}), ADA)
        lab.write(lab.result({"INIT": "normal"}, replicates=found.id), BOB)
        lab.write(lab.result({"INIT": "normal"}, replicates=found.id))
        for depth in (1, 3, 6):
            lab.write(lab.result({"DEPTH": depth}, verdict="discard", values=(2.5 + depth / 10, 2.7)))
        lab.write(lab.result({"INIT": "zeros"}, verdict="crash", values=(None, 2.7)), ADA)
        yield lab


def drive(
    url: str | Callable[[], str], script: Callable[[View], Awaitable[None]], size: tuple[int, int] = SMALL
) -> None:
    """Run the view with that script of keys and looks."""

    async def run() -> None:
        app = WatchApp(Source(url if callable(url) else lambda: url))
        app.animation_level = "none"
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: view(pilot).is_live)
            await script(pilot)

    asyncio.run(run())


def view(pilot: View) -> WatchApp:
    assert isinstance(pilot.app, WatchApp)
    return pilot.app


async def until(pilot: View, holds: Check) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, shown(pilot)
        await pilot.pause(0.02)


def shown(pilot: View) -> str:
    """Everything that stands on the screen, as text."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


def lines(pilot: View) -> list[str]:
    options = pilot.app.query_one("#lines", OptionList)
    return [str(options.get_option_at_index(number).prompt) for number in range(options.option_count)]


def test_the_latest_stands_on_top_and_what_happens_appears_by_itself(lab: Lab) -> None:
    with served(lab, make_live()) as node:

        async def script(pilot: View) -> None:
            await until(pilot, lambda: len(lines(pilot)) == 10)
            assert "zeros never learn" in lines(pilot)[0]
            assert "a processor" in lines(pilot)[-1]
            event = Event("note", lab.clock + 5000, "me", True, {"text": "the cat sat down"})
            node.do(lambda: node.live.tell(event))
            await until(pilot, lambda: "the cat sat down" in lines(pilot)[0])

        drive(node.url, script)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_tab_shows_its_part_of_the_swarm(lab: Lab, size: tuple[int, int]) -> None:
    with served(lab, make_live()) as node:
        presence = Presence(alias="ada", activity="exploring DEPTH", claim={}, expires_ms=0, best=2.0)

        def fill() -> None:
            node.live.heard(ADA.author, lab.clock, presence)
            for step in range(30):
                node.live.progress(
                    "RATE 0.1 → 0.2", Progress(step / 60, 4 - step / 60, 1000.0), lab.clock + step * 1000
                )

        node.do(fill)
        expected = {
            "feed": "adopted",
            "board": "confirmed",
            "progress": "7 experiments",
            "knobs": "normal",
            "trial": "RATE 0.1",
            "peers": "exploring DEPTH",
        }

        async def script(pilot: View) -> None:
            for number, tab in enumerate(TABS, 1):
                await pilot.press(str(number))
                await until(pilot, lambda tab=tab: expected[tab] in shown(pilot))  # type: ignore[misc]
                assert pilot.app.query_one(TabbedContent).active == tab
                assert "me in test" in shown(pilot)
            await pilot.press("tab")
            await until(pilot, lambda: pilot.app.query_one(TabbedContent).active == "feed")
            await pilot.press("shift+tab")
            await until(pilot, lambda: pilot.app.query_one(TabbedContent).active == "peers")

        drive(node.url, script, size)


def test_enter_opens_the_record_with_its_diff_and_d_how_its_discovery_spread(lab: Lab) -> None:
    with served(lab, make_live()) as node:

        async def script(pilot: View) -> None:
            await until(pilot, lambda: len(lines(pilot)) == 10)
            adopted = next(number for number, line in enumerate(lines(pilot)) if "adopted" in line)
            await pilot.press(*["down"] * adopted, "enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, RecordScreen) and "+INIT" in diff(pilot))
            assert "valid" in shown(pilot)
            await pilot.press("d")
            await until(pilot, lambda: isinstance(pilot.app.screen, DiscoveryScreen))
            await until(pilot, lambda: "kept by 3 of 3 nodes" in shown(pilot))
            assert all(alias in shown(pilot) for alias in ("ada", "bob", "me"))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, RecordScreen))
            await pilot.press("escape", "escape", "q")
            await until(pilot, lambda: len(pilot.app.screen_stack) == 1)

        drive(node.url, script)


def diff(pilot: View) -> str:
    content = pilot.app.screen.query_one("#diff", Static).content
    return "".join(part.code for part in getattr(content, "renderables", []) if hasattr(part, "code"))


def test_a_filter_and_a_text_to_find_narrow_the_feed(lab: Lab) -> None:
    with served(lab, make_live()) as node:

        async def script(pilot: View) -> None:
            await until(pilot, lambda: len(lines(pilot)) == 10)
            await pilot.press("f")
            await until(pilot, lambda: len(lines(pilot)) == 3)
            assert all("INIT" in line for line in lines(pilot))
            await pilot.press("f", "f", "f", "f")
            await until(pilot, lambda: len(lines(pilot)) == 10)
            await pilot.press("slash", *"depth")
            await until(pilot, lambda: len(lines(pilot)) == 3)
            await pilot.press("escape")
            await until(pilot, lambda: len(lines(pilot)) == 10)
            assert pilot.app.query_one("#find", Input).value == ""

        drive(node.url, script)


def test_going_down_fetches_what_is_older(lab: Lab) -> None:
    for number in range(70):
        lab.write(lab.result({"RATE": 0.2 + number / 1000}, verdict="discard", values=(2.8, 2.7)))
    with served(lab, make_live()) as node:

        async def script(pilot: View) -> None:
            await until(pilot, lambda: len(lines(pilot)) == 50)
            await pilot.press("end")
            await until(pilot, lambda: len(lines(pilot)) == 80)
            assert pilot.app.query_one("#lines", OptionList).highlighted == 49

        drive(node.url, script)


def test_a_node_that_stops_is_said_to_and_one_that_comes_back_elsewhere_is_found(lab: Lab) -> None:
    where = [""]

    async def script(pilot: View) -> None:
        await until(pilot, lambda: len(lines(pilot)) == 10)
        await asyncio.to_thread(first.__exit__, None, None, None)
        await until(pilot, lambda: "; trying again" in shown(pilot))
        with served(lab, make_live()) as second:
            where[0] = second.url
            await until(pilot, lambda: view(pilot).is_live)
            event = Event("note", lab.clock + 5000, "me", True, {"text": "here again"})
            second.do(lambda: second.live.tell(event))
            await until(pilot, lambda: "here again" in lines(pilot)[0])

    first = served(lab, make_live())
    where[0] = first.__enter__().url
    drive(lambda: where[0], script)


def test_what_peers_wrote_cannot_steer_the_screen(lab: Lab) -> None:
    evil = "\x1b[2J\u202egnp\r\n" + "x" * 150
    lab.write(Profile(alias="\x1b]0;gotcha\x07\u202e", device_class="cpu", device=evil[:100]), ADA)
    worst = lab.write(lab.result({"DEPTH": 5}, hypothesis=evil, values=(2.7, 1e300)), ADA)
    with served(lab, make_live()) as node:

        async def script(pilot: View) -> None:
            for key in "123456":
                await pilot.press(key)
                await until(pilot, lambda: view(pilot).is_settled)
                assert not set("\x1b\u202e\r\x07") & set(shown(pilot))
            view(pilot).action_open(worst.id.hex())
            await until(pilot, lambda: isinstance(pilot.app.screen, RecordScreen))
            assert not set("\x1b\u202e\r\x07") & set(shown(pilot))

        drive(node.url, script)


def test_the_keys_are_one_key_away(lab: Lab) -> None:
    with served(lab, make_live()) as node:

        async def script(pilot: View) -> None:
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(pilot.app.screen, Help))
            assert "find a text" in shown(pilot)
            await pilot.press("q")
            await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
            await pilot.press("2", "down", "q")
            await until(pilot, lambda: not pilot.app.is_running)

        drive(node.url, script)


def test_an_id_of_nothing_is_told_and_the_view_goes_on(lab: Lab) -> None:
    with served(lab, make_live()) as node:

        async def script(pilot: View) -> None:
            view(pilot).action_open("0" * 64)
            await until(pilot, lambda: "no one record has such an id" in shown(pilot))
            await pilot.press("2")
            await until(pilot, lambda: pilot.app.query_one("#discoveries", DataTable).row_count == 1)

        drive(node.url, script)


def test_what_is_no_node_is_named(lab: Lab) -> None:
    async def ask() -> None:
        async with aclosing(Source(lambda: "http://127.0.0.1:9")) as source:
            with pytest.raises(WatchError, match="does not answer"):
                await source.ask("status")

    asyncio.run(ask())


def test_the_command_works_in_a_terminal(lab: Lab, tmp_path: Path) -> None:
    with served(lab, make_live()) as node, terminal("watch", "--url", node.url, home=tmp_path / "other") as screen:
        screen.until("zeros never learn")
        screen.press("q")
        assert screen.end() == 0
    with terminal("watch", home=tmp_path / "other") as screen:
        assert screen.end() == 1
        assert "start one with `arnode join`" in " ".join(screen.seen.split())


def test_steps_are_held_until_the_next_and_the_last_to_the_end() -> None:
    steps = [{"number": 1, "value": 3.0}, {"number": 4, "value": 2.0}]
    assert stairs(steps, 9) == ([1, 4, 4, 9], [3.0, 3.0, 2.0, 2.0])


def test_a_forest_plot_marks_zero_mean_and_interval() -> None:
    assert words.whisker(0.5, 0.75, 1.0, 1.0, 9).plain == "    │ ─●─"[:9]
    assert words.whisker(None, None, None, 1.0, 9).plain == "    │    "
    assert words.whisker(-9.0, 0.0, 9.0, 1.0, 9).plain == "────●────"


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("tab", TABS)
def test_the_screen_looks_as_it_did(
    lab: Lab, snap_compare: Callable[..., bool], tab: str, size: tuple[int, int]
) -> None:
    with served(lab, make_live()) as node:

        async def look(pilot: View) -> None:
            await until(pilot, lambda: view(pilot).is_live)
            await pilot.press(str(TABS.index(tab) + 1))
            await until(pilot, lambda: pilot.app.query_one(TabbedContent).active == tab and view(pilot).is_settled)

        app = WatchApp(Source(lambda: node.url))
        app.animation_level = "none"
        assert snap_compare(app, terminal_size=size, run_before=look)
