"""The page in a real browser: hostile records, live events, a node that stops, a keyboard, a phone; its pictures."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from agent.entries import Hypothesis, Insight, Presence, Profile
from gossip.events import Peer
from gossip.host import peer_id_of
from gossip.identity import new_identity
from node.events import Event
from tests.node.hostile import EVIL, LINK, OVERRIDE, hostile
from tests.node.lab import Lab, open_lab
from tests.node.served import PATIENCE_MS, looking_at, make_live, open_browser, served
from trainer.output import Progress

SCREENS = Path(__file__).parents[2] / "out" / "screens"
VIEWS = ("", "board", "effects", "notebook", "nodes")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with open_browser() as opened:
        yield opened


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with open_lab(tmp_path) as made:
        yield made


def a_night(lab: Lab) -> dict[str, str]:
    """A small history; returns ids by name."""
    ada, bob = new_identity(), new_identity()
    lab.write(Profile(alias="ada", device_class="cpu", device="a processor"), ada)
    found = lab.write(lab.result({"INIT": "normal"}, values=(2.2, 2.7)), ada)
    for author in (lab.me, bob):
        lab.write(lab.result({"INIT": "normal"}, values=(2.21, 2.71), replicates=found.id), author)
    lab.write(lab.result({"DEPTH": 1}, verdict="discard", values=(2.8, 2.7)), bob)
    lab.write(lab.result({"INIT": "zeros"}, verdict="crash", values=(None, 2.7)), bob)
    lab.write(Insight(text="INIT=normal lowers score by 0.5 over 3 nodes", kind="effect", authors=3), ada)
    idea = lab.write(Hypothesis(text="deeper is better", change={"DEPTH": 4}), bob)
    return {"found": found.id.hex(), "idea": idea.id.hex()}


def test_whatever_stands_in_a_record_is_shown_as_text_at_any_width(browser: Browser, lab: Lab) -> None:
    ids = hostile(lab)
    live = make_live()
    live.heard(new_identity().author, 5, Presence(alias="<b>x</b>", activity=EVIL[:200], best=1e300))
    live.tell(Event("trouble", lab.clock, "me", True, {"what": EVIL, "why": LINK}))
    live.progress(EVIL, Progress(0.1, 1e300, 1e300), 1)
    live.progress(EVIL, Progress(0.2, -1e300, 1e-300), 2)
    with served(lab, live) as node, looking_at(browser, node) as seen:
        for view in (*VIEWS, *(f"record/{record_id}" for record_id in ids), f"discovery/{ids[0]}"):
            seen.go(view)
            expect(seen.page.locator("main")).not_to_contain_text(OVERRIDE)
            assert seen.page.locator("main :is(script, img, iframe, b, i, object)").count() == 0, view
            assert seen.page.locator("a[href^='http']").count() == 0, view
            for width in (1280, 360):
                seen.page.set_viewport_size({"width": width, "height": 740})
                assert seen.page.evaluate("document.documentElement.scrollWidth") <= width, view
        seen.go(f"record/{ids[0]}")
        quote = seen.page.locator("blockquote")
        expect(quote).to_contain_text("<script>alert(2)</script><b>bold</b>·desrever··[31m&lt;i&gt;")
        expect(seen.page.get_by_text("✔ valid")).to_be_visible()


def test_an_event_comes_in_without_a_reload_and_the_figures_follow(browser: Browser, lab: Lab) -> None:
    a_night(lab)
    with served(lab, make_live()) as node, looking_at(browser, node, charts=False) as seen:
        seen.go("")
        expect(seen.page.locator("h1")).to_contain_text("score went from 2.7")
        expect(seen.page.locator("#state")).to_have_text("live")
        record = lab.write(lab.result({"DEPTH": 5}, values=(2.4, 2.7)), new_identity())
        node.arrive(record)
        first = seen.page.locator(".feed > li").first
        expect(first).to_contain_text("DEPTH 2 → 5")
        expect(seen.page.locator(".tiles")).to_contain_text("6")
        seen.page.get_by_role("button", name="Kept").click()
        expect(seen.page.locator(".feed > li")).to_have_count(4)
        first.get_by_role("link").click()
        expect(seen.page.locator(".diff .add")).to_contain_text("+DEPTH = 5")
        node.do(lambda: node.live.progress("RATE 0.1 → 0.2", Progress(0.4, 1.5, 1000.0), 5))
        seen.go("")
        expect(seen.page.locator(".running")).to_contain_text("loss 1.500")


def test_a_page_says_that_its_node_stopped_and_goes_on_when_it_is_back(browser: Browser, lab: Lab) -> None:
    a_night(lab)
    with ExitStack() as first_life:
        node = first_life.enter_context(served(lab, make_live()))
        with looking_at(browser, node, charts=False) as seen:
            seen.go("")
            expect(seen.page.locator("#state")).to_have_text("live")
            expect(seen.page.get_by_text("No chart: plotly.js did not load")).to_be_visible()
            seen.page.evaluate("window.stillTheSame = true")
            first_life.close()
            expect(seen.page.get_by_role("alert")).to_contain_text("The node has stopped")
            expect(seen.page.locator("#state")).to_have_text("node stopped")
            expect(seen.page.locator("h1")).to_contain_text("score went from")
            lab.write(lab.result({"DEPTH": 6}, values=(2.4, 2.7)), new_identity())
            with served(lab, make_live(started_ms=2000), node.url.removeprefix("http://")):
                expect(seen.page.locator("#state")).to_have_text("live")
                expect(seen.page.get_by_role("alert")).to_be_hidden()
                expect(seen.page.locator(".feed")).to_contain_text("DEPTH 2 → 6")
                assert seen.page.evaluate("window.stillTheSame")
                assert all("net::ERR" in wrong for wrong in seen.wrong)  # nobody answered
                seen.wrong.clear()


def test_the_page_can_be_used_with_a_keyboard_and_a_screen_reader(browser: Browser, lab: Lab) -> None:
    names = a_night(lab)
    with served(lab, make_live()) as node, looking_at(browser, node) as seen:
        for view in (*VIEWS, f"record/{names['found']}", f"discovery/{names['found']}"):
            seen.go(view)
            assert seen.page.evaluate(UNNAMED) == [], view
            for landmark in ("banner", "main", "navigation"):
                expect(seen.page.get_by_role(landmark)).to_have_count(1)
            expect(seen.page.get_by_role("heading", level=1)).to_have_count(1)
        seen.go("notebook")
        expect(seen.page.locator("main")).to_contain_text("INIT=normal lowers score by 0.5 over 3 nodes")
        expect(seen.page.locator("main")).to_contain_text("DEPTH = 4: deeper is better")
        seen.go("")
        seen.page.reload(wait_until="domcontentloaded")
        seen.page.locator("main h1").wait_for()
        keyboard = seen.page.keyboard
        keyboard.press("Tab")
        assert seen.page.evaluate("document.activeElement.textContent") == "Skip to content"
        while seen.page.evaluate("document.activeElement.textContent") != "Board":
            keyboard.press("Tab")
        assert seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        keyboard.press("Enter")
        expect(seen.page.get_by_role("heading", level=1)).to_have_text("Board")
        expect(seen.page.locator("main")).to_be_focused()
        expect(seen.page.get_by_role("table", name="What was found")).to_contain_text("INIT default → normal")


UNNAMED = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const label = (one) => one.getAttribute("aria-label");
  return [
    ...all("table").filter((one) => !one.caption?.textContent),
    ...all("section").filter((one) => !document.getElementById(one.getAttribute("aria-labelledby"))),
    ...all("[role=img], [role=region], meter:not([aria-hidden]), progress").filter((one) => !label(one)),
    ...all("button, a").filter((one) => !one.textContent.trim() && !label(one)),
    ...all("figure").filter((one) => !one.querySelector("details") && !one.parentElement.querySelector("table")),
  ].map((one) => one.outerHTML.slice(0, 200));
}"""


