"""Counting what Python and SQLite do, exactly: the same in every run, however busy the machine is.

Bytecode is counted by the interpreter's own tracing (`sys.settrace` with `f_trace_opcodes`), which slows the work down
twenty times or so and changes nothing in it. What runs in C counts with the one instruction that called it.
"""

import gc
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Self


class Counted:
    """Counts what this thread, and threads that it starts, do inside a `with`.

    bytecodes: instructions that the interpreter executed; calls: of functions written in Python, and coroutines that
    went on.
    """

    def __init__(self) -> None:
        self.bytecodes = 0
        self.calls = 0

    def __enter__(self) -> Self:
        gc.collect()
        gc.disable()  # what a collection would finish is of work before
        threading.settrace(self._call)
        sys.settrace(self._call)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        sys.settrace(None)
        threading.settrace(None)
        gc.enable()

    def _call(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is Counted.__exit__.__code__:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        self.calls += 1
        return self._instruction

    def _instruction(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            self.bytecodes += 1
        return self._instruction


def counted(work: Callable[[], object]) -> Counted:
    """What one call of `work` costs."""
    with Counted() as count:
        work()
    return count


@dataclass
class Statements:
    """statements: how many SQLite ran; steps: instructions of its virtual machine."""

    statements: int = 0
    steps: int = 0


@contextmanager
def statements(connection: sqlite3.Connection) -> Iterator[Statements]:
    """What this connection does meanwhile."""
    found = Statements()

    def statement(_: str) -> None:
        found.statements += 1

    def step() -> int:
        found.steps += 1
        return 0

    connection.set_trace_callback(statement)
    connection.set_progress_handler(step, 1)
    try:
        yield found
    finally:
        connection.set_trace_callback(None)
        connection.set_progress_handler(None, 0)
