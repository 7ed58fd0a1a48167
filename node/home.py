"""The state folder: where a node keeps its identity, log, trials and lock.

Prepared data is not state: it is the same for every node and lives in the user's cache folder.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout


class HomeError(Exception):
    """The state folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Home:
    """The paths inside one state folder."""

    folder: Path

    @property
    def identity(self) -> Path:
        return self.folder / "identity.pem"

    @property
    def log(self) -> Path:
        return self.folder / "log.sqlite"

    @property
    def own(self) -> Path:
        """The node's own records once more, as text."""
        return self.folder / "own.jsonl"

    @property
    def trials(self) -> Path:
        return self.folder / "trials.sqlite"

    @property
    def spending(self) -> Path:
        """What language models were paid, or used (node/llm/spending.py)."""
        return self.folder / "spending.sqlite"

    @property
    def experiment(self) -> Path:
        """The experiment that is running, so that a killed node goes on with it."""
        return self.folder / "experiment.json"

    @property
    def proposals(self) -> Path:
        """A person's own ideas that wait to be tested (node/propose.py)."""
        return self.folder / "proposals"

    @property
    def task(self) -> Path:
        """The reference of the task that a node here last worked on; commands that read the log default to it."""
        return self.folder / "task"

    @property
    def config(self) -> Path:
        """What a person set for good (node/config.py)."""
        return self.folder / "config.toml"

    @property
    def running(self) -> Path:
        """What the running node tells other commands (node/running.py)."""
        return self.folder / "running.json"

    def book(self, swarm: str) -> Path:
        """The addresses of that swarm's peers."""
        return self.folder / f"peers-{swarm}.json"

    @property
    def membership(self) -> Path:
        """The swarm that this folder belongs to, with the key of a private one (node/membership.py)."""
        return self.folder / "swarm.json"

    @property
    def workspaces(self) -> Path:
        return self.folder / "workspaces"


def default_folder() -> Path:
    """The platform's state folder of this user."""
    return platformdirs.user_state_path("arnode")


def data_cache() -> Path:
    """Where prepared data is kept, shared by all nodes of this user."""
    return platformdirs.user_cache_path("arnode") / "data"


def locate_home(folder: Path | None) -> Home:
    """The state folder as it is, there or not."""
    return Home((folder or default_folder()).expanduser().absolute())


def open_home(folder: Path | None) -> Home:
    """The state folder, made with mode 0700 if it is not there. Raises HomeError."""
    home = locate_home(folder)
    path = home.folder
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise HomeError(
            f"cannot use {path} as the state folder ({error.strerror}): choose another with --home"
        ) from error
    return home


@contextmanager
def only_node(home: Home) -> Iterator[None]:
    """Hold the state folder for one running node. Raises HomeError when another node runs with it.

    The operating system gives the lock back however the process ends.
    """
    lock = FileLock(home.folder / "lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise HomeError(
            f"a node is already running with {home.folder}: stop it, or give this one a folder of its own with --home"
        ) from error
    except OSError as error:
        raise HomeError(f"cannot lock {home.folder}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def remember_task(home: Home, reference: str) -> None:
    """Keep the task's reference (a built-in name or an absolute path) for later commands; whole or not at all.

    Raises HomeError.
    """
    try:
        if home.task.exists() and home.task.read_text(encoding="utf-8") == reference:
            return
        temporary = home.task.with_suffix(".new")
        temporary.write_text(reference, encoding="utf-8")
        os.replace(temporary, home.task)
    except OSError as error:
        raise HomeError(
            f"cannot write in {home.folder} ({error.strerror}): make room, or choose another --home"
        ) from error
