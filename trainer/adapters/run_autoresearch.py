"""Runs an autoresearch checkout's train.py as one trial. Put beside it as `arnode_run.py`, with a COMMAND.

It gives train.py the trial's seed in place of its own (every run of a checkout has seed 42, and one lucky seed is no
discovery), turns its ticker into progress lines, and adds what it prints in millions in the units that arnode reads.
With the standard library only, since it runs alone.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, Final, NoReturn

PROGRAM: Final = "train.py"
SEEDED: Final = "train_seeded.py"
DIVERGED: Final = 3
PROGRESS_SECONDS: Final = 1.0

_SEEDING = re.compile(r"\b((?:manual_seed|manual_seed_all|random\.seed)\()\d+(?=\))")
_TICK = re.compile(r"step \d+ \((\d+(?:\.\d+)?)%\)(?:.*?loss: (\d+(?:\.\d+)?))?(?:.*?tok/sec: ([\d,]+))?")
_LINE = re.compile(r"(\w+):\s*(\d+(?:\.\d+)?)")
_UNITS: Final = {
    "total_tokens_M": ("total_tokens", 1e6),
    "num_params_M": ("num_params", 1e6),
    "peak_vram_mb": ("peak_memory_mb", 1),
}


def main(command: Sequence[str]) -> NoReturn:
    """Run the command, pass on what it prints, and end as it ended."""
    environment = os.environ.get("UV_PROJECT_ENVIRONMENT", ".venv")
    if not os.path.isdir(environment):
        sys.exit(f"there is no {environment}: run `uv sync` in the checkout, then `uv run prepare.py` for its data")
    with open(PROGRAM, encoding="utf-8") as file:
        source = file.read()
    with open(SEEDED, "w", encoding="utf-8") as file:
        file.write(_SEEDING.sub(rf"\g<1>{int(os.environ['ARNODE_SEED'])}", source))
    scratch = os.environ.get("TMPDIR", "/tmp")
    # the compilers' caches would be in the home folder, which cannot be written in a sandbox
    places = {"TRITON_CACHE_DIR": f"{scratch}/triton", "TORCHINDUCTOR_CACHE_DIR": f"{scratch}/inductor"}
    words = [SEEDED if word == PROGRAM else word for word in command]
    try:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, **places})
    except FileNotFoundError:
        sys.exit(f"{words[0]} is not installed: see https://docs.astral.sh/uv, then run `uv sync` in the checkout")
    assert process.stdout is not None
    failed = _pass_on(process.stdout)
    code = process.wait()
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code and failed:
        print("the loss was not finite, or above 100", file=sys.stderr)
        sys.exit(DIVERGED)
    sys.exit(code)


def _pass_on(stream: IO[bytes]) -> bool:
    """Print what a person or arnode reads; whether it said that training failed."""
    failed, told = False, 0.0
    for text in _lines(stream):
        tick = _TICK.search(text)
        if tick is None:
            failed |= text == "FAIL"
            print(text, flush=True)
            line = _LINE.fullmatch(text.strip())
            if line is not None and line[1] in _UNITS:
                name, unit = _UNITS[line[1]]
                print(f"{name}: {float(line[2]) * unit!r}", flush=True)
        elif time.monotonic() >= told + PROGRESS_SECONDS:
            told = time.monotonic()
            said = {"fraction": float(tick[1]) / 100, "loss": float(tick[2]) if tick[2] else None}
            said["tokens_per_second"] = float(tick[3].replace(",", "")) if tick[3] else None
            print(f"progress: {json.dumps(said)}", flush=True)
    return failed


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """What is printed between line ends of any kind: the ticker returns to the start of its line."""
    pending = b""
    while chunk := os.read(stream.fileno(), 65536):
        *whole, pending = re.split(rb"[\r\n]", pending + chunk)
        yield from (line.decode(errors="replace") for line in whole if line)
    if pending:
        yield pending.decode(errors="replace")


if __name__ == "__main__":
    main(sys.argv[1:])
