"""The other implementation: a js-libp2p node as a process, its events read as JSON lines, every wait with a deadline.

Its packages are installed once, outside the repository. Where Node.js is missing, or its packages cannot be fetched
because there is no internet, tests that need it are skipped; with ARNODE_INTEROP=required, as in CI, they fail.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import platformdirs
import pytest
import trio

HERE: Final = Path(__file__).parent
OLDEST_NODE: Final = 20
INSTALL_SECONDS: Final = 240
OFFLINE: Final = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "ETIMEDOUT")
Event = dict[str, Any]


def scripts(folder: Path) -> Path:
    """A copy of this folder's scripts, in `folder`, with their packages beside them."""
    missing = _missing()
    if missing and os.environ.get("ARNODE_INTEROP") == "required":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    for path in (*HERE.glob("*.mjs"), *HERE.glob("*.json")):
        shutil.copy(path, folder)
    (folder / "node_modules").symlink_to(_packages())
    return folder


def run_script(folder: Path, name: str, stdin: str = "", *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of `scripts` to its end."""
    return subprocess.run(
        ["node", name, *arguments], cwd=folder, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def _missing() -> str | None:
    if not shutil.which("node") or not shutil.which("npm"):
        return "Node.js (node and npm) is missing: install it to test against js-libp2p"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        return f"Node.js {version.strip()} is too old: js-libp2p needs {OLDEST_NODE}"
    done = _packages().is_dir() or _install()
    return None if done is True else done


def _packages() -> Path:
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    return platformdirs.user_cache_path("arnode") / f"interop-{lock[:16]}" / "node_modules"


def _install() -> str | bool:
    """Install the locked packages, whole or not at all. Returns why they cannot be had; fails if they are broken."""
    place = _packages().parent
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".interop-") as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, scratch)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
        try:
            done = subprocess.run(
                command, cwd=scratch, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return f"the packages of js-libp2p were not there after {INSTALL_SECONDS} s of npm ci"
        if done.returncode:
            if any(sign in done.stderr for sign in OFFLINE):
                return f"the packages of js-libp2p cannot be fetched: {done.stderr.strip()[:200]}"
            pytest.fail(f"npm ci failed: {done.stderr[-1000:]}")
        try:
            os.rename(scratch, place)
        except OSError:
            assert _packages().is_dir()  # another run was first
        Path(scratch).mkdir(exist_ok=True)  # for the context manager to remove
    return True


class Script:
    """A running node.mjs. `heard` holds all that it has told."""

    def __init__(self, process: trio.Process) -> None:
        self.heard: list[Event] = []
        self._process = process
        self._news = trio.Event()
        self._ended = False

    async def tell(self, command: str, argument: object) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps({command: argument}).encode() + b"\n")

    async def until(self, event: str, wanted: Callable[[Event], bool] = lambda _: True, seconds: float = 30) -> Event:
        """The first such event, of those that came before too. Fails at the deadline, or when the process ends."""
        with trio.move_on_after(seconds):
            while True:
                news = self._news
                for told in self.heard:
                    if told["event"] == event and wanted(told):
                        return told
                assert not self._ended, f"the JavaScript node has ended; it told {self.heard[-10:]}"
                await news.wait()
        raise AssertionError(f"no {event} within {seconds} s; it told {self.heard[-10:]}")

    async def read(self) -> None:
        """Take in its output until it ends."""
        assert self._process.stdout is not None
        held = b""
        async for chunk in self._process.stdout:
            *lines, held = (held + chunk).split(b"\n")
            self.heard += [json.loads(line) for line in lines]
            self._wake()
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


@asynccontextmanager
async def js_node(folder: Path, *, swarm: str = "test", seed: bytes, **options: object) -> AsyncIterator[Script]:
    """A JavaScript node with that Ed25519 seed, which listens on loopback; killed at the end of the block."""
    argument = json.dumps({"swarm": swarm, "seed": seed.hex(), **options})
    process = await trio.lowlevel.open_process(
        ["node", "node.mjs", argument], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    script = Script(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(script.read)
            await script.until("listening")
            yield script
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                await pipe.aclose()
