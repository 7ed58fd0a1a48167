"""The full-screen view of a running node: tabs over its local API, kept up to date by its events.

The view holds no knowledge of its own. An event says that something changed; what is on the screen is then asked for
anew, at most so often, and nothing else is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Footer, Static, TabbedContent, TabPane

from node.events import count, from_dict, percent, value_text
from node.home import Home
from node.running import running_node
from node.watch import words
from node.watch.charts import Progress, Trial, in_one_line
from node.watch.feedpane import FeedPane
from node.watch.panes import Board, Knobs, OpenDiscovery, OpenRecord, Peers
from node.watch.screens import DiscoveryScreen, Help, RecordScreen
from node.watch.source import Source, WatchError

TABS: Final = ("feed", "board", "progress", "knobs", "trial", "peers")
FRESH_SECONDS: Final = 0.5  # what changes many times a second is asked for this often
AGES_SECONDS: Final = 10.0  # "3 min ago" goes on though nothing happens
QUIET: Final = frozenset({"hello", "progress", "changed", "reset", "lost"})


class WatchApp(App[None]):
    """A running node, full screen. source: where it answers; the view closes it."""

    TITLE = "arnode"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"tab('{tab}')", tab.capitalize(), show=False) for number, tab in enumerate(TABS, 1)),
        Binding("tab", "next_tab(1)", "Next tab", priority=True, show=False),
        Binding("shift+tab", "next_tab(-1)", "Previous tab", priority=True, show=False),
        Binding("r", "refresh", "Refresh"),
        Binding("question_mark", "help", "Keys"),
        Binding("q", "quit", "Quit"),
    ]
    CSS = """
    Screen { background: $surface; }
    #head { height: 1; padding: 0 1; background: $panel; }
    #headline { height: auto; max-height: 3; padding: 0 1; }
    #now { height: 1; padding: 0 1; background: $panel; }
    TabPane { padding: 0; }
    TabbedContent { height: 1fr; }
    .dim { color: $text-muted; }
    OptionList > .option-list--option-highlighted, OptionList:focus > .option-list--option-highlighted,
    DataTable > .datatable--cursor, DataTable:focus > .datatable--cursor { background: $primary 35%; color: $text; }
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._status: dict[str, Any] | None = None
        self._lost = "connecting"
        self._stale: set[str] = set()
        self._wanted = asyncio.Event()
        self.is_settled = False  # nothing on the screen was waiting when the node was last asked

    @property
    def is_live(self) -> bool:
        """Whether the node is heard, and has answered."""
        return self._status is not None and not self._lost

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Static(id="headline", markup=False)
        with TabbedContent(initial="feed"):
            for number, (tab, pane) in enumerate(zip(TABS, self._panes(), strict=True), 1):
                with TabPane(f"{number} {tab.capitalize()}", id=tab):
                    yield pane
        yield Static(id="now")
        yield Footer(compact=True)

    def _panes(self) -> list[Vertical]:
        return [FeedPane(), Board(), Progress(), Knobs(), Trial(), Peers()]

    def on_mount(self) -> None:
        self._draw_head()
        self.set_interval(AGES_SECONDS, lambda: self._outdated("status", self._tab))
        self._listen()
        self._keep_fresh()
        self._focus_tab()

    async def on_unmount(self) -> None:
        await self._source.aclose()

    @property
    def _tab(self) -> str:
        return self.query_one(TabbedContent).active or "feed"

    # ---- what the node tells ----

    @work(exclusive=True, group="listen")
    async def _listen(self) -> None:
        async for kind, data in self._source.events():
            if self.is_running:
                self._hear(kind, data)

    def _hear(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "lost":
            self._lost = data["why"]
            self._draw_head()
        elif kind == "progress":
            self._outdated("trial")
        elif kind in QUIET:
            self._lost = ""
            self._outdated("status", "feed", "trial", self._tab)
        else:
            self.query_one(FeedPane).add(from_dict(data))
            self._outdated("status", "trial", *({self._tab} - {"feed"}))

    def _outdated(self, *what: str) -> None:
        """Ask for these views soon."""
        self._stale.update(what)
        self._wanted.set()
        self.is_settled = False

    @work(group="freshen")
    async def _keep_fresh(self) -> None:
        """Ask for what is out of date, one after the other, and at most so often: many events are one question."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            stale, self._stale = self._stale, set()
            try:
                for what in sorted(stale):
                    await self._views[what]()
            except WatchError as error:
                self._lost = str(error)
                if self.is_running:
                    self._draw_head()
            self.is_settled = not self._wanted.is_set()
            await asyncio.sleep(FRESH_SECONDS)

    @property
    def _views(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "status": partial(self._ask, "status", self._draw_status),
            "feed": partial(self._ask_feed, ""),
            "board": partial(self._ask, "board", lambda board: self.query_one(Board).show(board, self._now_ms)),
            "progress": partial(self._ask, "progress", lambda progress: self.query_one(Progress).show(progress)),
            "knobs": partial(self._ask, "effects", lambda effects: self.query_one(Knobs).show(effects)),
            "trial": partial(self._ask, "trial", self._draw_trial),
            "peers": partial(self._ask, "peers", lambda peers: self.query_one(Peers).show(peers, self._now_ms)),
        }

    async def _ask(self, path: str, draw: Callable[[Any], object], **query: str) -> None:
        """Ask, and draw the answer unless the view has been left meanwhile. Raises WatchError."""
        answer = await self._source.ask(path, **query)
        if self.is_running:
            draw(answer)

    async def _ask_feed(self, before: str) -> None:
        pane = self.query_one(FeedPane)
        wanted = pane.filter
        await self._ask(
            "feed", lambda page: pane.show(page, before) if wanted == pane.filter else None, show=wanted, before=before
        )

    def _draw_status(self, status: dict[str, Any]) -> None:
        self._status, self._lost = status, ""
        self._draw_head()

    def _draw_trial(self, trial: dict[str, Any]) -> None:
        self.query_one(Trial).show(trial)
        running = trial["running"]
        text = in_one_line(running[0], 16) if running else words.plain(trial["activity"] or "no trial runs")
        more = f"  and {len(running) - 1} more" if len(running) > 1 else ""
        self.query_one("#now", Static).update(Text(f"▶ {text}{more}", no_wrap=True, overflow="ellipsis"))

    @property
    def _now_ms(self) -> int:
        return int(self._status["now_ms"]) if self._status else 0

    def _draw_head(self) -> None:
        """Who and where on one line; under it what a person should know first."""
        head = self.query_one("#head", Static)
        status = self._status
        if status is None:
            head.update(Text(f"○ {words.plain(self._lost)}", "yellow"))
            return
        node, swarm, task, best = (status[part] for part in ("node", "swarm", "task", "best"))
        mark = ("○ ", "yellow") if self._lost else ("● ", "green")
        line = Text.assemble(mark, no_wrap=True, overflow="ellipsis")
        line.append(words.plain(node["alias"]), "bold")
        line.append(f" in {words.plain(swarm['name'])}  {words.plain(task['name'])}  ")
        if self._lost:
            line.append(f"{words.plain(self._lost)}; trying again", "yellow")
        else:
            line.append(count(swarm["connected"], "peer"))
            if best["value"] is not None:
                line.append(f"  best {value_text(best['value'])} ({percent(best['relative'])})", "green")
        head.update(line)
        told = Text(" ".join(words.plain(text) for text in status["headline"]["sentences"]))
        self.query_one("#headline", Static).update(told)

    # ---- what the person does ----

    def action_tab(self, tab: str) -> None:
        """Go to a tab."""
        self.query_one(TabbedContent).active = tab

    def action_next_tab(self, step: int) -> None:
        """Go to the tab beside this one."""
        if len(self.screen_stack) == 1:
            self.action_tab(TABS[(TABS.index(self._tab) + step) % len(TABS)])
        else:
            self.screen.focus_next() if step > 0 else self.screen.focus_previous()

    def action_refresh(self) -> None:
        """Ask for everything anew."""
        self._outdated("status", "feed", "trial", self._tab)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    def on_tabbed_content_tab_activated(self) -> None:
        """Fill the tab, and let the keys go there."""
        self._outdated(self._tab)
        self._focus_tab()

    def _focus_tab(self) -> None:
        for widget in self.query_one(f"TabPane#{self._tab}").query("OptionList, DataTable"):
            if widget.id != "nodes":
                widget.focus()
                return
        self.screen.set_focus(None)  # or the tab that was left would come back with its focus

    def on_feed_pane_wanted(self, message: FeedPane.Wanted) -> None:
        """Fetch another page of the feed."""
        self._safely(partial(self._ask_feed, message.before))

    def on_open_record(self, message: OpenRecord) -> None:
        """Show a record."""
        self.action_open(message.record_id)

    def action_open(self, record_id: str) -> None:
        """Show a record."""
        self._safely(partial(self._open_record, record_id))

    def on_open_discovery(self, message: OpenDiscovery) -> None:
        """Show a discovery."""
        self._safely(partial(self._open_discovery, message.record_id))

    async def _open_record(self, record_id: str) -> None:
        await self._ask(f"records/{record_id}", lambda record: self.push_screen(RecordScreen(record)))

    async def _open_discovery(self, record_id: str) -> None:
        await self._ask(f"discoveries/{record_id}", lambda found: self.push_screen(DiscoveryScreen(found)))

    @work(group="open")
    async def _safely(self, ask: Callable[[], Awaitable[None]]) -> None:
        try:
            await ask()
        except WatchError as error:
            self.notify(words.plain(error), severity="warning", markup=False)


def watch(home: Home, url: str | None) -> None:
    """Watch the node of that folder, or the one at `url`, until the person leaves. Raises WatchError."""

    def locate() -> str:
        if url is not None:
            return url.rstrip("/")
        node = running_node(home)
        if node is None:
            raise WatchError(f"no node runs with {home.folder}: start one with `arnode join`, or name one with --url")
        if node.url is None:
            raise WatchError("the node runs without its local server: start it without --no-http")
        return node.url

    locate()
    WatchApp(Source(locate)).run()
