"""Trials with real subprocesses: every way to end, each told apart, and nothing left behind."""

import json
import math
import os
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.trainer.toys import pids_in, running, toy_task
from trainer.output import Output, Progress
from trainer.process import Ended
from trainer.task import Budget, Task
from trainer.trial import Trial, judge_end, run_trial


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


async def run(task: Task, workspace: Path, seed: int = 0) -> Trial:
    with trio.fail_after(30):
        trial = await run_trial(task, task.files, seed, workspace=workspace, data=None)
    assert not any(os.scandir(workspace)), "a trial leaves no file behind"
    return trial


async def test_a_good_trial_has_its_value_and_numbers_to_the_last_bit(workspace: Path) -> None:
    program = """
        print("warming up")
        print("---")
        print("score:", repr(0.1 + 0.2))
        print("num_steps: 12")
    """
    trial = await run(toy_task(program), workspace, seed=7)
    assert (trial.status, trial.value, trial.reason, trial.seed) == ("ok", 0.1 + 0.2, "", 7)
    assert trial.metrics["score"] == trial.value
    assert trial.metrics["num_steps"] == 12.0
    assert 0 < trial.seconds < 20
    assert trial.log_tail.splitlines()[0] == "warming up"


async def test_progress_is_live_and_not_part_of_the_log(workspace: Path) -> None:
    program = """
        import json
        for part in (0.5, 1.0):
            print("progress:", json.dumps({"fraction": part, "loss": 2 * part, "tokens_per_second": 10.0}), flush=True)
        print("---\\nscore: 1")
    """
    seen: list[Progress] = []
    task = toy_task(program)
    trial = await run_trial(task, task.files, 0, workspace=workspace, data=None, on_progress=seen.append)
    assert seen == [Progress(0.5, 1.0, 10.0), Progress(1.0, 2.0, 10.0)]
    assert "progress" not in trial.log_tail


async def test_a_program_is_told_what_it_needs_and_nothing_of_the_node(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    program = f"""
        import json, os, pathlib
        pathlib.Path({str(tmp_path / "seen")!r}).write_text(json.dumps(dict(os.environ)))
        print("---\\nscore: 1")
    """
    data = tmp_path / "data"
    task = toy_task(program)
    budget = Budget(kind="tokens", amount=4096)
    await run_trial(task, task.files, 3, workspace=workspace, data=data, threads=2, budget=budget)
    seen = json.loads((tmp_path / "seen").read_text())
    told = {name: value for name, value in seen.items() if name.startswith("ARNODE_")}
    assert told == {
        "ARNODE_SEED": "3",
        "ARNODE_BUDGET_KIND": "tokens",
        "ARNODE_BUDGET": "4096",
        "ARNODE_DATA": str(data),
        "ARNODE_DEVICE": "cpu",
        "ARNODE_THREADS": "2",
    }
    assert seen["OMP_NUM_THREADS"] == "2"
    assert Path(seen["HOME"]).parent == workspace
    allowed = {"PATH", "LANG", "LC_CTYPE", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "HOME", "TMPDIR"}
    allowed |= {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
    allowed |= {"PYTHONUSERBASE", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED"}
    assert set(seen) - set(told) <= allowed


async def test_peak_memory_is_measured_from_outside_unless_the_program_says(workspace: Path) -> None:
    program = """
        import os, time
        if os.fork() == 0:
            x = b"x" * 50_000_000
            time.sleep(1)
            os._exit(0)
        os.wait()
        print("---\\nscore: 1")
    """
    assert 50 < (await run(toy_task(program), workspace)).metrics["peak_memory_mb"] < 200
    said = await run(toy_task(program.replace("score: 1", r"score: 1\npeak_memory_mb: 7")), workspace)
    assert said.metrics["peak_memory_mb"] == 7.0


async def test_the_program_runs_alone_in_its_folder_with_no_input(workspace: Path) -> None:
    program = """
        import os, sys
        import score
        assert sys.stdin.read() == ""
        assert sorted(os.listdir()) == ["score.py", "train.py"], os.listdir()
        print(f"---\\nscore: {score.x}")
    """
    assert (await run(toy_task(program, fixed={"score.py": "x = 5\n"}), workspace)).value == 5.0


async def test_a_crash_gives_the_last_line_of_its_error(workspace: Path) -> None:
    trial = await run(toy_task("print('hello')\n1 / 0\n"), workspace)
    assert (trial.status, trial.value, trial.reason) == ("crash", None, "ZeroDivisionError: division by zero")
    assert "hello" in trial.log_tail
    assert 'File "train.py", line 2' in trial.log_tail, "the folder's own path is nobody's business"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by a signal: Segmentation fault"),
        ("import sys; sys.exit(5)", "exit code 5, and nothing on standard error"),
        ("print('score: 3')", "ended well but printed no line `score: ...` after a line `---`"),
        ("print('---\\nscore: high')", "score is high, which is no number"),
    ],
)
async def test_other_crashes_say_what_was_seen(workspace: Path, program: str, reason: str) -> None:
    trial = await run(toy_task(program), workspace)
    assert (trial.status, trial.value, trial.reason) == ("crash", None, reason)


async def test_a_command_that_does_not_exist_is_a_crash(workspace: Path) -> None:
    task = toy_task().model_copy(update={"command": ("no-such-program",)})
    trial = await run(task, workspace)
    assert trial.status == "crash"
    assert trial.reason.startswith("cannot start no-such-program: ")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("print('---\\nscore: nan')", "score is nan"),
        ("print('---\\nscore: -inf')", "score is -inf"),
        ("import sys; sys.exit(3)", "the loss was not finite"),
        ("import sys; print('loss nan at step 4', file=sys.stderr); sys.exit(3)", "loss nan at step 4"),
    ],
)
async def test_divergence_is_told_apart(workspace: Path, program: str, reason: str) -> None:
    trial = await run(toy_task(program), workspace)
    assert (trial.status, trial.value, trial.reason) == ("nan", None, reason)
    assert all(math.isfinite(number) for number in trial.metrics.values())


