"""Take the pictures of README and docs: the page, the full-screen view, the feed, the progress chart, as they are.

    python scripts/pictures.py [--minutes 420] [--out docs/images]

It simulates a night first (scripts/demo_home.py, two minutes or more). Needs the dev extra and Debian's
chromium.
"""

import argparse
import asyncio
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console

from node.events import from_dict
from node.home import open_home
from node.lines import is_quiet, line_of
from node.state import open_state
from node.view.feed import feed
from node.view.steps import whole
from node.watch.app import WatchApp
from node.watch.source import Source

ROOT: Final = Path(__file__).parent.parent
DESKTOP: Final = {"width": 1280, "height": 860}
PHONE: Final = {"width": 360, "height": 740}
TERMINAL: Final = (112, 30)
FEED_COLUMNS: Final = 112
FEED_LINES: Final = 24
FEED_MINUTE: Final = 45.0
PATIENCE_MS: Final = 60_000
COLOURS: Final = 128


@contextmanager
def served(folder: Path, minutes: str) -> Iterator[str]:
    """The address of a page over a night that was simulated into the folder."""
    script = [sys.executable, str(ROOT / "scripts/demo_home.py"), str(folder), "--minutes", minutes]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*script, "--serve", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        print(process.stdout.readline().strip())
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def take_pages(browser: Browser, url: str, out: Path) -> None:
    """The page at two sizes, the effects, and a discovery."""
    shots = (
        ("page", "", DESKTOP, "light", "#/"),
        ("page-phone", "", PHONE, "light", "#/"),
        ("effects", "", DESKTOP, "light", "#/effects"),
        ("discovery", "#/board", DESKTOP, "light", None),
    )
    for name, first, size, scheme, view in shots:
        page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{url}/{view or first}")
        page.locator("main h1").first.wait_for()
        if view is None:
            page.locator("main table a[href^='#/discovery']").first.click()
            page.locator("main .js-plotly-plot").first.wait_for()
        page.wait_for_timeout(3000)  # charts are drawn after their data came
        page.screenshot(path=out / f"{name}.png")
        page.close()


def take_svg(browser: Browser, svg: str, path: Path) -> None:
    """A drawing as a picture."""
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.set_content(f"<style>body{{margin:0}}</style>{svg}")
    page.locator("svg").screenshot(path=path)
    page.close()


async def watch_screen(url: str, key: str) -> str:
    """The full-screen view after a key, as a drawing."""
    app = WatchApp(Source(lambda: url))
    app.animation_level = "none"
    async with app.run_test(size=TERMINAL) as pilot:
        await pilot.pause(2)
        await pilot.press(key)
        await pilot.pause(2)
        return app.export_screenshot(title="arnode watch")


def feed_lines(folder: Path, minutes: float) -> str:
    """The feed when the night was young and much was found, as a drawing. minutes: how long the night was."""
    before = time.time_ns() // 1_000_000 - round((minutes - FEED_MINUTE) * 60_000), bytes(32)
    with open_state(open_home(folder), None, writing=False) as state:
        page = whole(feed(state, None, before=before, limit=200, show="all"))
    events = [from_dict(fields) for fields in reversed(page["events"])]
    lines = [line_of(event, FEED_COLUMNS) for event in events if not is_quiet(event)]
    drawn = Console(record=True, width=FEED_COLUMNS, file=io.StringIO(), markup=False, highlight=False)
    for line in lines[-FEED_LINES:]:
        drawn.print(line, no_wrap=True, overflow="ellipsis")
    return drawn.export_svg(title="arnode join")


def shrink(out: Path) -> None:
    """Make the pictures a third as large: screens have few colours."""
    for path in out.glob("*.png"):
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(COLOURS)
        small.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", default="420")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), chosen.minutes) as url:
        # Textual first: it wants an event loop of its own, which playwright's does not allow beside it
        screens = {name: asyncio.run(watch_screen(url, key)) for name, key in (("watch", "1"), ("watch-progress", "3"))}
        screens["feed"] = feed_lines(Path(folder), float(chosen.minutes))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"] if os.geteuid() == 0 else []
            )
            for name, svg in screens.items():
                take_svg(browser, svg, chosen.out / f"{name}.png")
            take_pages(browser, url, chosen.out)
            browser.close()
        command = [sys.executable, "-m", "node.cli", "--home", folder, "export", "--format", "png"]
        subprocess.run([*command, "-o", str(chosen.out / "progress.png")], check=True, cwd=ROOT)
    shrink(chosen.out)


if __name__ == "__main__":
    main()
