"""The feed: records as events, the latest first, page by page, with a filter.

The order is (time, id), which does not depend on how records came here. A page is found through the log's index and the
notebook, so that only the records that are shown are read in full.
"""

from typing import Any, Final, Literal, TypeAlias, get_args

from agent.entries import NO_TASK, kept, read_if_known
from node.events import Event
from node.state import State
from node.view.live import Live
from node.view.steps import Steps

Filter = Literal["all", "findings", "own", "ideas", "failures"]
FILTERS: Final = get_args(Filter)
MAX_PAGE: Final = 200
SCANNED: Final = 2000
TOLD: Final = frozenset({"trouble", "stopped", "confirmed", "model", "note", "listening"})
END_MS: Final = 1 << 62

Place: TypeAlias = tuple[int, bytes]
Row: TypeAlias = tuple[int, bytes, str, bytes]


def feed(state: State, live: Live | None, *, before: Place | None, limit: int, show: Filter) -> Steps[dict[str, Any]]:
    """A page of the feed.

    before: (time_ms, record id) that all of it comes before. limit: at most MAX_PAGE records; a filtered page may have
    fewer, since no more than SCANNED are looked through. Returns `events` as `Event.to_dict` has them, and `next`: what
    to ask for as `before` to get what is older, None at the end.
    """
    limit = max(1, min(limit, MAX_PAGE))
    at_most = limit if show == "all" else SCANNED
    rows = state.log.latest(before, at_most, (state.task.fingerprint, NO_TASK))
    seen, events = 0, list[Event]()
    for row in rows:
        seen += 1
        if _wanted(state, row, show):
            record = state.log.get(row[1])
            if record is not None and read_if_known(record) is not None:
                events.append(state.event_of(record))
            yield
            if len(events) == limit:
                break
    more = seen < len(rows) or len(rows) == at_most
    last = rows[seen - 1] if seen else None
    if live is not None and show in ("all", "own"):
        oldest, newest = last[0] if more and last else 0, before[0] if before else END_MS
        events += [event for event in live.notices if event.kind in TOLD and oldest <= event.time_ms < newest]
        events.sort(key=lambda event: -event.time_ms)
    return {
        "events": [event.to_dict() for event in events],
        "next": f"{last[0]}-{last[1].hex()}" if more and last else None,
    }


def place_of(text: str) -> Place:
    """Read `next` of an earlier page. Raises ValueError."""
    time_ms, _, record_id = text.partition("-")
    place = int(time_ms), bytes.fromhex(record_id)
    if not 0 <= place[0] <= END_MS or len(place[1]) != 32:
        raise ValueError(f"{text[:80]!r} is no place in the feed")
    return place


def _wanted(state: State, row: Row, show: Filter) -> bool:
    _, record_id, kind, author = row
    match show:
        case "all":
            return True
        case "own":
            return author == state.me
        case "ideas":
            return kind in ("hypothesis", "insight")
    test = state.notebook.experiment(record_id)
    if test is None:
        return False
    return test.verdict == "crash" if show == "failures" else kept(test.verdict)
