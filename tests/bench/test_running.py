"""Benchmarks as processes: their figures come back, a failure is told, and nothing stays behind."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.running import ROOT, run

FIGURES = "from bench.figures import figure; figure('a', 's', [1, 3, 2]); figure('b', 'bytes', [7], better='higher')"
LEAVES = "import subprocess; p = subprocess.Popen(['sleep', '{}'], start_new_session=True); print(p.pid, flush=True)"


def running(seconds: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[:2] == ["sleep", seconds]]


def test_figures_come_back_with_kind_and_direction() -> None:
    ended = run(["-c", FIGURES], 60)
    assert (ended.failed, ended.skipped) == ("", "")
    assert [(f.name, f.unit, f.values, f.better, f.kind) for f in ended.figures] == [
        ("a", "s", (1.0, 3.0, 2.0), "lower", "wall"),
        ("b", "bytes", (7.0,), "higher", "count"),
    ]
    assert ended.speed > 0


BUSY = "import time\nwhile time.process_time() < {}: pass"
UNCOLLECTED = """
import signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", {!r}]).wait()
"""


def test_what_a_benchmark_used_is_its_own_whoever_collected_it_and_what_others_use_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everything = psutil.process_iter

    def of_this_test(attrs: list[str]) -> list[psutil.Process]:
        """As on a machine on which nothing else runs."""
        ours = psutil.Process().children(recursive=True)
        return [process for process in everything(attrs) if process in ours]

    monkeypatch.setattr(psutil, "process_iter", of_this_test)
    monkeypatch.setattr(psutil, "cpu_times", lambda: object())
    assert run(["-c", UNCOLLECTED.format(BUSY.format(1))], 60).others == 0
    with subprocess.Popen([sys.executable, "-c", BUSY.format(1000)]) as other:
        try:
            before = sum(psutil.Process(other.pid).cpu_times()[:2])
            beside = run(["-c", BUSY.format(1)], 60)
            after = sum(psutil.Process(other.pid).cpu_times()[:2])
        finally:
            other.kill()
    assert 0 < beside.others * beside.seconds <= after - before + 0.1


def test_a_failure_is_told_with_its_last_line_and_what_was_measured_before_stays() -> None:
    ended = run(["-c", f"{FIGURES}; raise ValueError('of no use')"], 60)
    assert ended.failed == "exit status 1: ValueError: of no use"
    assert len(ended.figures) == 2


def test_a_benchmark_that_lacks_something_is_skipped_with_its_reason() -> None:
    ended = run(["-c", "from bench.figures import skip; skip('no card')"], 60)
    assert (ended.failed, ended.skipped) == ("", "no card")


def test_what_a_benchmark_left_running_in_another_session_is_killed_and_told() -> None:
    ended = run(["-c", LEAVES.format(86399)], 60)
    assert ended.failed == "left processes running: sleep"
    assert not [process for process in running("86399") if process.status() != psutil.STATUS_ZOMBIE]


def test_a_benchmark_that_takes_too_long_is_stopped_with_all_that_it_started() -> None:
    ended = run(["-c", f"{LEAVES.format(86398)}; p.wait()"], 2)
    assert ended.failed.startswith("not done after")
    assert not [process for process in running("86398") if process.status() != psutil.STATUS_ZOMBIE]


def test_the_command_ends_well_when_all_was_skipped_and_names_what_it_does_not_know(tmp_path: Path) -> None:
    def bench(*words: str) -> subprocess.CompletedProcess[str]:
        command, without_card = [sys.executable, "-m", "bench", *words], os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        return subprocess.run(command, cwd=ROOT, env=without_card, capture_output=True, text=True, check=False)

    done = bench("gpu")
    assert done.returncode == 0, done.stderr
    assert "skipped: bench.gpu: no CUDA card" in done.stdout
    unknown = bench("nothing")
    assert unknown.returncode == 2
    assert "no benchmark has the name nothing" in unknown.stderr
    (tmp_path / "broken.json").write_text("no")
    broken = bench("gpu", "--baseline", str(tmp_path / "broken.json"))
    assert broken.returncode == 1
    assert "is no baseline" in broken.stderr
