"""A warm worker: its trials are like those from nothing, know nothing of each other, and leave nothing running."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import trio

from tests.trainer.test_sandbox import DAEMON, _marked, _wait_until
from tests.trainer.toys import toy_task
from trainer.bubblewrap import Bubblewrap, find_bubblewrap
from trainer.preload import modules_of, sets_environment
from trainer.sandbox import Sandbox
from trainer.task import Task, load_task
from trainer.trial import Trial, run_trial
from trainer.worker import Worker, open_worker, pays

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox(find_bubblewrap())


async def run(task: Task, seed: int, tmp_path: Path, sandbox: Sandbox, worker: Worker | None) -> Trial:
    with trio.fail_after(60):
        trial = await run_trial(
            task, task.files, seed, workspace=tmp_path / "w", data=None, sandbox=sandbox, worker=worker
        )
    if worker is not None:
        assert worker.cold_because == ""
    return trial


# what a program can see of how it was started, but for what is new in each: the interpreter's addresses and times
PROGRAM = """
    import json, os, random, resource, signal, sys
    import fixed.numbers
    random.seed(int(os.environ["ARNODE_SEED"]))
    limits = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT")]
    seen = [
        *sorted(os.environ.items()), sys.argv, sys.path, sys.flags, __file__, __name__, os.getcwd(), os.getpid(),
        [resource.getrlimit(limit) for limit in limits], sorted(os.listdir("/")), sorted(os.listdir("/dev")),
        sorted(os.listdir(".")), os.listdir("/dev/shm"), sorted(os.listdir("/tmp")), os.listdir("/proc/self/fd"),
        [str(signal.getsignal(number)) for number in (2, 13, 15, 17, 25)], list({"a", "b", "c", "d"}),
        sys.modules["__main__"].__dict__ is globals(), "trainer" in sys.modules, [os.statvfs(p).f_blocks for p in (
            "/tmp", "/job", "/dev/shm")], os.getuid() > 0, random.random(), sys.stdout.encoding,
    ]
    for part in seen:
        print(part)
    print("---")
    print("score:", repr(random.random() * fixed.numbers.FACTOR))
"""


async def test_a_trial_sees_the_same_as_one_started_from_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    task = toy_task(PROGRAM, fixed={"fixed/numbers.py": "FACTOR = 7.0\n"})
    async with open_worker(task, sandbox, None) as worker:
        warm = await run(task, 5, tmp_path, sandbox, worker)
        cold = await run(task, 5, tmp_path, sandbox, None)
        assert warm.status == "ok", warm
        assert warm.log_tail.splitlines() == cold.log_tail.splitlines()
        assert repr(warm.value) == repr(cold.value)


ENDINGS = (
    "def f(): raise ValueError('a bug')\nf()",
    "1 +",
    "import sys; sys.exit('bye')",
    "import os; os.kill(os.getpid(), 11)",
    "import os; os._exit(7)",
    "held = bytearray(4 << 30)",
    "open('big', 'wb').write(bytes(300 << 20))",
    "for n in range(3): open(f'big{n}', 'wb').write(bytes(90 << 20))",
    "import atexit; atexit.register(print, 'last'); print('---\\nscore: 1')",
)


async def test_every_way_to_end_is_told_as_for_a_trial_from_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    async with open_worker(toy_task(""), sandbox, None) as worker:
        for program in ENDINGS:
            task = toy_task(program, disk_mb=200)
            warm = await run(task, 1, tmp_path, sandbox, worker)
            cold = await run(task, 1, tmp_path, sandbox, None)
            assert (warm.status, warm.reason, warm.log_tail) == (cold.status, cold.reason, cold.log_tail)


async def test_limits_end_a_trial_and_the_next_one_runs(tmp_path: Path, sandbox: Sandbox) -> None:
    endless = "import time; print('x', flush=True); time.sleep(60)"
    children = """
        import os, time
        for _ in range(15):
            if os.fork() == 0:
                break
        held = bytearray(b"x" * (60 << 20))
        time.sleep(30)
    """
    async with open_worker(toy_task(""), sandbox, None) as worker:
        for program, limits, status in (
            (endless, {"wall_seconds": 0.5}, "timeout"),
            ("while True: print('x' * 1000)", {}, "output"),
            (children, {"memory_mb": 400}, "oom"),
            ("print('---'); print('score: 1')", {}, "ok"),
        ):
            trial = await run(toy_task(program, **limits), 1, tmp_path, sandbox, worker)
            assert trial.status == status, trial


TRACES = """
    import builtins, json, os, sys, time
    from pathlib import Path
    places = [Path("trace"), Path("/tmp/trace"), Path("/dev/shm/trace")]
    found = sum(place.exists() for place in places) + hasattr(json, "trace") + ("TRACE" in os.environ)
    others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) > 2]
    def leave():
        for place in places:
            place.write_text("left")
        json.trace = os.environ["TRACE"] = "left"
    leave()
    try:
        Path("train.py").write_text("changed")
        found += 100
    except OSError:
        pass
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
    Path("/tmp/ready").touch()
    print("---\\nscore:", found + 1000 * len(others))
