"""The JSON API: `/api/…`, GET only. Each answer is one view of node/view/ as JSON.

Answers that only depend on the records are kept until a record arrives, so that many open pages cost as much as one.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gossip.network import now_ms
from node.state import State
from node.view.board import board_of
from node.view.discovery import discovery
from node.view.effects import effects
from node.view.feed import FILTERS, Filter, feed, place_of
from node.view.ideas import notebook_view
from node.view.live import Live
from node.view.peers import peers
from node.view.progress import progress
from node.view.record import record_view
from node.view.status import status
from node.view.trial import trial
from node.web.sse import EventStream

PAGE: Final = 50
ID_DIGITS: Final = 4  # the fewest digits of an id that are looked up


class BadQuestion(Exception):
    """A parameter that means nothing here; the message says which, and what it may be."""


@dataclass
class Api:
    """The routes over one node's state."""

    state: State
    live: Live
    _kept: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def routes(self) -> list[Route]:
        """All of the API."""
        return [
            Route("/api/status", self._whole(lambda: status(self.state, self.live, now_ms()))),
            Route("/api/trial", self._whole(lambda: trial(self.live))),
            Route("/api/peers", self._whole(lambda: peers(self.state, self.live))),
            Route("/api/notebook", self._whole(lambda: notebook_view(self.state, self.live, now_ms()))),
            Route("/api/board", self._from_records("board", lambda: board_of(self.state))),
            Route("/api/progress", self._from_records("progress", lambda: progress(self.state))),
            Route("/api/effects", self._from_records("effects", lambda: effects(self.state))),
            Route("/api/feed", self._asked(self._feed)),
            Route("/api/discoveries/{id}", self._asked(self._discovery)),
            Route("/api/records/{id}", self._record),
            Route("/api/events", self._events),
        ]

    def _whole(self, view: Callable[[], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return as_json(view())

        return answer

    def _from_records(self, name: str, view: Callable[[], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            at, body = self._kept.get(name, (-1, b""))
            if at != self.state.changes:
                at, body = self.state.changes, encoded(view())
                self._kept[name] = (at, body)
            return Response(body, media_type="application/json")

        return answer

    def _asked(self, view: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                found = view(request)
            except BadQuestion as error:
                return as_json({"error": str(error)}, 400)
            return as_json({"error": "there is none of that id"}, 404) if found is None else as_json(found)

        return answer

    def _feed(self, request: Request) -> Any:
        asked = request.query_params
        show = asked.get("show", "all")
        if show not in FILTERS:
            raise BadQuestion(f"show={show[:40]!r}: one of {', '.join(FILTERS)}")
        try:
            before = place_of(asked["before"]) if "before" in asked else None
            limit = int(asked.get("limit", PAGE))
        except ValueError as error:
            raise BadQuestion(f"before is what `next` of another page said, limit a number ({error})") from error
        chosen: Filter = show  # type: ignore[assignment]
        return feed(self.state, self.live, before=before, limit=limit, show=chosen)

    def _discovery(self, request: Request) -> Any:
        record_id = self._id(request)
        return None if record_id is None else discovery(self.state, record_id)

    async def _record(self, request: Request) -> Response:
        def view() -> Any:
            record_id = self._id(request)
            record = None if record_id is None else self.state.log.get(record_id)
            return None if record is None else record_view(self.state, record)

        # a stranger's edit may take long to compare; what is read of the state there is single look-ups
        found = await trio.to_thread.run_sync(view)
        return as_json({"error": "no one record has such an id"}, 404) if found is None else as_json(found)

    def _id(self, request: Request) -> bytes | None:
        digits = request.path_params["id"]
        found = self.state.log.find(digits) if ID_DIGITS <= len(digits) <= 64 else []
        return found[0].id if len(found) == 1 else None

    async def _events(self, request: Request) -> Response:
        return EventStream(self.live.stream, request.headers.get("last-event-id"))


def encoded(value: Any) -> bytes:
    """JSON in UTF-8. Whatever is in a record's text, the answer is one that a browser can decode."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def as_json(value: Any, status_code: int = 200) -> Response:
    """The answer."""
    return Response(encoded(value), status_code, media_type="application/json")
