"""How fast this machine is right now: what the times of two runs are scaled by, and how much else ran meanwhile.

A virtual machine's speed changes by the hour, and by what its neighbours do. The same small piece of pure Python,
run before and after each benchmark, tells both runs' speeds; work that is bound by something else scales differently,
so a scaled time is never the only evidence.
"""

import hashlib
import resource
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
    """Times of the machine and of this process's ended children, in seconds."""

    wall: float
    busy: float
    ours: float

    @classmethod
    def now(cls) -> "Clock":
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # the kernel counts a guest's time twice, as its own and as the user's
        busy = sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(time.monotonic(), busy, children.ru_utime + children.ru_stime)

    def others(self, since: "Clock") -> float:
        """Cores that other programs used meanwhile, on average."""
        passed = max(self.wall - since.wall, 1e-9)
        return max(0.0, (self.busy - since.busy - self.ours + since.ours) / passed)
