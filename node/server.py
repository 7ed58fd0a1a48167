"""The local HTTP server of a running node: `/metrics`, and the page with its API (node/web/).

It listens on loopback unless told otherwise, changes nothing, and answers only requests that name this machine: a page
from elsewhere whose name is made to resolve to 127.0.0.1 (DNS rebinding) must not read what only this machine may. Nor
may a page of another origin use it: it could read no answer, but take up connections.
"""

import errno
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, RawData
from hypercorn.events import Event as ServerEvent
from hypercorn.trio import run as hypercorn_run
from hypercorn.trio import serve as serve_hypercorn
from hypercorn.trio.tcp_server import TCPServer
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gossip.metrics import CONTENT_TYPE
from gossip.reasons import reason_of
from gossip.supervise import supervise

PORT: Final = 4478
LOOPBACK: Final = "127.0.0.1"
BACKLOG: Final = 64
SEND_SECONDS: Final = 10.0
STRICT: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class ServerError(Exception):
    """The local server cannot be where it was told to be; the message says why and what to do."""


@dataclass(frozen=True)
class Listener:
    """A bound and listening socket, and the address that a browser reaches it by."""

    socket: socket.socket
    url: str


@asynccontextmanager
async def local_server(where: str | None, app: ASGIApp, report: Callable[[str, str], object]) -> AsyncIterator[str]:
    """Serve until the block ends; gives the server's address, such as `http://127.0.0.1:4478`.

    where: `127.0.0.1:4478`, `[::1]:0`; None for PORT on loopback, or a free port if that is taken. report: hears
    (what, why) of what fails. Raises ServerError.
    """
    listener = listen(where)
    with listener.socket:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, "local server", partial(serve, listener, app, report), report)
            yield listener.url
            nursery.cancel_scope.cancel()


def listen(where: str | None) -> Listener:
    """A listening socket at that place, see `local_server`. Raises ServerError."""
    if where is not None:
        return _listen(*_split(where))
    try:
        return _listen(LOOPBACK, PORT)
    except ServerError:
        return _listen(LOOPBACK, 0)


def _split(where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        if not 0 <= int(port) < 1 << 16:
            raise ValueError(f"{port} is no port")
    except ValueError as error:
        raise ServerError(f"--http {where!r} is not an address ({error}): write it as {LOOPBACK}:{PORT}") from error
    return host, int(port)


def _listen(host: str, port: int) -> Listener:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise ServerError(f"--http {host}:{port}: the port is in use; choose another, or 0 for any") from error
        raise ServerError(f"--http {host}:{port}: {error.strerror}") from error
    shown = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)
    return Listener(made, f"http://{f'[{shown}]' if ':' in shown else shown}:{made.getsockname()[1]}")


def application(metrics: Callable[[], bytes], routes: Sequence[BaseRoute] = ()) -> ASGIApp:
    """What the server answers. metrics: gives the text that Prometheus reads; routes: the page and its API."""

    async def show_metrics(request: Request) -> Response:
        return Response(metrics(), media_type=CONTENT_TYPE)

    return strict(Starlette(routes=[Route("/metrics", show_metrics), *routes]))


def strict(app: ASGIApp) -> ASGIApp:
    """The application behind a check of the Host header, with the headers of STRICT in every answer."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return

        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in STRICT.items():
                    headers.setdefault(name, value)  # the page has a policy of its own
            await send(message)

        asked = Headers(scope=scope)
        if not names_this_machine(asked.get("host", "")):
            refusal = PlainTextResponse("This server answers to an IP address or localhost only.\n", 421)
            await refusal(scope, receive, send_strictly)
        elif _of_another_page(asked):
            refusal = PlainTextResponse("This server answers no pages but its own.\n", 403)
            await refusal(scope, receive, send_strictly)
        else:
            await app(scope, receive, send_strictly)

    return answer


def _of_another_page(headers: Headers) -> bool:
    """Whether a browser says that a page of another origin asks; a link that a person follows is none."""
    origin = headers.get("origin")
    if origin is not None:
        return origin != f"http://{headers.get('host', '')}"
    if headers.get("sec-fetch-mode") == "navigate":
        return headers.get("sec-fetch-dest") != "document"
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def names_this_machine(host: str) -> bool:
    """Whether a Host header is an IP address, `localhost` or this machine's own name, with or without a port.

    No name that a stranger can register is among these, so none of his pages is served under it.
    """
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return name.lower() in ("localhost", socket.gethostname().lower())
    return True


async def serve(listener: Listener, app: ASGIApp, report: Callable[[str, str], object]) -> None:
    """Serve until cancelled, and then end at once. report: hears (what, why) of requests that failed.

    May be called again after it failed: it works on a duplicate of the socket.
    """
    vars(hypercorn_run)["TCPServer"] = _Connection
    config = Config()
    config.bind = [f"fd://{listener.socket.dup().detach()}"]
    config.include_server_header = False
    config.errorlog = _logger(report)
    await serve_hypercorn(app, config, mode="asgi")  # type: ignore[arg-type]


class _Connection(TCPServer):
    """Symptom: a client that stops reading keeps the process from ending, since sending is shielded and unbounded."""

    async def protocol_send(self, event: ServerEvent) -> None:
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        async with self.send_lock:
            try:
                with trio.fail_after(SEND_SECONDS):
                    await self.stream.send_all(event.data)
            except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
                await self.stream.aclose()
                await self.protocol.handle(Closed())


class _Report(logging.Handler):
    def __init__(self, report: Callable[[str, str], object]) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._report("local server", reason_of(error) if error else record.getMessage())


def _logger(report: Callable[[str, str], object]) -> logging.Logger:
    logger = logging.getLogger("arnode.server")
    logger.handlers, logger.propagate = [_Report(report)], False
    return logger
