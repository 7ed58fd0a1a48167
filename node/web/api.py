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

from gossip.clock import now_ms
from node.state import State
from node.view.board import board_in_steps
from node.view.discovery import discovery
from node.view.effects import effects
from node.view.feed import FILTERS, feed, place_of
from node.view.live import Live
from node.view.peers import peers
from node.view.progress import progress_in_steps
from node.view.record import record_view
from node.view.said import notebook_view
from node.view.status import status
from node.view.steps import Steps, in_turns
from node.view.trial import trial
from node.web.sse import EventStream

PAGE: Final = 50
ID_DIGITS: Final = 4  # the fewest digits of an id that are looked up


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
            Route("/api/peers", self._peers),
            Route("/api/notebook", self._whole(lambda: notebook_view(self.state, self.live, now_ms()))),
            Route("/api/board", self._from_records("board", lambda: board_in_steps(self.state))),
            Route("/api/progress", self._from_records("progress", lambda: progress_in_steps(self.state))),
            Route("/api/effects", self._from_records("effects", lambda: effects(self.state))),
            Route("/api/feed", self._feed),
            Route("/api/discoveries/{id}", self._discovery),
            Route("/api/records/{id}", self._record),
            Route("/api/events", self._events),
        ]

    def _whole(self, view: Callable[[], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return as_json(view())

        return answer

    def _from_records(self, name: str, view: Callable[[], Steps[Any]]) -> Callable[[Request], Any]:
        making = trio.Lock()  # who asks meanwhile gets the same answer

        async def answer(request: Request) -> Response:
            async with making:
                at, body = self._kept.get(name, (-1, b""))
                if at != self.state.changes:
                    at = self.state.changes
                    made = await in_turns(view())
                    await trio.lowlevel.checkpoint()
                    body = encoded(made)
                    self._kept[name] = (at, body)
            return Response(body, media_type="application/json")

        return answer

    async def _peers(self, request: Request) -> Response:
        return as_json(await in_turns(peers(self.state, self.live)))

    async def _feed(self, request: Request) -> Response:
        try:
            page = _page_asked(request)
        except ValueError as error:
            return as_json({"error": f"{error} (docs/api.md says what can be asked for)"}, 400)
        return as_json(await in_turns(feed(self.state, self.live, **page)))

    async def _discovery(self, request: Request) -> Response:
        record_id = self._id(request)
        found = None if record_id is None else discovery(self.state, record_id)
        return as_json({"error": "no discovery has a record of that id"}, 404) if found is None else as_json(found)

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


def _page_asked(request: Request) -> dict[str, Any]:
    """The arguments of `feed`. Raises ValueError."""
    asked = request.query_params
    show = asked.get("show", "all")
    if show not in FILTERS:
        raise ValueError(f"show={show[:40]!r}: one of {', '.join(FILTERS)}")
    before = place_of(asked["before"]) if "before" in asked else None
    return {"before": before, "limit": int(asked.get("limit", PAGE)), "show": show}


def encoded(value: Any) -> bytes:
    """JSON in UTF-8. Whatever is in a record's text, the answer is one that a browser can decode."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def as_json(value: Any, status_code: int = 200) -> Response:
    """The answer."""
    return Response(encoded(value), status_code, media_type="application/json")
