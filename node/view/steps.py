"""Views of many records are made in steps, so that the node's loop gets on with its own work in between.

A view in steps is a generator that yields where it may be interrupted and returns the view. What it goes through it has
copied before; a record that comes meanwhile may show in a part of it, and the next answer has it whole.
"""

import time
from collections.abc import Generator
from typing import Final, TypeAlias, TypeVar

import trio

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]

SLICE_SECONDS: Final = 0.004


def whole(steps: Steps[T]) -> T:
    """The view, made at once."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            made: T = done.value
            return made


async def in_turns(steps: Steps[T]) -> T:
    """The view, made in slices of SLICE_SECONDS or one step."""
    await trio.lowlevel.checkpoint()
    until = time.perf_counter() + SLICE_SECONDS
    while True:
        try:
            next(steps)
        except StopIteration as done:
            made: T = done.value
            return made
        if time.perf_counter() > until:
            await trio.lowlevel.checkpoint()
            until = time.perf_counter() + SLICE_SECONDS