def test_pictures_of_every_view_at_two_sizes_in_light_and_dark(browser: Browser, lab: Lab) -> None:
    names = a_night(lab)
    ada = Peer(peer_id_of(new_identity().author), "/ip4/192.0.2.1/tcp/4477", inbound=True, since=lab.clock)
    live = make_live([ada])
    for step in range(30):
        live.progress("RATE 0.1 → 0.2", Progress(step / 40, 3 - step / 20, 1000.0), step)
    SCREENS.mkdir(parents=True, exist_ok=True)
    with served(lab, live) as node, looking_at(browser, node) as seen:
        for view in (*VIEWS, f"record/{names['found']}", f"discovery/{names['found']}"):
            seen.go(view)
            for plot in seen.page.locator(".plot:visible").all():
                expect(plot.locator(".main-svg").first).to_be_attached()
            for size, width, height in (("desktop", 1280, 800), ("phone", 360, 740)):
                seen.page.set_viewport_size({"width": width, "height": height})
                for scheme, dark in (("light", False), ("dark", True)):
                    seen.page.emulate_media(color_scheme="dark" if dark else "light")
                    assert (background(seen.page) == "rgb(15, 18, 21)") is dark
                    seen.page.wait_for_function(
                        PAINTED, arg="rgba(227, 230, 234, 1)" if dark else "rgba(27, 31, 36, 1)"
                    )
                    name = re.sub("/.*", "", view) or "overview"
                    seen.page.screenshot(path=SCREENS / f"{name}-{size}-{scheme}.png")
        before = background(seen.page)
        seen.page.locator("#theme").click()
        assert background(seen.page) != before


PAINTED = """(ink) => [...document.querySelectorAll(".plot[data-ink]")].every((one) => one.dataset.ink === ink)"""


def background(page: Page) -> object:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")
