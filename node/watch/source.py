"""What the view reads: the local API of a running node, asked and listened to, across its ends and new beginnings."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx
from httpx_sse import SSEError, aconnect_sse

TIMEOUT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 45.0  # the node says every 15 s that it is there
RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 4.0)


class WatchError(Exception):
    """The node cannot be watched; the message says why and what to do."""


class Source:
    """The node at the address that `locate` gives: a node that starts anew may have another one."""

    def __init__(self, locate: Callable[[], str]) -> None:
        self._locate = locate
        # a proxy that the environment names has no business between two processes of one machine
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False)

    async def aclose(self) -> None:
        """Close what is open to the node."""
        await self._client.aclose()

    async def ask(self, path: str, **query: str) -> Any:
        """The answer to `/api/PATH`. Raises WatchError."""
        url = f"{self._locate()}/api/{path}"
        try:
            answer = await self._client.get(url, params={name: value for name, value in query.items() if value})
            if answer.status_code != httpx.codes.OK:
                raise WatchError(_reason(answer))
            return answer.json()
        except httpx.HTTPError as error:
            raise WatchError("the node does not answer") from error
        except ValueError as error:
            raise WatchError(f"{url} does not answer in JSON: it is no arnode node") from error

    async def events(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """(kind, data) of each event as it happens, without end; `lost` with its `why` if the node is not heard."""
        last_seen, tries = "", 0
        while True:
            try:
                headers = {"Last-Event-ID": last_seen} if last_seen else {}
                timeout = httpx.Timeout(TIMEOUT_SECONDS, read=SILENCE_SECONDS)
                url = f"{self._locate()}/api/events"
                async with aconnect_sse(self._client, "GET", url, headers=headers, timeout=timeout) as source:
                    if source.response.status_code != httpx.codes.OK:
                        await source.response.aread()
                        raise WatchError(_reason(source.response))
                    async for event in source.aiter_sse():
                        tries, last_seen = 0, event.id or last_seen
                        yield event.event, json.loads(event.data)
                why = "the node stopped"
            except WatchError as error:
                why = str(error)
            except (httpx.HTTPError, SSEError, ValueError):
                why = "the node does not answer"
            yield "lost", {"why": why}
            await asyncio.sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
            tries += 1


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the node answers with {answer.status_code}: {answer.text[:80]}"
