"""The sandbox under real attack: what each attack achieves without it, that none achieves anything in it, and that
programs which mean well do not notice it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import psutil
import pytest
import trio

from tests.trainer.toys import toy_task
from trainer import bubblewrap
from trainer.attacks import ATTACKS
from trainer.bubblewrap import Bubblewrap, find_bubblewrap, graphics_cards, interpreter_folders
from trainer.errors import SandboxError
from trainer.landlock import OLDEST_ABI, Landlock, abi
from trainer.sandbox import Sandbox, attack, find_sandbox
from trainer.task import Task
from trainer.trial import Trial, run_trial

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

# these would change the machine, or need rights that a tester may not have, where nothing stops them
ONLY_LOCKED_IN = {
    "write_to_the_system",
    "open_vsock",
    "trace_parent",
    "new_user_namespace",
    "new_mount_namespace",
    "mount_something",
    "change_root",
    "become_root",
    "io_uring",
    "bpf",
    "perf",
    "userfaultfd",
    "type_into_the_terminal",
    "fork_bomb",
    "allocate",
    "fill_shared_memory",
    "fill_temporary_folder",
    "read_memory_of_others",
}


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return find_sandbox()


@pytest.fixture(scope="module")
def achieved(sandbox: Sandbox) -> dict[str, str]:
    return attack(sandbox)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_from_inside_achieves_nothing(achieved: dict[str, str], name: str) -> None:
    assert achieved[name] == ""


def test_the_same_attacks_succeed_outside_of_it() -> None:
    tried = [name for name in ATTACKS if name not in ONLY_LOCKED_IN]
    achieved = attack(None, tried)
    assert [name for name in tried if not achieved[name]] == []


def test_a_sandbox_that_leaks_is_found_out() -> None:
    class Leaky(Bubblewrap):
        def command(self, command, **options):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN202
            words = super().command(command, **options)
            words.remove("--unshare-net")
            return words

    found = find_bubblewrap()
    leaky = Sandbox(Leaky(found.bwrap, found.prlimit, found.setpriv))
    # the network is shared, yet the filter still refuses the family of sockets: two walls, one behind the other
    assert attack(leaky, ["connect_tcp"]) == {"connect_tcp": ""}
    assert attack(leaky, ["connect_abstract"])["connect_abstract"]


def test_an_old_or_missing_bubblewrap_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="apt install bubblewrap util-linux"):
        find_bubblewrap()
    for name in ("bwrap", "prlimit", "setpriv"):
        (tmp_path / name).write_text("#!/bin/sh\necho bubblewrap 0.6.1\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(SandboxError, match=r"bubblewrap 0\.6\.1 is too old"):
        find_bubblewrap()


def test_the_cards_of_a_listing_are_those_that_cuda_needs_and_none_is_let_in_unasked(sandbox: Sandbox) -> None:
    devices = ["nvidia0", "nvidia11", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-caps", "sda", "kvm", "mem"]
    assert graphics_cards(devices) == ("nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidia11", "nvidiactl")
    assert not sandbox.holds("cuda")
    options = {"files": {}, "data": None, "environment": {}, "disk_mb": 1, "tasks": 1, "filter_fd": 9}
    without = find_bubblewrap().command(["x"], **options)
    assert "--dev-bind" not in without
    words = find_bubblewrap().command(["x"], **options, cards=("nvidia0",))
    added = ["--dev-bind", "/dev/nvidia0", "/dev/nvidia0", "--ro-bind", "/sys", "/sys"]
    start = words.index("--dev-bind")
    assert words[start : start + 6] == added
    before_the_uid = without.index("--seccomp")
    assert (words[:start] + words[start + 6 :])[:before_the_uid] == without[:before_the_uid]


def test_the_interpreter_and_its_packages_are_found_once_each() -> None:
    folders = interpreter_folders()
    everywhere = [*folders, "/usr"]
    assert any(os.path.realpath(sys.executable).startswith(folder) for folder in everywhere)
    assert not any(a != b and a.startswith(b + os.sep) for a in folders for b in folders)


async def run(task: Task, workspace: Path, sandbox: Sandbox | None, data: Path | None = None) -> Trial:
    with trio.fail_after(60):
        return await run_trial(task, task.files, 5, workspace=workspace, data=data, sandbox=sandbox)


async def test_a_trial_has_the_same_value_inside_and_outside(tmp_path: Path, sandbox: Sandbox) -> None:
    program = """
        import os, random
        from pathlib import Path
        import fixed.numbers
        random.seed(int(os.environ["ARNODE_SEED"]))
        scale = float(Path(os.environ["ARNODE_DATA"], "scale").read_text())
        Path("scratch").write_text("may be written")
        Path(os.environ["TMPDIR"], "more").write_text("may be written")
        print("---")
        print("score:", repr(random.random() * scale * fixed.numbers.FACTOR))
    """
    data = tmp_path / "data"
    data.mkdir()
    (data / "scale").write_text("3.0")
    task = toy_task(program, fixed={"fixed/numbers.py": "FACTOR = 7.0\n"})
    inside = await run(task, tmp_path / "w", sandbox, data)
    outside = await run(task, tmp_path / "w", None, data)
    assert inside.status == outside.status == "ok", (inside, outside)
    assert inside.value == outside.value


async def test_a_program_cannot_change_its_own_files_or_the_data(tmp_path: Path, sandbox: Sandbox) -> None:
    program = """
        import os
        from pathlib import Path
        data = Path(os.environ["ARNODE_DATA"])
        for path in (Path("train.py"), data / "scale", data / "new"):
            try:
                path.write_text("changed")
            except OSError:
                continue
            print("changed", path)
        print("---\\nscore: 1")
    """
    data = tmp_path / "data"
    data.mkdir()
    (data / "scale").write_text("3.0")
    trial = await run(toy_task(program), tmp_path / "w", sandbox, data)
    assert trial.status == "ok"
    assert "changed" not in trial.log_tail


async def test_arnodes_own_package_is_empty_inside(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # installed like any other package, which in tests it is not: another one stands in for it
    monkeypatch.setattr(bubblewrap, "PACKAGE", Path(filelock.__file__).parent)
    program = """
        import os
        import msgpack, filelock
        print("---\\nscore:", len(os.listdir(filelock.__path__[0])) if msgpack.version else None)
    """
    trial = await run(toy_task(program), tmp_path / "w", sandbox)
    assert (trial.status, trial.value) == ("ok", 0.0), trial


@pytest.mark.parametrize(
    ("program", "status", "reason"),
    [
        ("raise ValueError('a bug')", "crash", "ValueError: a bug"),
        ("import time; time.sleep(60)", "timeout", "ran longer than 3 s"),
        ("while True: print('x' * 1000)", "output", "printed more than"),
        ("held = bytearray(4 << 30)", "oom", "MemoryError"),
        ("import os; os.kill(os.getpid(), 11)", "crash", "Segmentation fault"),
        ("open('big', 'wb').write(bytes(300 << 20))", "crash", "File too large"),
        ("for n in range(3): open(f'big{n}', 'wb').write(bytes(90 << 20))", "crash", "No space left on device"),
        ("import math; print('---'); print('score: nan')", "nan", "score is nan"),
    ],
)
async def test_the_ways_to_fail_are_told_apart(
    tmp_path: Path, sandbox: Sandbox, program: str, status: str, reason: str
) -> None:
    task = toy_task(program, wall_seconds=3, disk_mb=200)
    trial = await run(task, tmp_path / "w", sandbox)
    assert trial.status == status, trial
    assert reason in trial.reason


async def test_children_that_together_take_too_much_memory_are_ended(tmp_path: Path, sandbox: Sandbox) -> None:
    program = """
        import os, time
        for _ in range(15):
            if os.fork() == 0:
                break
        held = bytearray(b"x" * (60 << 20))
        time.sleep(30)
    """
    trial = await run(toy_task(program, memory_mb=400), tmp_path / "w", sandbox)
    assert (trial.status, trial.reason) == ("oom", "used more than 400 MB of memory")


DAEMON = """
    import os, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(100)", "{mark}"])
    time.sleep({seconds})
    print("---\\nscore: 1")
