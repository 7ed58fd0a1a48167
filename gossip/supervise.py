"""Background tasks that may fail but never silently, and never take the node with them."""

import random
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from gossip.reasons import reason_of

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
HEALTHY_AFTER: Final = 60.0


async def supervise(
    name: str,
    run: Callable[[], Awaitable[object]],
    report: Callable[[str, str], object],
    *,
    fatal: Callable[[], bool] = lambda: False,
    first_pause: float = FIRST_PAUSE,
) -> None:
    """Run `run` until it returns; when it raises, report (name, reason), pause and run it again.

    While `fatal()` holds, raise instead.

    The pause, in seconds, doubles from `first_pause` to LONGEST_PAUSE with jitter and starts over after a run of
    HEALTHY_AFTER seconds.
    """
    pause = first_pause
    while True:
        started = trio.current_time()
        try:
            await run()
        except Exception as error:
            if fatal():
                raise
            report(name, reason_of(error))
        else:
            return
        if trio.current_time() - started > HEALTHY_AFTER:
            pause = first_pause
        await trio.sleep(pause * random.uniform(0.75, 1.25))
        pause = min(2 * pause, LONGEST_PAUSE)
