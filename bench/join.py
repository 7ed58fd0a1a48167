"""How long a person waits: from `arnode join` to listening, to the first finished trial, and from `Ctrl-C` to the end.

    python -m bench.join [RUNS]

Every run is a new node in an empty state folder. The first also prepares the task's data in an empty cache. A node is
stopped as soon as its first trial has ended, while it works on what comes next.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import figure, machine


def one(folder: Path, cache: Path) -> tuple[float, float, float]:
    """Seconds to the event `listening`, to the first trial with a value, and from SIGINT to the node's end."""
    command = [sys.executable, "-m", "node.cli", "--home", str(folder), "join", "--json"]
    command += ["--listen", "/ip4/127.0.0.1/tcp/0"]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    listening = 0.0
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "listening":
                    listening = time.perf_counter() - started
                elif event["event"] == "trial" and event["status"] == "ok":
                    break
            else:
                raise SystemExit("the node ended before its first trial")
        finally:
            first = time.perf_counter() - started
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
            stopped = time.perf_counter() - started - first
    if process.returncode:
        raise SystemExit(f"the node ended with status {process.returncode} when it was stopped")
    return listening, first, stopped


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        cold = one(base / "cold", base / "cache")
        warm = [one(base / f"warm-{number}", base / "cache") for number in range(runs)]
    print(figure("join to listening, cold", "s", [cold[0]]))
    print(figure("join to first finished trial, cold (data is made)", "s", [cold[1]]))
    print(figure("join to listening", "s", [run[0] for run in warm]))
    print(figure("join to first finished trial", "s", [run[1] for run in warm]))
    print(figure("Ctrl-C to the end", "s", [run[2] for run in (cold, *warm)]))


if __name__ == "__main__":
    main()