"""


def _marked(mark: str) -> list[psutil.Process]:
    """Processes that carry the mark as an argument of their own, launchers excepted."""
    everything = psutil.process_iter(["cmdline", "status"])
    running = [process for process in everything if process.info["status"] != psutil.STATUS_ZOMBIE]
    return [process for process in running if (process.info["cmdline"] or [""])[-1] == mark]


def _wait_until(count: int, mark: str) -> None:
    deadline = time.monotonic() + 60
    while len(_marked(mark)) != count:
        assert time.monotonic() < deadline, _marked(mark)
        time.sleep(0.02)


async def test_a_daemon_does_not_outlive_the_program(tmp_path: Path, sandbox: Sandbox) -> None:
    mark = f"arnode-daemon-{os.getpid()}"
    trial = await run(toy_task(DAEMON.format(mark=mark, seconds=0.3)), tmp_path / "w", sandbox)
    assert trial.status == "ok"
    assert _marked(mark) == []


NODE = """
import trio
from pathlib import Path
from tests.trainer.toys import toy_task
from trainer.sandbox import find_sandbox
from trainer.trial import run_trial

task = toy_task(Path({program!r}).read_text())
trio.run(lambda: run_trial(task, task.files, 0, workspace=Path({workspace!r}), data=None, sandbox=find_sandbox()))
"""


@pytest.mark.parametrize("victim", ["the node", "the launcher"])
def test_nothing_survives_a_kill_from_outside(tmp_path: Path, victim: str) -> None:
    mark = f"arnode-kill-{os.getpid()}-{victim}"
    program = tmp_path / "program.py"
    program.write_text(DAEMON.format(mark=mark, seconds=60))
    source = NODE.format(program=str(program), workspace=str(tmp_path / "w"))
    node = subprocess.Popen([sys.executable, "-c", source], cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
    try:
        _wait_until(1, mark)
        launcher = next(
            child for child in psutil.Process(node.pid).children() if "launch.py" in " ".join(child.cmdline())
        )
        os.kill(node.pid if victim == "the node" else launcher.pid, signal.SIGKILL)
        _wait_until(0, mark)
    finally:
        node.kill()
        node.wait()


# rights of root that Landlock does not take away; find_sandbox therefore refuses it to root
ROOT_ONLY = {"fork_bomb", "become_root", "raise_limits"}


@pytest.mark.skipif(abi() < OLDEST_ABI, reason="this kernel's Landlock is too old")
def test_landlock_stops_the_same_attacks() -> None:
    fallback = Sandbox(Landlock(tuple(interpreter_folders())), weaker_because="a test")
    achieved = attack(fallback)
    assert achieved.keys() == ATTACKS.keys()
    assert {name for name, what in achieved.items() if what} <= (ROOT_ONLY if os.geteuid() == 0 else set())


@pytest.mark.skipif(abi() < OLDEST_ABI, reason="this kernel's Landlock is too old")
async def test_a_trial_runs_under_landlock_too(tmp_path: Path) -> None:
    fallback = Sandbox(Landlock(tuple(interpreter_folders())), weaker_because="a test")
    assert not fallback.fit_for_peers
    program = """
        from pathlib import Path
        Path("scratch").write_text("may be written")
        print("---\\nscore:", len(Path("scratch").read_text()))
    """
    trial = await run(toy_task(program), tmp_path / "w", fallback)
    assert (trial.status, trial.value) == ("ok", 14.0), trial
