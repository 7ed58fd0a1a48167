"""Runs the solver of a problem as a process of its own, takes numbers from it, and says what they are worth.

`python evaluate.py PROBLEM METRIC`. The solver inherits nothing of this process but its standard error. What it prints
is read as numbers and judged by `exact.py`, which was loaded before the solver began. So it can hand over a bad
solution, or none, and nothing else: the line with the metric comes from here.
"""

import ctypes
import json
import subprocess
import sys

from exact import VALUES, Invalid

LONGEST = 100_000
NOT_DUMPABLE = 4, 0


def main() -> None:
    problem, metric = sys.argv[1:]
    if sys.platform == "linux":
        # otherwise a process of the same user could open this one's output through /proc
        ctypes.CDLL(None).prctl(*NOT_DUMPABLE)
    solver = subprocess.Popen(
        [sys.executable, "solve.py", problem], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert solver.stdout is not None
    line = ""
    for line in iter(lambda: solver.stdout.readline(LONGEST), ""):
        if line.startswith("progress: "):
            print(line, end="", flush=True)
    if solver.wait():
        sys.exit(1)  # what it said on standard error last is the reason
    try:
        solution = json.loads(line)
        if not isinstance(solution, dict):
            raise Invalid("it is no JSON object")
        steps = solution.pop("steps", None)
        value = VALUES[problem](solution)
    except (ValueError, RecursionError) as error:
        sys.exit(f"the solver's last line is no solution: {error}")
    except Invalid as invalid:
        sys.exit(f"no valid solution: {invalid}")
    for name, numbers in solution.items():
        for row in numbers if isinstance(numbers, list) else [numbers]:
            print(f"{name}:", *row if isinstance(row, list) else [row])
    print("---")
    print(f"{metric}: {float(value)!r}")
    if isinstance(steps, int):
        print(f"num_steps: {steps}")


if __name__ == "__main__":
    main()