"""


async def test_trials_find_nothing_of_each_other_one_after_the_other_or_at_once(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    task = toy_task(TRACES)
    trials: list[Trial] = []

    async def one() -> None:
        trials.append(await run(task, 1, tmp_path, sandbox, worker))

    async with open_worker(task, sandbox, None) as worker:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one)
                nursery.start_soon(one)
    assert [(trial.status, trial.value) for trial in trials] == [("ok", 0.0)] * 4


async def test_a_trial_that_is_cancelled_or_leaves_a_daemon_leaves_nothing_running(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    mark = f"arnode-warm-{os.getpid()}"
    async with open_worker(toy_task(""), sandbox, None) as worker:
        trial = await run(toy_task(DAEMON.format(mark=mark, seconds=0.3)), 1, tmp_path, sandbox, worker)
        assert trial.status == "ok"
        assert _marked(mark) == []
        async with trio.open_nursery() as nursery:
            endless = toy_task(DAEMON.format(mark=mark, seconds=60))
            nursery.start_soon(run, endless, 1, tmp_path, sandbox, worker)
            await trio.to_thread.run_sync(_wait_until, 1, mark)
            nursery.cancel_scope.cancel()
        assert _marked(mark) == []


async def test_a_worker_that_was_killed_or_was_idle_is_started_again(tmp_path: Path, sandbox: Sandbox) -> None:
    task = toy_task("print('---'); print('score: 1')")
    async with open_worker(task, sandbox, None, idle_seconds=0.5) as worker:
        assert worker is not None
        assert (await run(task, 1, tmp_path, sandbox, worker)).status == "ok"
        first = worker.pid
        assert first is not None
        with trio.fail_after(15):  # it ends by itself
            while worker.pid is not None:  # noqa: ASYNC110
                await trio.sleep(0.02)
        assert (await run(task, 1, tmp_path, sandbox, worker)).status == "ok"
        second = worker.pid
        assert second not in (None, first)
        os.kill(second, signal.SIGKILL)
        assert (await run(task, 1, tmp_path, sandbox, worker)).status == "ok"
        last = worker.pid
        assert last not in (None, second)
    assert not psutil.pid_exists(last)


NODE = """
import trio
from pathlib import Path
from tests.trainer.toys import toy_task
from trainer.bubblewrap import find_bubblewrap
from trainer.sandbox import Sandbox
from trainer.trial import run_trial
from trainer.worker import open_worker

async def main():
    task = toy_task(Path({program!r}).read_text())
    sandbox = Sandbox(find_bubblewrap())
    async with open_worker(task, sandbox, None) as worker:
        await run_trial(
            task, task.files, 0, workspace=Path({workspace!r}), data=None, sandbox=sandbox, worker=worker
        )

