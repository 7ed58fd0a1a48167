"""What a node's hot paths cost in machine instructions, C code included: the same however busy the machine is.

    python -m bench.instructions

Valgrind counts (cachegrind without its caches), some twenty times as slow as the work. All paths are prepared in one
process, which forks twice for each: one child ends at once and one does the work first, and the difference is the work.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.figures import figure, machine, skip
from bench.paths import PATHS, WARM

VALGRIND: Final = ("valgrind", "--quiet", "--tool=cachegrind", "--cache-sim=no")
INSIDE: Final = "--inside"


def main() -> None:
    if shutil.which("valgrind") is None:
        skip("valgrind is not installed (apt install valgrind)")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        command = [*VALGRIND, f"--cachegrind-out-file={name}/%p", sys.executable, "-m", "bench.instructions", INSIDE]
        with subprocess.Popen(
            [*command, name], env=os.environ | {"PYTHONHASHSEED": "0"}, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line, path in zip(process.stdout, PATHS, strict=False):
                nothing, work = (instructions(Path(name) / pid) for pid in line.split())
                print(figure(path.name, "instructions", [(work - nothing) / path.repeats]), flush=True)
        if process.returncode:
            sys.exit(f"valgrind ended with exit status {process.returncode}")


def inside(base: Path) -> None:
    """Under valgrind: prepare each path, and print the ids of a child that did nothing and of one that did the work."""
    for number, path in enumerate(PATHS):
        folder = base / f"path-{number}"
        folder.mkdir()
        piece = path.prepare(folder)
        for _ in range(WARM):
            piece()
        print(child(piece, 0), child(piece, path.repeats), flush=True)


def child(piece: Callable[[], object], repeats: int) -> int:
    """The process id of an ended copy of this process that did the work so many times."""
    pid = os.fork()
    if pid == 0:
        for _ in range(repeats):
            piece()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit("a child under valgrind failed")
    return pid


def instructions(counted: Path) -> int:
    """What cachegrind counted in a process, its parent's up to the fork included."""
    found = re.search(r"(?m)^summary: (\d+)", counted.read_text())
    if found is None:
        sys.exit(f"{counted} holds no sum: is this valgrind's cachegrind?")
    return int(found[1])


if __name__ == "__main__":
    if sys.argv[1:2] == [INSIDE]:
        inside(Path(sys.argv[2]))
    else:
        main()
