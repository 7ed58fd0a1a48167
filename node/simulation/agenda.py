"""What happens when: calls at moments in virtual time, by one task in place of one for each."""

import heapq
from collections.abc import Callable
from itertools import count

import trio


class Agenda:
    """Calls without arguments, in the order of their moments; of one moment, in the order they were entered."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._sooner = trio.Event()

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Have `call` called at a moment of trio's clock, in seconds; at once if that is past."""
        heapq.heappush(self._due, (moment, next(self._order), call))
        if self._due[0][2] is call:
            self._sooner.set()

    async def run(self) -> None:
        """Call what is due. Runs until cancelled."""
        while True:
            now = trio.current_time()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            self._sooner = trio.Event()
            with trio.move_on_at(self._due[0][0] if self._due else float("inf")):
                await self._sooner.wait()
