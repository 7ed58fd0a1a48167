"""A node's page over a lab's log, served from a thread of its own, and one browser to look at it."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
import trio
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, Request, sync_playwright

from gossip.events import Peer
from gossip.record import Record
from node.server import application, local_server
from node.state import State, open_state
from node.view.live import Live
from node.web import page
from node.web.api import Api
from tests.node.lab import Lab

T = TypeVar("T")
ARGS = ("--disable-gpu", "--disable-extensions", "--disable-background-networking")
PATIENCE_MS = 30_000


@dataclass
class Served:
    """A page that is being served. troubles: what the server had to tell of."""

    url: str
    state: State
    live: Live
    token: trio.lowlevel.TrioToken
    troubles: list[tuple[str, str]] = field(default_factory=list)

    def do(self, work: Callable[[], T]) -> T:
        """Run in the server's own thread, as the node would."""
        return trio.from_thread.run_sync(work, trio_token=self.token)

    def arrive(self, record: Record) -> None:
        """A record that is in the log comes to the node's notice."""

        def take() -> None:
            for event in self.state.take(record):
                self.live.tell(event)

        self.do(take)


def make_live(peers: list[Peer] | None = None, started_ms: int = 1000) -> Live:
    connected = peers or []
    return Live(
        swarm="test",
        private=False,
        research=True,
        started_ms=started_ms,
        peers=lambda: connected,
        mesh=lambda: len(connected),
        done=lambda: 3,
    )


@contextmanager
def served(lab: Lab, live: Live, where: str = "127.0.0.1:0") -> Iterator[Served]:
    """Serve until the block ends."""
    up, made, failed = threading.Event(), list[Served](), list[BaseException]()
    stop: list[trio.Event] = []

    async def run() -> None:
        troubles: list[tuple[str, str]] = []
        with open_state(lab.home, None, writing=False) as state:
            app = application(bytes, [*page.routes(), *Api(state, live).routes()])
            async with local_server(where, app, lambda *words: troubles.append(words)) as url:
                stop.append(trio.Event())
                made.append(Served(url, state, live, trio.lowlevel.current_trio_token(), troubles))
                up.set()
                await stop[0].wait()

    def work() -> None:
        try:
            trio.run(run)
        except BaseException as error:  # noqa: BLE001 - it is raised again below, in the test
            failed.append(error)
            up.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert up.wait(20)
        if failed:
            raise failed[0]
        yield made[0]
    finally:
        if made:
            made[0].token.run_sync_soon(stop[0].set)
        thread.join(20)
    if failed:
        raise failed[0]
    assert made[0].troubles == []


def chromium() -> str:
    """Debian's chromium; skips the test where there is none, unless ARNODE_BROWSER=required, as in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        why = "there is no chromium here: apt-get install chromium"
        if os.environ.get("ARNODE_BROWSER") == "required":
            pytest.fail(why)
        pytest.skip(why)
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        # its own sandbox needs a user that is not root; the page is the node's own
        browser = playwright.chromium.launch(
            executable_path=path, args=[*ARGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        )
        try:
            yield browser
        finally:
            browser.close()


# plotly's own attempt to style maps, which are not drawn here: the policy stops it, and says so
MAP_STYLES = "Applying inline style violates"


@dataclass
class Watched:
    """A page that is open, and everything that it should not do."""

    page: Page
    served: Served
    wrong: list[str] = field(default_factory=list)

    def on_pageerror(self, error: Error) -> None:
        self.wrong.append(f"error: {error}")

    def on_dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_console(self, said: ConsoleMessage) -> None:
        if said.type == "error" and MAP_STYLES not in said.text and "plotly.min.js" not in said.location["url"]:
            self.wrong.append(said.text)

    def on_request(self, asked: Request) -> None:
        if not asked.url.startswith(self.served.url):
            self.wrong.append(f"asked {asked.url}")

    def go(self, view: str) -> None:
        """Show a view and wait until it has its heading."""
        heading = self.page.locator("main h1").first
        before = heading.element_handle() if heading.count() else None
        self.page.goto(f"{self.served.url}/#/{view}", wait_until="domcontentloaded")
        if before is not None:
            before.wait_for_element_state("hidden")
        heading.wait_for()


@contextmanager
def looking_at(browser: Browser, served: Served, *, charts: bool = True) -> Iterator[Watched]:
    """A fresh page; afterwards nothing may have gone wrong: errors, dialogs, requests to elsewhere.

    charts: whether plotly is there, which takes a browser a second to read.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    context.set_default_timeout(PATIENCE_MS)
    if not charts:
        context.route("**/plotly.min.js", lambda route: route.fulfill(status=404))
    try:
        watched = Watched(context.new_page(), served)
        for event in ("pageerror", "dialog", "console", "request"):
            watched.page.on(event, getattr(watched, f"on_{event}"))  # type: ignore[call-overload]
        yield watched
        assert watched.wrong == []
    finally:
        context.close()