async def test_a_trial_that_takes_too_long_is_ended_in_time(workspace: Path) -> None:
    trial = await run(toy_task("import time\ntime.sleep(60)", wall_seconds=0.3), workspace)
    assert (trial.status, trial.reason) == ("timeout", "ran longer than 0.3 s")
    assert 0.3 <= trial.seconds < 3


async def test_a_program_that_ignores_signals_is_ended_in_time(workspace: Path) -> None:
    program = """
        import signal, time
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(1)
    """
    assert (await run(toy_task(program, wall_seconds=0.5), workspace)).seconds < 3


async def test_one_process_that_takes_too_much_memory(workspace: Path) -> None:
    trial = await run(toy_task("x = bytearray(10**9)", memory_mb=200), workspace)
    assert (trial.status, trial.reason) == ("oom", "MemoryError")


async def test_many_processes_that_together_take_too_much_memory(workspace: Path) -> None:
    program = """
        import os, time
        for _ in range(6):
            if os.fork() == 0:
                x = b"x" * 60_000_000
                time.sleep(60)
        time.sleep(60)
    """
    trial = await run(toy_task(program, memory_mb=200), workspace)
    assert (trial.status, trial.reason) == ("oom", "used more than 200 MB of memory")


def test_the_ways_to_say_out_of_memory() -> None:
    for said in (
        "MemoryError",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8 GiB",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB",
        "RuntimeError: MPS backend out of memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "OSError: [Errno 12] Cannot allocate memory",
    ):
        output = Output()
        output.take(said, error=True)
        output.take("  and a line after it", error=True)
        assert judge_end("score", Ended(1, None, 1.0), output) == ("oom", said)
    assert judge_end("score", Ended(-9, None, 1.0), Output())[0] == "oom"
    assert judge_end("score", Ended(-40, None, 1.0), Output())[0] == "crash"


async def test_a_gigabyte_of_output_is_cut_while_it_is_read(workspace: Path) -> None:
    program = """
        import sys
        for _ in range(1000):
            sys.stdout.write("x" * 1_000_000)
    """
    trial = await run(toy_task(program), workspace)
    assert (trial.status, trial.reason) == ("output", "printed more than 100,000 bytes")
    assert len(trial.log_tail) <= 8000
    assert trial.seconds < 5