trio.run(main)
"""


def test_worker_and_trial_die_with_the_node(tmp_path: Path) -> None:
    mark = f"arnode-warm-kill-{os.getpid()}"
    program = tmp_path / "program.py"
    program.write_text(DAEMON.format(mark=mark, seconds=60))
    source = NODE.format(program=str(program), workspace=str(tmp_path / "w"))
    node = subprocess.Popen([sys.executable, "-c", source], cwd=Path(__file__).parents[2])
    try:
        _wait_until(1, mark)
        family = psutil.Process(node.pid).children(recursive=True)
        assert any("trainer.warm" in " ".join(process.cmdline()) for process in family)
        node.kill()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
        _wait_until(0, mark)
    finally:
        node.kill()
        node.wait()


async def test_a_worker_that_leaks_is_found_out_and_trials_start_from_nothing(tmp_path: Path) -> None:
    class Leaky(Bubblewrap):
        def warm_command(self, command, **options):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN202
            words = super().warm_command(command, **options)
            words.remove("--unshare-net")
            return words

    found = find_bubblewrap()
    leaky = Sandbox(Leaky(found.bwrap, found.prlimit, found.setpriv))
    task = toy_task("print('---'); print('score: 1')")
    async with open_worker(task, leaky, None) as worker:
        assert worker is not None
        for _ in range(2):
            trial = await run_trial(task, task.files, 1, workspace=tmp_path, data=None, sandbox=leaky, worker=worker)
            assert trial.status == "ok"
            assert "connect abstract" in worker.cold_because


async def test_where_nothing_can_be_kept_warm_there_is_no_worker(sandbox: Sandbox) -> None:
    task = toy_task("")
    other = task.model_copy(update={"command": ("/bin/sh", "run.sh")})
    for one, walls, device in ((task, None, "cpu"), (task, sandbox, "cuda"), (other, sandbox, "cpu")):
        async with open_worker(one, walls, None, device=device) as worker:
            assert worker is None


def test_the_modules_are_those_that_the_program_imports_as_it_starts() -> None:
    files = {
        "train.py": "import json, torch.nn as nn\nfrom prepare import load\nfrom typing import TYPE_CHECKING\n"
        "try:\n    import fast\nexcept ImportError:\n    import slow\n"
        "if TYPE_CHECKING:\n    import only_types\ndef f():\n    import late\nclass C:\n    import inner\n"
        "if __name__ == '__main__':\n    import alone\n",
        "prepare.py": "import numpy\nimport train\n",
        "unused.py": "import never\n",
    }
    assert modules_of(files, "train.py") == ("json", "torch.nn", "typing", "fast", "slow", "numpy")
    assert modules_of({"train.py": "import json\n1 +"}, "train.py") == ()


def test_a_worker_pays_where_a_program_imports_more_than_comes_with_python() -> None:
    assert pays(load_task("story-cpu"))
    assert pays(toy_task("import json, numpy.linalg"))
    assert not pays(toy_task("import json, os.path"))
    assert not pays(toy_task("import numpy").model_copy(update={"command": ("/bin/sh", "run.sh")}))


@pytest.mark.parametrize(
    ("source", "sets"),
    [
        ("import os\nx = os.environ.get('A')\ny = os.environ['B']", False),
        ("import os\nos.environ['A'] = 'b'", True),
        ("import os\nif x:\n    os.environ.setdefault('A', 'b')", True),
        ("from os import environ\nenviron |= {}\nenviron.update(A='b')", True),
        ("import os\nos.putenv('A', 'b')", True),
        ("import os\ndef main():\n    os.environ['A'] = 'b'\nif __name__ == '__main__':\n    main()", False),
        ("import helper", True),
        ("{}.update(a=1)", False),
    ],
)
def test_a_program_that_sets_its_environment_first_is_seen(source: str, sets: bool) -> None:
    files = {"train.py": source, "helper.py": "import os\nos.environ['A'] = 'b'"}
    assert sets_environment(files, "train.py") == sets
