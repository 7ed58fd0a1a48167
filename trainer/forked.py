"""A program that a warm worker forked, as the node holds it: its pipes, its lifeline, and the word of its end."""

import os
import signal
import socket
import struct
from typing import Final

import trio

from trainer.watch import GRACE_SECONDS

_CREDENTIALS: Final = struct.Struct("3i")  # process, user and group id, which the kernel attaches to a message


class Forked:
    """A program that a worker forked (a `trainer.watch.Program`); `started` by trio's clock."""

    def __init__(self, lifeline: int, stdout: int, stderr: int, report: socket.socket) -> None:
        self.pid = 0
        self.started = trio.current_time()
        self.stdout: trio.abc.ReceiveStream = trio.lowlevel.FdStream(stdout)
        self.stderr: trio.abc.ReceiveStream = trio.lowlevel.FdStream(stderr)
        self._lifeline = trio.lowlevel.FdStream(lifeline)
        self._report = trio.socket.from_stdlib_socket(report)
        self._waiting = trio.Lock()
        self._code: int | None = None

    async def taken(self) -> bool:
        """Whether all was set up for it; waits until that is known, and learns its process id."""
        message, rights, _, _ = await self._report.recvmsg(16, socket.CMSG_SPACE(_CREDENTIALS.size))
        if message != b"+":
            self._note(message)
            return False
        self.pid = _CREDENTIALS.unpack(rights[0][2])[0]
        return True

    async def wait(self) -> int:
        async with self._waiting:
            if self._code is None:
                self._note(await self._report.recv(16))
        assert self._code is not None
        return self._code

    def _note(self, said: bytes) -> None:
        # without a word its supervisor was killed, and so was all below it
        code = int(said) if said else -signal.SIGKILL
        self._code = 128 - code if code > 128 else code

    async def end(self) -> None:
        await self._lifeline.aclose()
        with trio.move_on_after(GRACE_SECONDS):
            await self.wait()
        if self._code is None and self.pid:
            os.kill(self.pid, signal.SIGKILL)  # it is ours still: its supervisor has not told its end
            await self.wait()
        self._report.close()

    async def close(self) -> None:
        """Close its pipes."""
        await self.stdout.aclose()
        await self.stderr.aclose()