async def test_standard_error_counts_as_output(workspace: Path) -> None:
    program = """
        import sys
        while True:
            print("warning: again", file=sys.stderr)
    """
    assert (await run(toy_task(program), workspace)).status == "output"


async def test_a_program_that_fills_the_disk_is_ended(workspace: Path) -> None:
    program = """
        import time
        for number in range(20):
            open(f"part-{number}", "wb").write(b"x" * 1_000_000)
        time.sleep(60)
    """
    trial = await run(toy_task(program, disk_mb=5), workspace)
    assert (trial.status, trial.reason) == ("output", "wrote more than 5 MB to disk")


async def test_one_large_file_fails_where_it_is_written(workspace: Path) -> None:
    trial = await run(toy_task("open('big', 'wb').write(b'x' * 9_000_000)", disk_mb=5), workspace)
    assert (trial.status, trial.reason) == ("crash", "OSError: [Errno 27] File too large")


async def test_too_many_processes_are_ended(workspace: Path) -> None:
    program = """
        import os, time
        for _ in range(10):
            if os.fork() == 0:
                time.sleep(60)
        time.sleep(60)
    """
    trial = await run(toy_task(program, processes=5), workspace)
    assert (trial.status, trial.reason) == ("crash", "ran more than 5 processes at once")


async def test_control_characters_and_broken_unicode_do_no_harm(workspace: Path) -> None:
    program = r"""
        import sys
        sys.stdout.buffer.write(b"\x1b[2Jwiped \xff\xfe \x00 \xed\xa0\x80\r\n")
        sys.stderr.buffer.write(b"\x1b]0;owned\x07bad \x08\x9b1m\xe2\x80\xae end \xf0\x9f\n")
        sys.exit(1)
    """
    trial = await run(toy_task(program), workspace)
    assert trial.status == "crash"
    assert trial.reason.startswith("bad ")
    assert trial.reason.isprintable()
    assert all(line.isprintable() for line in trial.log_tail.split("\n"))
    json.dumps(trial.log_tail).encode()


# Leaves the ids of itself, a child and a daemon of a session of its own as names of files in a folder.
FAMILY = """
    import os, pathlib, sys, time
    folder = pathlib.Path({folder!r})

    def stay():
        (folder / str(os.getpid())).touch()
        time.sleep(60)

    if os.fork() == 0:
        stay()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            stay()
        os._exit(0)
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    (folder / str(os.getpid())).touch()
    {then}
"""


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


async def test_daemons_do_not_outlive_a_program_that_ends(workspace: Path, pids: Path) -> None:
    trial = await run(toy_task(FAMILY.format(folder=str(pids), then="print('---\\nscore: 1')")), workspace)
    assert (trial.status, len(pids_in(pids)), running(pids_in(pids))) == ("ok", 3, [])


async def test_daemons_do_not_outlive_a_timeout(workspace: Path, pids: Path) -> None:
    task = toy_task(FAMILY.format(folder=str(pids), then="time.sleep(60)"), wall_seconds=1.5)
    assert (await run(task, workspace)).status == "timeout"
    assert (len(pids_in(pids)), running(pids_in(pids))) == (3, [])


async def three_files(folder: Path) -> None:
    while len(pids_in(folder)) < 3:  # noqa: ASYNC110  the files come from another process, which sets no event
        await trio.sleep(0.02)


async def test_cancelling_ends_everything_and_removes_the_folder(workspace: Path, pids: Path) -> None:
    task = toy_task(FAMILY.format(folder=str(pids), then="time.sleep(60)"))
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(run_trial, task, task.files, 0, workspace=workspace, data=None))
            await three_files(pids)
            nursery.cancel_scope.cancel()
    assert running(pids_in(pids)) == []
    assert not any(os.scandir(workspace))


async def test_trials_can_run_side_by_side(workspace: Path) -> None:
    task = toy_task("import os\nprint('---\\nscore: ' + os.environ['ARNODE_SEED'])")
    values: dict[int, float | None] = {}

    async def one(seed: int) -> None:
        values[seed] = (await run_trial(task, task.files, seed, workspace=workspace, data=None)).value

    async with trio.open_nursery() as nursery:
        for seed in range(4):
            nursery.start_soon(one, seed)
    assert values == {seed: float(seed) for seed in range(4)}
    assert not any(os.scandir(workspace))
