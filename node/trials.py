"""A node's trials: runs them, and remembers the finished ones so that none is run twice.

A value under a `flops` or `tokens` budget is the same each time on one machine, and a trial that took minutes should
not be lost because the node was killed during the next one. The store is local and private; what is published is the
experiment's record. A store that cannot be used stops no research: values wait in memory, and a damaged one is moved
aside.
"""

import dataclasses
import json
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import trio

from gossip.database import WAIT_SECONDS, failure_of, move_aside, words_for
from trainer.device import Device, require
from trainer.errors import SandboxError
from trainer.integrity import level
from trainer.recipe import Recipe, materialise, program_sha256
from trainer.sandbox import Sandbox, find_sandbox
from trainer.slots import WHOLE_MACHINE, Slot
from trainer.task import Task
from trainer.trial import Progress, Trial, run_trial
from trainer.worker import Worker

# task, program, seed, device
Key: TypeAlias = tuple[bytes, bytes, int, str]

ROOM_BYTES: Final = 64 * 1024 * 1024
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS trials (
    task BLOB NOT NULL,
    program BLOB NOT NULL,
    seed INTEGER NOT NULL,
    device TEXT NOT NULL,
    trial TEXT NOT NULL,
    PRIMARY KEY (task, program, seed, device)
);
"""


async def sandbox_or_none(note: Callable[[str], object]) -> Sandbox | None:
    """This machine's sandbox after its test, in a thread; None, with a note that says why, where there is none."""
    try:
        sandbox = await trio.to_thread.run_sync(find_sandbox)
    except SandboxError as error:
        note(f"No sandbox: {error}. Knob recipes run under limits only, and no edited code runs.")
        return None
    if sandbox.weaker_because:
        note(f"A weaker sandbox: {sandbox.weaker_because}. Peers' code is not run.")
    return sandbox


async def run_recipe(
    task: Task,
    recipe: Recipe,
    seed: int,
    *,
    workspace: Path,
    data: Path | None,
    sandbox: Sandbox | None,
    on_progress: Callable[[Progress], None] | None = None,
    worker: Worker | None = None,
    slot: Slot = WHOLE_MACHINE,
) -> Trial:
    """Run a recipe once, in the way that its integrity asks for: edited code is scored from outside where it can be.

    Raises:
        SandboxError: the recipe has edited code, and there is no sandbox to run it in.
        DeviceError: this machine has no device that the task is for.
    """
    files = materialise(task, recipe)
    if recipe.files and sandbox is None:
        raise SandboxError("edited code runs in a sandbox only, and there is none here; `arnode doctor` says why")
    device = await trio.to_thread.run_sync(require, task.name, task.devices)
    if sandbox is not None and not sandbox.holds(device.kind):
        if recipe.files:
            raise SandboxError(f"edited code runs in a sandbox only, and this one lets no {device.kind} in")
        sandbox = None  # knobs alone are changed: limits have to do
    if level(task, recipe) == "audited" and sandbox is not None:
        from trainer.audit import run_audited  # loads numpy, which a node that only relays does without

        return await run_audited(
            task,
            files,
            seed,
            workspace=workspace,
            data=data,
            sandbox=sandbox,
            device=device.kind,
            on_progress=on_progress,
            slot=slot,
        )
    return await run_trial(
        task,
        files,
        seed,
        workspace=workspace,
        data=data,
        device=device.kind,
        on_progress=on_progress,
        sandbox=sandbox,
        worker=worker if device.kind == "cpu" else None,
        slot=slot,
    )


