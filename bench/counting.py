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
from typing import Any


@dataclass
class Count:
    """bytecodes: instructions that the interpreter executed; calls: of functions written in Python."""

    bytecodes: int = 0
    calls: int = 0


def counted(work: Callable[[], object]) -> Count:
    """What one call of `work` costs, in this thread and in those that it starts."""
    count = Count()

    def instruction(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            count.bytecodes += 1
        return instruction

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count.calls += 1
        return instruction

    before, collecting = sys.gettrace(), gc.isenabled()
    gc.collect()
    gc.disable()  # what a collection would finish is of work before
    threading.settrace(call)
    sys.settrace(call)
    try:
        work()
    finally:
        sys.settrace(before)
        threading.settrace(None)
        if collecting:
            gc.enable()
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
