"""One benchmark as a process of its own: its figures, what else ran meanwhile, and nothing left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench.figures import GATHERED, SKIPPED, Figure
from bench.speed import Clock, speed

ROOT: Final = Path(__file__).parent.parent
STOP_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Ended:
    """How a benchmark ended. failed, skipped: why, empty if it did not; speed, others: see `bench.speed`."""

    figures: Sequence[Figure]
    failed: str
    skipped: str
    seconds: float
    speed: float
    others: float


def run(words: Sequence[str], seconds: float) -> Ended:
    """Run `python WORDS` for so long at most; its lines go to standard error as they come.

    Whatever it started and did not stop is killed, and makes it a failure.
    """
    with tempfile.TemporaryDirectory(prefix="arnode-bench-") as folder:
        gathered, errors = Path(folder) / "figures.jsonl", Path(folder) / "stderr"
        gathered.touch()
        before, clock = speed(), Clock.now()
        with errors.open("w") as stderr:
            status = _run(words, seconds, gathered, stderr.fileno())
        left = _kill_left(gathered)
        ended, after = Clock.now(), speed()
        said = errors.read_text(errors="replace")
        sys.stderr.write(said)
        failed = skipped = ""
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        if status is None:
            failed = f"not done after {seconds / 60:g} minutes"
        elif status == SKIPPED:
            skipped = last.removeprefix("skipped: ")
        elif status:
            failed = f"exit status {status}: {last}"
        elif left:
            failed = f"left processes running: {', '.join(left)}"
        figures = [_figure(line) for line in gathered.read_text(encoding="utf-8").splitlines()]
        return Ended(figures, failed, skipped, ended.wall - clock.wall, (before + after) / 2, ended.others(clock))


def _run(words: Sequence[str], seconds: float, gathered: Path, stderr: int) -> int | None:
    """Its exit status; None if it was stopped."""
    environment = {**os.environ, GATHERED: str(gathered), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=environment, stdout=sys.stderr, stderr=stderr, start_new_session=True
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        for what in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, what)
                process.wait(STOP_SECONDS)


def _kill_left(gathered: Path) -> list[str]:
    """Kill what still runs with this file in its environment, in whatever session; their names."""
    names = []
    for process in psutil.process_iter(["name", "environ"]):
        if (process.info["environ"] or {}).get(GATHERED) == str(gathered):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                names.append(process.info["name"])
    return names


def _figure(line: str) -> Figure:
    told = json.loads(line)
    return Figure(**{**told, "values": tuple(told["values"])})
