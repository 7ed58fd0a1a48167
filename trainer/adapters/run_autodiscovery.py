"""Runs an auto-discovery evaluator as one trial. Put beside it as `arnode_run.py`: EVALUATOR PROGRAM METRIC.

The evaluator runs in a process of its own and hands its dict over a pipe; this process alone prints the summary, last,
so that what a program prints is never taken for its score. With the standard library only, since it runs alone.
"""

import importlib.util
import json
import os
import random
import re
import subprocess
import sys
from typing import Any, Final

VALIDITY: Final = ("valid", "is_valid", "validity", "feasible")
REASONS: Final = ("error", "reason", "message", "error_message", "validity_message")


def main(evaluator: str, program: str, metric: str) -> None:
    """Print the metric, and what other numbers the evaluator gives; end with a reason where there is no valid one."""
    ours, theirs = os.pipe()
    command = [sys.executable, os.path.abspath(__file__), evaluator, program, str(theirs)]
    with subprocess.Popen([*command, "evaluate"], pass_fds=(theirs,)) as process:
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            said = pipe.read()
    if process.returncode:
        sys.exit(process.returncode if process.returncode > 0 else f"{evaluator} was ended by a signal")
    scores = json.loads(said)
    if not isinstance(scores, dict):
        sys.exit(f"{evaluator}: evaluate() has to return a dict, and returned {said[:80].decode()}")
    if any(not scores[flag] for flag in VALIDITY if flag in scores):
        reasons = [str(scores[key]) for key in REASONS if scores.get(key)]
        sys.exit(f"not valid: {' '.join(reasons[0].split())[:300]}" if reasons else "not valid, by the evaluator")
    if isinstance(scores.get(metric), bool) or not isinstance(scores.get(metric), int | float):
        sys.exit(f"{evaluator}: evaluate() gave no number {metric}; it gave {', '.join(scores) or 'nothing'}")
    print("---")
    print(f"{_printable(metric)}: {scores[metric]!r}")
    for name, value in scores.items():
        if name != metric and isinstance(value, int | float) and not isinstance(value, bool):
            print(f"{_printable(name)}: {value!r}")


def evaluate(evaluator: str, program: str, pipe: int) -> None:
    """In a process of its own: import the evaluator, score the program, hand the scores over."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(evaluator)))
    spec = importlib.util.spec_from_file_location("evaluator", evaluator)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["evaluator"] = module
    spec.loader.exec_module(module)
    seed = int(os.environ.get("ARNODE_SEED", "0"))
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    scores = module.evaluate(os.path.abspath(program))
    with os.fdopen(pipe, "w") as file:
        json.dump(scores, file, default=_plain)


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays as JSON has them; anything else in words."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _printable(name: str) -> str:
    return re.sub(r"\W|^(?=\d)", "_", name, flags=re.ASCII)


if __name__ == "__main__":
    if sys.argv[4:] == ["evaluate"]:
        evaluate(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main(*sys.argv[1:])
