import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.trainer.toys import toy_task
from trainer.data import data_key, prepare_data, without
from trainer.errors import DataError
from trainer.task import Data, Task
from trainer.trial import run_trial

SHA256 = hashlib.sha256(b"abc").hexdigest()

# Makes one file, and appends a line to a log outside so that a test can count the runs.
PREPARE = """
import hashlib, os, pathlib, time
assert not os.path.exists("train.py"), "the data must not depend on editable files"
folder = pathlib.Path(os.environ["ARNODE_DATA"])
assert not list(folder.iterdir())
time.sleep({pause})
(folder / "text.bin").write_bytes(b"abc")
with open({log!r}, "a") as log:
    log.write("made\\n")
print("---")
print("data_sha256:", hashlib.sha256(b"abc").hexdigest())
"""


def data_task(log: Path, *, pause: float = 0.0, prepare: str = PREPARE, sha256: str | None = SHA256) -> Task:
    return toy_task(
        "import os\ntext = open(os.environ['ARNODE_DATA'] + '/text.bin').read()\nprint('---\\nscore:', len(text))\n",
        fixed={"prepare.py": prepare.format(pause=pause, log=str(log))},
        data=Data(command=("{python}", "prepare.py"), sha256=sha256),
    )


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


async def test_data_is_made_once_and_trials_read_it(tmp_path: Path) -> None:
    log, cache, notes = tmp_path / "log", tmp_path / "cache", list[str]()
    task = data_task(log)
    data = await prepare_data(task, cache, notes.append)
    assert await prepare_data(task, cache, notes.append) == data
    assert data == cache / str(data_key(task))
    assert left_in(cache) == [data.name]
    assert log.read_text() == "made\n"
    assert notes == ["preparing the data of toy, once on this machine"]
    trial = await run_trial(task, task.files, 0, workspace=tmp_path / "workspace", data=data)
    assert (trial.status, trial.value) == ("ok", 3.0)


async def test_downloads_stay_when_the_rest_fails_and_notes_are_passed_on(tmp_path: Path) -> None:
    prepare = """
import os, pathlib, sys
folder = pathlib.Path(os.environ["ARNODE_DOWNLOADS"])
folder.mkdir(exist_ok=True)
part = folder / "part"
if not part.exists():
    part.write_text("half")
    print("note: downloading", flush=True)
    sys.exit("the network is gone")
print("---")
print("data_sha256:", part.read_text())
"""
    task, cache, notes = data_task(tmp_path / "log", prepare=prepare, sha256=None), tmp_path / "cache", list[str]()
    with pytest.raises(DataError, match="the network is gone"):
        await prepare_data(task, cache, notes.append)
    assert notes == ["preparing the data of toy, once on this machine", "downloading"]
    assert await prepare_data(task, cache) is not None


async def test_a_task_without_data_needs_none(tmp_path: Path) -> None:
    assert await prepare_data(toy_task(), tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()


async def test_other_data_than_the_task_names_is_refused_and_not_kept(tmp_path: Path) -> None:
    task = data_task(tmp_path / "log", sha256="0" * 64)
    with pytest.raises(DataError, match=f"data_sha256 is {SHA256}, expected 0000"):
        await prepare_data(task, tmp_path / "cache")
    assert left_in(tmp_path / "cache") == []


@pytest.mark.parametrize(
    ("prepare", "message"),
    [("raise ValueError('no disk')", "exit code 1: ValueError: no disk"), ("print('done')", "data_sha256 is nothing"),
     ("while True: print('x' * 1000)", "was stopped: it printed more than")],
)  # fmt: skip
async def test_a_failed_preparation_says_why_and_leaves_nothing(tmp_path: Path, prepare: str, message: str) -> None:
    task = data_task(tmp_path / "log", prepare=prepare)
    with pytest.raises(DataError, match=message):
        await prepare_data(task, tmp_path / "cache")
    assert left_in(tmp_path / "cache") == []


async def test_a_cancelled_preparation_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    log, cache = tmp_path / "log", tmp_path / "cache"
    with trio.move_on_after(0.3) as scope:
        await prepare_data(data_task(log, pause=60), cache)
    assert scope.cancelled_caught
    assert left_in(cache) == []
    assert not log.exists()
    assert await prepare_data(data_task(log), cache) is not None


def test_the_key_follows_what_decides_the_data(tmp_path: Path) -> None:
    task = data_task(tmp_path / "log")
    edited = task.model_copy(update={"files": task.files | {"train.py": "x = 1\n"}})
    fixed = task.model_copy(update={"files": task.files | {"prepare.py": "x = 1\n"}})
    assert data_key(edited) == data_key(task) != data_key(fixed)


def test_two_processes_at_once_make_it_once(tmp_path: Path) -> None:
    log, cache = tmp_path / "log", tmp_path / "cache"
    source = f"""
import trio
from pathlib import Path
from tests.trainer.test_data import data_task
from trainer.data import prepare_data
print(trio.run(prepare_data, data_task(Path({str(log)!r}), pause=0.5), Path({str(cache)!r})))
"""
    command = [sys.executable, "-c", source]
    processes = [
        subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=30)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert said[0] == said[1]
    assert Path(said[0]).is_dir()
    assert log.read_text() == "made\n"


async def test_a_node_that_waits_for_another_says_so(tmp_path: Path) -> None:
    log, cache, notes = tmp_path / "log", tmp_path / "cache", list[str]()
    task = data_task(log, pause=0.3)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(prepare_data, task, cache, notes.append)
    assert sorted(notes) == [
        "preparing the data of toy, once on this machine",
        "waiting for another process that prepares the data of toy",
    ]


def test_data_without_some_files_is_the_same_files_made_once(tmp_path: Path) -> None:
    data = tmp_path / "cache" / "data"
    (data / "more").mkdir(parents=True)
    for name in ("train", "val", "more/val", "more/train"):
        (data / name).write_text(name)
    shown = without(data, {"val", "more/val", "absent"})
    assert sorted(path.relative_to(shown).as_posix() for path in shown.rglob("*") if path.is_file()) == [
        "more/train",
        "train",
    ]
    assert (shown / "train").samefile(data / "train"), "no copy, which could be large"
    assert shown.parent == data.parent
    assert without(data, {"more/val", "val"}) == shown
    assert without(data, {"val"}) != shown
    assert len(list(data.parent.iterdir())) == 3, "nothing half made is left"
