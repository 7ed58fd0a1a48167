"""What the library's Yamux over Noise does for each message, counted, and what ours does instead."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.stream.exceptions import StreamEOF, StreamError
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, TYPE_WINDOW_UPDATE, Yamux

from gossip import wire
from gossip.upstream import swarm_of
from tests.gossip import bare
from tests.gossip.nodes import hardened

ECHO = TProtocol("/echo")
MIX = [(bare.stranger, hardened), (hardened, bare.stranger), (hardened, hardened)]


@asynccontextmanager
async def two(
    one: Callable[[], BasicHost], other: Callable[[], BasicHost], serve: Callable[[INetStream], object]
) -> AsyncIterator[INetStream]:
    """A stream between two hosts; `serve` has the other end."""
    async with bare.running(one(), bare.ANY) as server, bare.running(other()) as client:
        server.set_stream_handler(ECHO, serve)  # type: ignore[arg-type]
        await swarm_of(client).dial_addr(server.get_transport_addrs()[0], server.get_id())
        yield await client.new_stream(server.get_id(), [ECHO])


async def exactly(stream: INetStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.read(size - len(data))
    return data


async def echo(stream: INetStream) -> None:
    try:
        while True:
            await stream.write(await stream.read(100_000))
    except StreamEOF:
        await stream.close()


@pytest.mark.parametrize(("one", "other"), MIX)
async def test_bytes_arrive_whole_whoever_sends_them(
    one: Callable[[], BasicHost], other: Callable[[], BasicHost]
) -> None:
    sent = bytes(range(256)) * 8000  # more than a window
    async with two(one, other, echo) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.write, sent)
        assert await exactly(stream, len(sent)) == sent
        await stream.close_write()
        with pytest.raises(StreamEOF):
            await stream.read(1)


@pytest.mark.parametrize(("made", "updates"), [(bare.stranger, True), (hardened, False)])
async def test_small_messages_cause_no_window_updates(
    made: Callable[[], BasicHost], updates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: Counter[int] = Counter()
    for kind in (Yamux, wire.LeanYamux):

        async def counted(self: Yamux, data: bytes, plain: Callable[..., object] = kind._write_frame) -> None:
            if data[1] != TYPE_DATA or len(data) > 2000:  # and not what identify says meanwhile
                frames[data[1]] += 1
            await plain(self, data)  # type: ignore[misc]

        monkeypatch.setattr(kind, "_write_frame", counted)
    async with two(made, made, echo) as stream:
        frames.clear()
        for _ in range(20):
            await stream.write(b"x" * 2000)
            await exactly(stream, 2000)
    assert frames[TYPE_DATA] == 40
    assert (frames[TYPE_WINDOW_UPDATE] >= 40) is updates


@pytest.mark.parametrize(("made", "locks"), [(bare.stranger, True), (hardened, False)])
async def test_a_message_takes_few_turns_of_the_scheduler(made: Callable[[], BasicHost], locks: bool) -> None:
    class Turns(trio.abc.Instrument):
        count = 0

        def before_task_step(self, task: object) -> None:
            self.count += 1

    async with two(made, made, echo) as stream:
        turns = Turns()
        trio.lowlevel.add_instrument(turns)
        for _ in range(20):
            await stream.write(b"x" * 2000)
            await exactly(stream, 2000)
        trio.lowlevel.remove_instrument(turns)
    assert (turns.count / 40 > 20) is locks, turns.count / 40


@pytest.mark.parametrize(("made", "breaks"), [(bare.stranger, True), (hardened, False)])
async def test_a_cancelled_write_leaves_the_connection_whole(made: Callable[[], BasicHost], breaks: bool) -> None:
    reading = trio.Event()

    async def read_late(stream: INetStream) -> None:
        await reading.wait()
        await echo(stream)

    async with two(made, made, read_late) as stream:
        connection = stream.muxed_conn
        other = await connection.open_stream()
        with trio.move_on_after(0.3):
            for _ in range(200):  # more than the window, and than the socket holds
                await stream.write(b"x" * 60_000)
        reading.set()
        with trio.move_on_after(2) as scope:
            await other.write(b"\x13/multistream/1.0.0\n")
            assert await other.read(20) == b"\x13/multistream/1.0.0\n"
        assert scope.cancelled_caught is False or breaks
        assert not connection.is_closed or breaks


async def test_what_came_before_the_connection_ended_can_be_read() -> None:
    async def say_and_leave(stream: INetStream) -> None:
        await stream.write(b"farewell")
        await stream.muxed_conn.close()

    async with two(hardened, hardened, say_and_leave) as stream:
        assert await stream.read(100) == b"farewell"
        with pytest.raises((StreamEOF, StreamError)):
            await stream.read(100)


async def test_a_writer_is_woken_when_its_stream_or_connection_ends() -> None:
    async def never_read(stream: INetStream) -> None:
        await trio.sleep_forever()

    for end in ("reset", "close"):
        async with two(hardened, hardened, never_read) as stream:
            with trio.fail_after(5):
                async with trio.open_nursery() as nursery:

                    async def write(stream: INetStream = stream) -> None:
                        with pytest.raises(StreamError):
                            await stream.write(bytes(yamux.DEFAULT_WINDOW_SIZE + 1))

                    nursery.start_soon(write)
                    await trio.testing.wait_all_tasks_blocked(0.05)
                    await (stream.reset() if end == "reset" else stream.muxed_conn.close())
