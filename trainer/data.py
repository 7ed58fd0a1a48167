"""A task's data: made once from its fixed files, checked against the task's hash, and shared by all trials."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import msgpack
import trio
from filelock import FileLock, Timeout

from trainer.errors import DataError
from trainer.output import Output, clean
from trainer.process import environment, fresh_folder, run_limited
from trainer.task import Data, Task

_LOCK_POLL_SECONDS = 0.1
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_NETWORK = (*_PROXIES, *map(str.upper, _PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR", "HF_ENDPOINT")


def data_key(task: Task) -> str | None:
    """What decides a task's data, as a folder name: a hash of the fixed files and the data section."""
    if task.data is None:
        return None
    decides = ["arnode data 1", sorted(task.fixed.items()), list(task.data.command), task.data.sha256]
    return hashlib.sha256(msgpack.packb(decides)).hexdigest()[:32]


async def prepare_data(task: Task, cache: Path, on_note: Callable[[str], None] | None = None) -> Path | None:
    """The folder with the task's data, made first if it is not in the cache; None if the task has none.

    Only one process makes it; others wait for that one. The data appears under its final name complete
    and checked, or not at all. `on_note` is told, in a sentence, when something takes time.

    Raises:
        DataError: the data command failed, or made other data than the task names.
    """
    key = data_key(task)
    if task.data is None or key is None:
        return None
    ready = cache / key
    if ready.is_dir():
        return ready
    note = on_note or (lambda _: None)
    lock = _lock(cache, key)
    await _acquire(lock, lambda: note(f"waiting for another process that prepares the data of {task.name}"))
    try:
        if not ready.is_dir():
            note(f"preparing the data of {task.name}, once on this machine")
            await _make(task, task.data, cache, ready, note)
    finally:
        lock.release()
    return ready


def without(data: Path, hidden: Collection[str]) -> Path:
    """A folder beside `data` with all its files but the hidden ones, as hard links; made once.

    hidden: names below `data`; a name that is not there hides nothing.
    """
    data = data.resolve()
    kept = [path.relative_to(data) for path in sorted(data.rglob("*")) if path.is_file()]
    kept = [path for path in kept if path.as_posix() not in hidden]
    digest = hashlib.sha256(msgpack.packb([path.as_posix() for path in kept])).hexdigest()[:8]
    ready = data.with_name(f"{data.name}-without-{digest}")
    if not ready.is_dir():
        made = Path(tempfile.mkdtemp(prefix="run-", dir=data.parent))
        for path in kept:
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(data / path, made / path)
        made.chmod(0o755)
        try:
            made.rename(ready)
        except OSError:
            # another process was faster
            shutil.rmtree(made)
            if not ready.is_dir():
                raise
    return ready


async def _acquire(lock: FileLock, on_wait: Callable[[], None]) -> None:
    waiting = False
    while True:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not waiting:
                waiting = True
                on_wait()
            await trio.sleep(_LOCK_POLL_SECONDS)
        else:
            return


async def _make(task: Task, data: Data, cache: Path, ready: Path, note: Callable[[str], None]) -> None:
    output = Output()

    def on_line(line: str, error: bool) -> None:
        if line.startswith("note: ") and not error:
            note(clean(line.removeprefix("note: ")))
        else:
            output.take(line, error=error)

    # Editable files are not there, so data cannot come to depend on what a recipe changes.
    with fresh_folder(cache, task.fixed) as folder, fresh_folder(cache, {}) as made:
        ended = await run_limited(
            data.command,
            folder=folder,
            environment=environment(folder, threads=1) | _downloading(cache) | {"ARNODE_DATA": str(made)},
            limits=task.limits,
            wall_seconds=data.wall_seconds,
            on_line=on_line,
        )
        if ended.stopped is not None:
            raise DataError(f"preparing the data of {task.name} was stopped: it {ended.stopped[1]}")
        if ended.exit_code != 0:
            last = output.errors[-1] if output.errors else "nothing on standard error"
            raise DataError(f"preparing the data of {task.name} failed with exit code {ended.exit_code}: {last}")
        printed = output.summary.get("data_sha256", "nothing")
        if data.sha256 is not None and printed != data.sha256:
            raise DataError(
                f"the data of {task.name} is not what its task file names: data_sha256 is {printed}, expected "
                f"{data.sha256}; values from other data do not compare, so nothing was kept"
            )
        _publish(made, ready)


def _downloading(cache: Path) -> dict[str, str]:
    """This machine's way to the network, and a folder that stays when the rest fails, so that downloads continue."""
    way = {name: os.environ[name] for name in _NETWORK if name in os.environ}
    return way | {"ARNODE_DOWNLOADS": str(cache.resolve() / "downloads")}


def _publish(made: Path, ready: Path) -> None:
    """Give the complete data its final name, in one step."""
    for path in made.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    made.chmod(0o755)
    made.rename(ready)


def _lock(cache: Path, key: str) -> FileLock:
    cache.mkdir(parents=True, exist_ok=True)
    return FileLock(cache / f"{key}.lock")
