"""A node's trials: runs them, and remembers the finished ones so that none is run twice.

A value under a `flops` or `tokens` budget is the same each time on one machine, and a trial that took minutes should
not be lost because the node was killed during the next one. The store is local and private; what is published is the
experiment's record.
"""

import dataclasses
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import trio

from trainer.device import Device
from trainer.recipe import Recipe, materialise, program_sha256
from trainer.task import Task
from trainer.trial import Progress, Trial, run_trial

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


class Trials:
    """Runs trials of one task on this device; a context manager.

    data: the prepared data folder, None where the task has none.
    """

    def __init__(self, task: Task, device: Device, *, store: Path, workspaces: Path, data: Path | None) -> None:
        self.task = task
        self._device = device
        self._workspaces = workspaces
        self._data = data
        self._store = sqlite3.connect(store, timeout=10, isolation_level=None)
        self._store.execute("PRAGMA journal_mode = WAL")
        self._store.executescript(SCHEMA)

    def known(self, recipe: Recipe, seed: int) -> Trial | None:
        """The finished trial of that recipe and seed, if there was one here."""
        row = self._store.execute(
            "SELECT trial FROM trials WHERE task = ? AND program = ? AND seed = ? AND device = ?",
            self._key(recipe, seed),
        ).fetchone()
        return Trial(**json.loads(row[0])) if row else None

    async def run(self, recipe: Recipe, seed: int, on_progress: Callable[[Progress], None] | None = None) -> Trial:
        """Run one trial, or recall it. Only trials with a value are remembered: a crash may have had another cause."""
        known = self.known(recipe, seed)
        if known is not None:
            await trio.lowlevel.checkpoint()
            return known
        trial = await run_trial(
            self.task,
            materialise(self.task, recipe),
            seed,
            workspace=self._workspaces,
            data=self._data,
            on_progress=on_progress,
        )
        if trial.status == "ok":
            self._store.execute(
                "INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?)",
                (*self._key(recipe, seed), json.dumps(dataclasses.asdict(trial))),
            )
        return trial

    def _key(self, recipe: Recipe, seed: int) -> tuple[bytes, bytes, int, str]:
        program = program_sha256(materialise(self.task, recipe))
        return self.task.fingerprint, program, seed, f"{self._device.name}, torch {self._device.torch}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()
