"""What happens to a program when the node or the launcher is killed: real processes, real kills."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.trainer.test_trial import FAMILY
from tests.trainer.toys import pids_in, running
from trainer import launch

NODE = """
import trio
from pathlib import Path
from tests.trainer.toys import toy_task
from trainer.trial import run_trial

task = toy_task(Path({program!r}).read_text())

async def main():
    await run_trial(task, task.files, 0, workspace=Path({workspace!r}), data=None)

trio.run(main)
"""


def wait_until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline, f"not within 10 s: {what}"
        time.sleep(0.02)


def launching(*command: str, memory: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", launch.__file__, str(memory), "1000000", "", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_nothing_survives_the_kill_of_the_node(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    program = tmp_path / "program.py"
    program.write_text(FAMILY.format(folder=str(pids), then="time.sleep(60)"))
    source = NODE.format(program=str(program), workspace=str(tmp_path / "workspace"))
    node = subprocess.Popen([sys.executable, "-c", source], cwd=Path(__file__).parents[2])
    try:
        wait_until(lambda: len(pids_in(pids)) == 3, "the program, its child and its daemon run")
        family = [*pids_in(pids), psutil.Process(node.pid).children()[0].pid]
        assert running(family) == family
        node.kill()
        wait_until(lambda: running(family) == [], "nothing runs any more")
    finally:
        node.kill()
        node.wait()


def test_the_program_does_not_survive_the_kill_of_the_launcher() -> None:
    with launching(sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)") as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "up\n"
        program = psutil.Process(launcher.pid).children()[0]
        launcher.kill()
        wait_until(lambda: running([program.pid]) == [], "the program is gone")


def test_closing_the_lifeline_ends_the_program() -> None:
    with launching(sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)") as launcher:
        assert launcher.stdout is not None
        assert launcher.stdin is not None
        assert launcher.stdout.readline() == "up\n"
        launcher.stdin.close()
        assert launcher.wait(10) == -signal.SIGKILL


def launched(*command: str, memory: int = 0) -> tuple[int, str]:
    """Exit code and output of a command that the launcher ran to its end."""
    with launching(*command, memory=memory) as launcher:
        assert launcher.stdout is not None
        said = launcher.stdout.read()
        return launcher.wait(10), said


@pytest.mark.parametrize("code", [0, 1, 42, 137])
def test_it_ends_with_the_exit_code_of_the_program(code: int) -> None:
    assert launched(sys.executable, "-c", f"raise SystemExit({code})") == (code, "")


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT])
def test_it_ends_by_the_signal_of_the_program(ending: signal.Signals) -> None:
    assert launched(sys.executable, "-c", f"import os; os.kill(os.getpid(), {ending.value})") == (-ending, "")


def test_the_limits_hold_in_the_program() -> None:
    source = "import resource as r; print(*(r.getrlimit(k)[0] for k in (r.RLIMIT_DATA, r.RLIMIT_FSIZE, r.RLIMIT_CORE)))"
    assert launched(sys.executable, "-c", source, memory=300_000_000) == (0, "300000000 1000000 0\n")
