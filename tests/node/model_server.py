"""A real HTTP server on loopback that speaks OpenAI's protocol and answers from a script."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[["Conversation", BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Conversation:
    """One request: when it came (time.monotonic), its JSON body, and its Authorization header."""

    at: float
    body: dict[str, Any]
    key: str

    @property
    def prompt(self) -> str:
        return "\n".join(message["content"] for message in self.body["messages"])


@dataclass
class ModelServer:
    """url: for --base-url; script: a step for each request, the last one for all that follow; heard: all requests."""

    url: str
    script: list[Step]
    heard: list[Conversation] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


def says(
    text: str | Callable[[Conversation], str] | None, *, usage: tuple[int, int] | None = (1000, 100), choices: int = 1
) -> Step:
    """An answer. text: what the model writes, or what makes it of the request; None for reasoning without an answer."""

    def step(heard: Conversation, handler: BaseHTTPRequestHandler) -> None:
        message = {"role": "assistant", "content": text(heard) if callable(text) else text, "reasoning_content": "hm"}
        data: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": heard.body["model"]}
        data["choices"] = [{"index": 0, "finish_reason": "stop", "message": message}] * choices
        if usage:
            data["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
        _send(handler, 200, data)

    return step


def fails(status: int, message: str = "no", **headers: str) -> Step:
    """An error. headers: such as Retry_After."""

    def step(heard: Conversation, handler: BaseHTTPRequestHandler) -> None:
        _send(handler, status, {"error": {"message": message.format(key=heard.key)}}, **headers)

    return step


def no_json(heard: Conversation, handler: BaseHTTPRequestHandler) -> None:
    """An answer of a proxy, not of a model."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", "6")
    handler.end_headers()
    handler.wfile.write(b"<html>")


def hangs_up(heard: Conversation, handler: BaseHTTPRequestHandler) -> None:
    """A connection that is lost in the middle of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id"')
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


@contextmanager
def model_server(*script: Step) -> Iterator[ModelServer]:
    """A server until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard = Conversation(time.monotonic(), body, self.headers.get("Authorization", ""))
            told.heard.append(heard)
            step = told.script.pop(0) if len(told.script) > 1 else told.script[0]
            try:
                step(heard, self)
            except OSError:
                self.close_connection = True  # who asked has gone

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        told = ModelServer(f"http://127.0.0.1:{server.server_port}/v1", list(script))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield told
        finally:
            told.stopped.set()
            server.shutdown()
            thread.join()


def _send(handler: BaseHTTPRequestHandler, status: int, data: object, **headers: str) -> None:
    body = json.dumps(data).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
