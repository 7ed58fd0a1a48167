"""How fast this machine is right now: what the times of two runs are scaled by, and how much else ran meanwhile.

A virtual machine's speed changes by the hour, and by what its neighbours do. The same small piece of pure Python,
run before and after each benchmark, tells both runs' speeds; work that is bound by something else scales differently,
so a scaled time is never the only evidence.
"""

import hashlib
import os
import time
from dataclasses import dataclass
from typing import Final

import psutil

ROUNDS: Final = 5
PIECES: Final = 4000


def speed() -> float:
    """Pieces of work in a millisecond of processor time, in the best of some rounds; takes a tenth of a second."""
    return max(PIECES / (1000 * _seconds()) for _ in range(ROUNDS))


def _seconds() -> float:
    """Processor time of PIECES pieces: calls, a dict, integers, strings, hashing, as our code has them."""
    started = time.process_time()
    seen: dict[bytes, int] = {}
    for number in range(PIECES):
        key = hashlib.sha256(number.to_bytes(8, "big")).digest()
        seen[key[:2]] = seen.get(key[:2], 0) + len(f"{number:x}")
    return time.process_time() - started


@dataclass(frozen=True)
class Clock:
    """Now, and what all other programs have used of the processors since they began, in seconds.

    Taken only while this process has no children: those that ended and were waited for count as its own. One program's
    ended children count with it, unless it lets the kernel collect them; what the host of a virtual machine took counts
    too.
    """

    wall: float
    taken: float

    @classmethod
    def now(cls) -> "Clock":
        taken = getattr(psutil.cpu_times(), "steal", 0.0)
        for process in psutil.process_iter(["cpu_times"]):
            if process.pid != os.getpid() and (times := process.info["cpu_times"]):
                taken += times.user + times.system + times.children_user + times.children_system
        return cls(time.monotonic(), taken)

    def others(self, since: "Clock") -> float:
        """Cores that other programs used meanwhile, on average."""
        return max(0.0, self.taken - since.taken) / max(self.wall - since.wall, 1e-9)
