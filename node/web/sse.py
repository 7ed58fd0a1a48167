"""Server-sent events: the node's events as they happen, as the HTML standard describes the format (section 9.2).

A browser that lost the connection says which event it saw last, and gets those after it. A client that does not read is
dropped: the stream ends when it falls behind, and the server closes connections that take nothing (node/server.py).
"""

from typing import Final

import trio
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from node.view.stream import Message, Stream, TooManyReaders

QUIET_SECONDS: Final = 15.0
RETRY_MS: Final = 2000


class EventStream(Response):
    """The answer to a request for events. last_seen: the id of the last event that the client had."""

    media_type = "text/event-stream"

    def __init__(self, stream: Stream, last_seen: str | None) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._stream = stream
        self._last_seen = last_seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._stream.read(self._last_seen) as messages:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    await self._pass_on(messages, send)
                    nursery.cancel_scope.cancel()
        except TooManyReaders:
            refusal = PlainTextResponse("too many open pages; close some\n", 503, {"Retry-After": "10"})
            await refusal(scope, receive, send)

    async def _pass_on(self, messages: "trio.MemoryReceiveChannel[Message]", send: Send) -> None:
        text = f"retry: {RETRY_MS}\nevent: hello\ndata: {{}}\n\n"
        while True:
            await send({"type": "http.response.body", "body": text.encode("utf-8", "replace"), "more_body": True})
            with trio.move_on_after(QUIET_SECONDS) as quiet:
                try:
                    text = self._written(await messages.receive())
                except trio.EndOfChannel:  # it was too slow
                    break
            if quiet.cancelled_caught:
                text = ": still here\n\n"
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _written(self, message: Message) -> str:
        number = f"id: {self._stream.epoch}-{message.number}\n" if message.number else ""
        return f"{number}event: {message.kind}\ndata: {message.data}\n\n"


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
