"""Gets training text to the device: documents packed into rows, batches made ahead while the device computes."""

import bisect
import queue
import threading
from collections.abc import Callable, Iterator
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

    make: makes a batch (a tuple of tensors) when the given fraction of the budget is spent; ahead of time it is told
    the last fraction that was asked for.
    """

    def __init__(self, make: Callable[[float], tuple[Tensor, Tensor]], device: torch.device, *, ahead: bool) -> None:
        self.make, self.device = make, device
        self.fraction = 0.0
        self.made: queue.Queue[tuple[Tensor, Tensor] | Exception] = queue.Queue(AHEAD)
        self.stopped = False
        self.thread = threading.Thread(target=self._make_ahead, daemon=True) if ahead else None
        if self.thread is not None:
            self.thread.start()

    def next(self, fraction: float) -> tuple[Tensor, Tensor]:
        """The next batch. Raises what making it raised."""
        if self.thread is None:
            inputs, targets = self.make(fraction)
        else:
            self.fraction = fraction
            made = self.made.get()
            if isinstance(made, Exception):
                raise made
            inputs, targets = made
        return inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)

    def close(self) -> None:
        """End the thread."""
        self.stopped = True
        while self.thread is not None and self.thread.is_alive():
            try:
                self.made.get(timeout=0.01)
            except queue.Empty:
                continue

    def _make_ahead(self) -> None:
        while not self.stopped:
            try:
                inputs, targets = self.make(self.fraction)
                if self.device.type == "cuda":  # pinned memory is copied while the card computes
                    inputs, targets = inputs.pin_memory(), targets.pin_memory()
                self.made.put((inputs, targets))
            except Exception as error:  # told to whoever waits for the batch
                self.made.put(error)
                return
