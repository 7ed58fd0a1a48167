"""The page's server: a fixed set of files, a strict policy, nothing that changes state, and readers in bounds."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

import node.server
from node.events import Event
from node.server import application, local_server
from node.state import open_state
from node.view.live import Live
from node.view.stream import MAX_READERS
from node.web import page
from node.web.api import Api
from tests.node.lab import Lab, open_lab
from tests.node.served import make_live
from tests.node.test_server import get, nothing


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with open_lab(tmp_path) as made:
        yield made


@asynccontextmanager
async def serving(lab: Lab, live: Live) -> AsyncIterator[str]:
    with open_state(lab.home, None, writing=False) as state:
        app = application(bytes, [*page.routes(), *Api(state, live).routes()])
        async with local_server("127.0.0.1:0", app, nothing) as url:
            yield url


@asynccontextmanager
async def events(url: str, headers: str = "") -> AsyncIterator[trio.SocketStream]:
    host, port = url.removeprefix("http://").split(":")
    stream = await trio.open_tcp_stream(host, int(port))
    async with stream:
        await stream.send_all(f"GET /api/events HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
        yield stream


async def read_until(stream: trio.SocketStream, wanted: str) -> str:
    text = ""
    with trio.fail_after(10):
        while wanted not in text:
            part = await stream.receive_some()
            assert part, text
            text += part.decode()
    return text


async def asked(url: str, path: str, **more: str) -> tuple[int, dict[str, str], str]:
    return await trio.to_thread.run_sync(lambda: get(url, path, **more))


async def test_every_view_answers_and_wrong_questions_are_told(lab: Lab) -> None:
    found = lab.write(lab.result({"DEPTH": 4})).id.hex()
    async with serving(lab, make_live()) as url:
        for path in ("status", "feed", "board", "progress", "effects", "notebook", "peers", "trial"):
            code, headers, text = await asked(url, f"/api/{path}")
            assert (code, headers["content-type"]) == (200, "application/json"), path
            json.loads(text)
        for path in (f"records/{found[:8]}", f"discoveries/{found}", "feed?limit=1&show=findings"):
            assert (await asked(url, f"/api/{path}"))[0] == 200, path
        for path, code in (
            ("feed?show=nonsense", 400),
            ("feed?before=1", 400),
            ("feed?before=1-zz", 400),
            (f"feed?before={'9' * 30}-00", 400),
            ("feed?limit=many", 400),
            ("records/abc", 404),
            ("records/zzzz", 404),
            ("records/" + "0" * 64, 404),
            ("records/" + "0" * 500, 404),
            ("discoveries/%25", 404),
        ):
            got, _, text = await asked(url, f"/api/{path}")
            assert got == code, path
            assert json.loads(text)["error"]


async def test_nothing_can_be_changed_and_no_other_page_may_ask(lab: Lab) -> None:
    async with serving(lab, make_live()) as url:
        paths = ("/", "/static/app.js", "/api/status", "/api/feed", "/api/events")
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            for path in paths:
                assert (await asked(url, path, method=method))[0] == 405
        for headers, code in (
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
            ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Host": "evil.example"}, 421),
        ):
            got = await trio.to_thread.run_sync(lambda h=headers: get(url, "/api/status", headers=h)[0])  # type: ignore[misc]
            assert got == code, headers


async def test_the_page_is_a_fixed_set_of_files_under_a_strict_policy(lab: Lab) -> None:
    async with serving(lab, make_live()) as url:
        code, headers, text = await asked(url, "/")
        assert code == 200
        policy = headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert "<script>" not in text
        assert "http" not in text.replace("http-equiv", "")
        for name in sorted(page.STATIC.iterdir()):
            assert (await asked(url, f"/static/{name.name}"))[0] == 200
        for name in ("..%2fpage.py", "../page.py", "%2e%2e/page.py", "page.py", "", "plotly"):
            assert (await asked(url, f"/static/{name}"))[0] == 404
        code, headers, text = await asked(url, "/static/plotly.min.js")
        assert code == 200
        assert "max-age" in headers["cache-control"]
        assert len(text) > 1_000_000


def test_plotly_is_served_without_being_imported() -> None:
    code = "import sys; from node.web import page; assert page.plotly_script(); assert 'plotly' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_who_comes_back_gets_what_it_missed(lab: Lab) -> None:
    live = make_live(started_ms=9)
    async with serving(lab, live) as url:
        async with events(url) as first:
            await read_until(first, "event: hello")
            live.tell(Event("note", 1, "me", True, {"text": "one\ntwo"}))
            seen = await read_until(first, "id: 9-1\nevent: note\n")
            assert '"text": "one\\ntwo"' in seen
        live.tell(Event("note", 2, "me", True, {"text": "meanwhile"}))
        async with events(url, "Last-Event-ID: 9-1\r\n") as second:
            assert "id: 9-2" in await read_until(second, "meanwhile")
        async with events(url, "Last-Event-ID: 8-1\r\n") as stranger:
            await read_until(stranger, "event: reset")


async def test_there_is_a_bound_on_readers_and_those_who_leave_make_room(lab: Lab) -> None:
    live = make_live()
    async with serving(lab, live) as url:
        async with trio.open_nursery() as nursery:

            async def hold() -> None:
                async with events(url) as stream:
                    await read_until(stream, "event: hello")
                    await trio.sleep_forever()

            for _ in range(MAX_READERS):
                nursery.start_soon(hold)
            with trio.fail_after(20):
                while not live.stream.full:  # noqa: ASYNC110 - the stream tells nobody
                    await trio.sleep(0.02)
            async with events(url) as one_more:
                assert "503" in await read_until(one_more, "\r\n\r\n")
            nursery.cancel_scope.cancel()
        with trio.fail_after(20):
            while live.stream.readers:  # noqa: ASYNC110
                await trio.sleep(0.02)
        async with events(url) as again:
            await read_until(again, "event: hello")


async def test_a_reader_who_takes_nothing_is_dropped(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.server, "SEND_SECONDS", 0.2)
    live = make_live()
    async with serving(lab, live) as url, events(url) as lazy:
        await read_until(lazy, "event: hello")
        with trio.fail_after(20):
            while live.stream.readers:
                live.tell(Event("note", 1, "me", True, {"text": "x" * 100_000}))
                await trio.sleep(0.002)