class Trials:
    """Runs trials of one task on this device; a context manager.

    data: the prepared data folder, None where the task has none. trouble: hears what is wrong with the store, and why.
    sandbox: what programs are locked in; None to run them under limits only. peers_code: whether its person lets edited
    code of peers be run. worker: starts programs in less time, None to start each from nothing. slots: where trials
    run; side_by_side: how many at a time, further ones wait.
    """

    def __init__(
        self,
        task: Task,
        device: Device,
        *,
        store: Path,
        workspaces: Path,
        data: Path | None,
        trouble: Callable[[str, str], object],
        sandbox: Sandbox | None = None,
        peers_code: bool = False,
        worker: Worker | None = None,
        slots: Sequence[Slot] = (WHOLE_MACHINE,),
    ) -> None:
        self.task = task
        self._device = device
        self._workspaces = workspaces
        self._data = data
        self._path = store
        self._trouble = trouble
        self._sandbox = sandbox
        self._peers_code = peers_code
        self._worker = worker
        self._told_cold = ""
        self._free = list(slots)
        self._slots = trio.Semaphore(len(self._free))
        self.side_by_side = len(self._free)
        self.last_failure = ""
        """The end of what the last failed trial printed."""
        self._store: sqlite3.Connection | None = None
        self._unsaved: dict[Key, str] = {}
        self._told = False
        self._execute("SELECT 1")

    def accepts_code(self, *, own: bool) -> str | None:
        """Why edited code is not run here, this node's own or that of peers; None where it is."""
        if self._sandbox is None:
            return "there is no sandbox on this machine, and code is run nowhere else (`arnode doctor` tells more)"
        if not self._sandbox.holds(self._device.kind):
            return f"the sandbox lets no {self._device.kind} in, and code is run nowhere else"
        if not own and not self._peers_code:
            return "this node runs no code of peers, unless it is joined with --accept-code sandbox"
        if not own and not self._sandbox.fit_for_peers:
            return f"the sandbox here is too weak for code of peers: {self._sandbox.weaker_because}"
        return None

    def known(self, recipe: Recipe, seed: int) -> Trial | None:
        """The finished trial of that recipe and seed, if there was one here."""
        key = self._key(recipe, seed)
        if key in self._unsaved:
            return Trial(**json.loads(self._unsaved[key]))
        rows = self._execute("SELECT trial FROM trials WHERE task = ? AND program = ? AND seed = ? AND device = ?", key)
        return Trial(**json.loads(rows[0][0])) if rows else None

    async def run(self, recipe: Recipe, seed: int, on_progress: Callable[[Progress], None] | None = None) -> Trial:
        """Run one trial, or recall it. Only trials with a value are remembered: a crash may have had another cause.

        Whose code it is the caller has to know, see `accepts_code`. Raises SandboxError as `run_recipe` does.
        """
        known = self.known(recipe, seed)
        if known is not None:
            await trio.lowlevel.checkpoint()
            return known
        async with self._slot() as slot:
            trial = await run_recipe(
                self.task,
                recipe,
                seed,
                workspace=self._workspace(),
                data=self._data,
                on_progress=on_progress,
                sandbox=self._sandbox,
                worker=self._worker,
                slot=slot,
            )
        if self._worker is not None and self._worker.cold_because not in ("", self._told_cold):
            self._told_cold = self._worker.cold_because
            self._trouble("trials", f"they start slower, each from nothing: {self._told_cold}")
        if trial.status != "ok":
            self.last_failure = trial.log_tail
        else:
            self._unsaved[self._key(recipe, seed)] = json.dumps(dataclasses.asdict(trial))
            self._save()
        return trial

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[Slot]:
        async with self._slots:
            slot = self._free.pop()
            try:
                yield slot
            finally:
                self._free.append(slot)

    def _save(self) -> None:
        for key, text in list(self._unsaved.items()):
            if self._execute("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?)", (*key, text)) is None:
                return
            del self._unsaved[key]
        self._told = False

    def _execute(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]] | None:
        """The rows, or None while the store cannot be used."""
        try:
            if self._store is None:
                self._store = sqlite3.connect(self._path, timeout=WAIT_SECONDS, isolation_level=None)
                self._store.execute("PRAGMA journal_mode = WAL")
                self._store.executescript(SCHEMA)
            rows = self._store.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._close()
            if failure_of(error) == "damaged":
                aside = move_aside(self._path)
                self._trouble(
                    "trials", f"{self._path} was moved to {aside}, since {words_for(error)}; a new one is begun"
                )
            elif not self._told:
                self._told = True
                self._trouble("trials", f"cannot use {self._path}: {words_for(error)}. Finished trials wait in memory")
            return None
        return rows

    def _workspace(self) -> Path:
        """Where trials run: the system's temporary folder while there is next to no room in the node's own."""
        elsewhere = Path(tempfile.gettempdir())
        if shutil.disk_usage(self._path.parent).free >= ROOM_BYTES or shutil.disk_usage(elsewhere).free < ROOM_BYTES:
            return self._workspaces
        return elsewhere / f"arnode-{self._path.parent.name}"

    def _key(self, recipe: Recipe, seed: int) -> Key:
        program = program_sha256(materialise(self.task, recipe))
        return self.task.fingerprint, program, seed, f"{self._device.name}, torch {self._device.torch}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
