"""The time that a conversation gives to the peer, to this side and to the whole."""

from contextlib import AbstractAsyncContextManager
from typing import cast

import msgpack
import pytest
import trio
from libp2p.abc import INetStream
from trio.testing import MockClock

from gossip.frames import FRAME_SECONDS, SLACK_SECONDS, Frames, PeerGone, conversation

HOUR = 3600.0


class Line:
    """A stream on which frames come after so many seconds of waiting each; at its end the peer is silent.

    closing: seconds that a close takes.
    """

    def __init__(self, *pauses: float, closing: float = 0.0) -> None:
        self._pauses = list(pauses)
        self._closing = closing
        self.ended = ""

    async def read(self, n: int | None = None) -> bytes:
        await trio.sleep(self._pauses.pop(0) if self._pauses else HOUR)
        body = msgpack.packb(["frame"])
        return len(body).to_bytes(4, "big") + body

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await trio.sleep(self._closing)
        self.ended = "closed"

    async def reset(self) -> None:
        await trio.lowlevel.checkpoint()
        self.ended = "reset"


def talk(line: Line, seconds: float = HOUR) -> AbstractAsyncContextManager[Frames]:
    return conversation(cast("INetStream", line), budget=1 << 20, seconds=seconds)


async def all_of(frames: Frames) -> None:
    while True:
        await frames.receive()


async def test_a_silent_peer_is_left_after_the_time_for_a_frame(autojump_clock: MockClock) -> None:
    line, began = Line(), trio.current_time()
    with pytest.raises(PeerGone, match="nothing came or went"):
        async with talk(line) as frames:
            await frames.receive()
    assert FRAME_SECONDS <= trio.current_time() - began <= FRAME_SECONDS + SLACK_SECONDS
    assert line.ended == "reset"


async def test_each_frame_has_its_own_time_and_the_whole_has_an_end(autojump_clock: MockClock) -> None:
    late = FRAME_SECONDS - 1
    line, began = Line(*[late] * 100), trio.current_time()
    with pytest.raises(PeerGone, match="not done after 100 s"):
        async with talk(line, seconds=100) as frames:
            await all_of(frames)
    assert trio.current_time() - began == pytest.approx(100)


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_late_frame_takes_nothing_of_this_sides_own_time(autojump_clock: MockClock, ahead: bool) -> None:
    late = FRAME_SECONDS - 1
    line = Line(late, late)
    async with talk(line) as frames:
        for _ in range(2):
            await frames.receive()
            await trio.sleep(late)
            await frames.send("thanks")
            await trio.sleep(late)
        if ahead:
            async with frames.reading_ahead(4):
                await trio.sleep(10 * FRAME_SECONDS)
    assert line.ended == "closed"


async def test_while_reading_ahead_this_side_may_work_for_long(autojump_clock: MockClock) -> None:
    line = Line(1, 1, 1)
    async with talk(line) as frames, frames.reading_ahead(4):
        for _ in range(3):
            await frames.receive()
            await trio.sleep(10 * FRAME_SECONDS)
            await frames.send("more")
            await trio.sleep(10 * FRAME_SECONDS)
    assert line.ended == "closed"


async def test_a_close_that_never_ends_is_given_up(autojump_clock: MockClock) -> None:
    line, began = Line(closing=HOUR), trio.current_time()
    with pytest.raises(PeerGone):
        async with talk(line) as frames:
            await frames.send("bye")
    assert trio.current_time() - began <= FRAME_SECONDS + SLACK_SECONDS
    assert line.ended == "reset"
