"""A talk with a predictor in its sandbox: requests go in through one pipe, logits come out through another.

What comes out is a stranger's: it is read up to the size that is due and no further, and is never more than numbers.
"""

import os
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from typing import Final

import numpy as np
import trio

from trainer.evaluator import Logits, Refused, Request
from trainer.process import Ended

HEADER: Final = struct.Struct("<3I")
CHUNK: Final = 1 << 20


async def consult(
    requests: Iterable[Request],
    vocabulary: int,
    take: Callable[[Request, Logits], None],
    run: Callable[[tuple[int, int]], Awaitable[Ended]],
) -> Ended | None:
    """Ask a predictor one request after the other, and end it after its last answer.

    The next request is sent only when the one before is answered, since it may tell what that one asked.

    Args:
        take: called in a thread with each request and its logits, (rows, length or 1, vocabulary).
        run: runs the program until it ends, given the descriptors where it reads requests and writes answers.

    Returns how the program ended, if it did so before its last answer; None if it answered everything.

    Raises:
        Refused: an answer that is none, or that `take` refuses.
    """
    ended: list[Ended] = []
    refused: list[Refused] = []
    answered = False
    with ExitStack() as stack:
        theirs_in, ours_out = os.pipe()
        stack.callback(os.close, theirs_in)
        ours_in, theirs_out = os.pipe()
        stack.callback(os.close, theirs_out)
        async with (
            trio.lowlevel.FdStream(ours_out) as out,
            trio.lowlevel.FdStream(ours_in) as into,
            trio.open_nursery() as nursery,
        ):

            async def run_to_end() -> None:
                ended.append(await run((theirs_in, theirs_out)))
                nursery.cancel_scope.cancel()

            nursery.start_soon(run_to_end)
            try:
                for request in requests:
                    logits = await _answer(out, into, request, vocabulary)
                    await trio.to_thread.run_sync(take, request, logits)
                answered = True
            except Refused as error:
                refused.append(error)
            nursery.cancel_scope.cancel()
    if refused:
        raise refused[0]
    return None if answered else ended[0]


async def _answer(out: trio.abc.SendStream, into: trio.abc.ReceiveStream, request: Request, vocabulary: int) -> Logits:
    rows, length = request.tokens.shape
    single = request.asked is not None
    await out.send_all(HEADER.pack(rows, length, single) + request.tokens.astype("<i8").tobytes())
    if request.asked is not None:
        await out.send_all(request.asked.astype("<i8").tobytes())
    due = (rows, 1 if single else length, vocabulary)
    shape = HEADER.unpack(await _read(into, HEADER.size))
    if shape != due:
        raise Refused(f"predictions for {rows} rows have the shape {shape}, and {due} was due")
    return np.frombuffer(await _read(into, 4 * rows * due[1] * vocabulary), "<f4").reshape(due)


async def _read(stream: trio.abc.ReceiveStream, size: int) -> bytearray:
    """Exactly that many bytes. The writing end is open here too, so there is no end of the stream."""
    data = bytearray()
    while len(data) < size:
        data += await stream.receive_some(min(CHUNK, size - len(data)))
    return data
