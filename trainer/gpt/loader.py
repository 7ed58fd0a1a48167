"""Gets training text to the device: documents packed into rows, batches made ahead while the device computes."""

import bisect
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

Tokens = np.ndarray[Any, Any]
BUFFER = 1000  # documents that wait to be packed: the more, the less is cut
AHEAD = 2  # batches that wait to be trained on


def best_fit(documents: Iterator[Tokens], length: int) -> Iterator[Tokens]:
    """Rows of `length` tokens, each beginning with a document's first token and full to the last.

    Into what is left of a row goes the largest of the waiting documents that fits; where none fits, the shortest, cut
    to fill, and its rest is lost. (Best-fit packing: Ding et al., 2024, as nanochat does it.) Ends with the documents.
    """
    waiting: list[tuple[int, int, Tokens]] = []  # by length, then by arrival
    arrived = 0
    row, room = np.empty(length, dtype=np.int64), length
    while True:
        while len(waiting) < BUFFER and (document := next(documents, None)) is not None:
            if len(document):
                bisect.insort(waiting, (len(document), arrived, document), key=lambda entry: entry[:2])
                arrived += 1
        if not waiting:
            return
        fitting = bisect.bisect_right(waiting, room, key=lambda entry: entry[0])
        document = waiting.pop(max(fitting - 1, 0))[2][:room]
        row[length - room : length - room + len(document)] = document
        room -= len(document)
        if room == 0:
            yield row
            row, room = np.empty(length, dtype=np.int64), length


class Batches:
    """Batches on a device, made ahead in a thread; on a CPU, which has no time to spare, made when asked for.

    make: makes inputs and targets when the given fraction of the budget is spent; ahead of time it is told the last
    fraction that was asked for.
    """

    def __init__(self, make: Callable[[float], tuple[Tensor, Tensor]], device: torch.device, *, ahead: bool) -> None:
        self.make, self.device = make, device
        self.thread = ThreadPoolExecutor(1) if ahead else None
        self.coming = deque(self.thread.submit(self._pinned, 0.0) for _ in range(AHEAD)) if self.thread else deque()

    def next(self, fraction: float) -> tuple[Tensor, Tensor]:
        """The next batch. Raises what making it raised."""
        if self.thread is None:
            inputs, targets = self.make(fraction)
        else:
            inputs, targets = self.coming.popleft().result()
            self.coming.append(self.thread.submit(self._pinned, fraction))
        return inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)

    def close(self) -> None:
        """End the thread."""
        if self.thread is not None:
            self.thread.shutdown(cancel_futures=True)

    def _pinned(self, fraction: float) -> tuple[Tensor, Tensor]:
        inputs, targets = self.make(fraction)
        if self.device.type == "cuda":  # pinned memory is copied while the card computes
            return inputs.pin_memory(), targets.pin_memory()
        return inputs, targets
