"""Server-sent events: the node's events as they happen, as the HTML standard describes the format (section 9.2).

A browser that lost the connection says which event it saw last, and gets those after it. A client that does not read is
dropped: the stream ends when it falls behind, and the server closes connections that take nothing (node/server.py).
"""

from collections.abc import AsyncIterator
from typing import Final

import trio
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from node.view.stream import Message, Stream, TooManyReaders

QUIET_SECONDS: Final = 15.0
RETRY_MS: Final = 2000


def event_stream(stream: Stream, last_seen: str | None) -> Response:
    """The answer to a request for events. last_seen: the id of the last event that the client had."""
    if stream.full:
        return PlainTextResponse("too many open pages; close some\n", 503, {"Retry-After": "10"})
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_messages(stream, last_seen), media_type="text/event-stream", headers=headers)


async def _messages(stream: Stream, last_seen: str | None) -> AsyncIterator[bytes]:
    try:
        with stream.read(last_seen) as messages:
            yield f"retry: {RETRY_MS}\nevent: hello\ndata: {{}}\n\n".encode()
            while True:
                with trio.move_on_after(QUIET_SECONDS) as quiet:
                    try:
                        part = _encoded(stream, await messages.receive())
                    except trio.EndOfChannel:  # it was too slow
                        return
                yield b": still here\n\n" if quiet.cancelled_caught else part
    except TooManyReaders:
        return


def _encoded(stream: Stream, message: Message) -> bytes:
    number = f"id: {stream.epoch}-{message.number}\n" if message.number else ""
    return f"{number}event: {message.kind}\ndata: {message.data}\n\n".encode("utf-8", "replace")
