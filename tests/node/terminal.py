"""A command of arnode in a terminal of its own (a pty): what a person sees, and what they type."""

import errno
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.processes import command_line, environment

NO_VARIABLES: Mapping[str, str] = {}


class Terminal:
    """Use `terminal`. seen: everything that was on the screen, without colours."""

    def __init__(self, process: subprocess.Popen[bytes], line: int) -> None:
        self.process = process
        self._line = line
        self._raw = b""

    @property
    def raw(self) -> str:
        return self._raw.decode(errors="replace")

    @property
    def seen(self) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.raw).replace("\r\n", "\n")

    def until(self, words: str, seconds: float = 60) -> None:
        """Wait until the words were on the screen."""
        deadline = time.monotonic() + seconds
        while words not in self.seen:
            assert self._read(deadline), f"{words!r} was not seen, but {self.seen!r}"

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._line, text.encode() + b"\n")

    def press(self, key: str) -> None:
        """Press a key, without return."""
        os.write(self._line, key.encode())

    def resize(self, columns: int, rows: int = 24) -> None:
        """Make the terminal another size, as when its window is dragged."""
        fcntl.ioctl(self._line, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self, seconds: float = 60) -> int:
        """Wait for the end; the exit status."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self.process.wait(timeout=max(1.0, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._line], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"nothing more to see; seen: {self.seen!r}")
        try:
            data = os.read(self._line, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # what Linux says at the end
                raise
            data = b""
        self._raw += data
        return bool(data)


@contextmanager
def terminal(
    *arguments: str | Path,
    home: Path,
    columns: int = 80,
    rows: int = 24,
    stdin: int | None = None,
    variables: Mapping[str, str] = NO_VARIABLES,
) -> Iterator[Terminal]:
    """Run a command of arnode in a terminal of that size, ended with the block."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    # these would be believed rather than the terminal
    plain = {name: value for name, value in environment().items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command_line(home, *arguments),
        stdin=theirs if stdin is None else stdin,
        stdout=theirs,
        stderr=theirs,
        env=plain | {"TERM": "xterm-256color"} | dict(variables),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
