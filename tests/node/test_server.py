"""The local server: figures over HTTP, answers to this machine's names only, and an end that nobody can hold up."""

import http.client
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing
from prometheus_client.parser import text_string_to_metric_families

from gossip.record import Record, RecordError
from node.home import Home
from node.running import Running, running_node
from node.server import ServerError, application, listen, local_server, names_this_machine
from tests.e2e.processes import running_node as running_process
from tests.gossip.nodes import node


def get(
    url: str, path: str, *, host: str | None = None, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    """Status, headers and body."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request(method, path, headers=(headers or {}) | ({} if host is None else {"Host": host}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


async def scrape(url: str) -> dict[str, float]:
    """What Prometheus would read, by `name[label value]…`."""
    _, _, text = await trio.to_thread.run_sync(get, url, "/metrics")
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def nothing(what: str, why: str) -> None:
    raise AssertionError(f"{what}: {why}")


async def test_counts_move_when_records_come_and_when_a_hostile_one_is_refused(tmp_path: Path) -> None:
    def check(new: Record) -> None:
        if new.kind == "hypothesis":
            raise RecordError("no hypotheses here")

    async with (
        node(tmp_path / "a", check=check) as a,
        node(tmp_path / "b", bootstrap=[a.network.addresses[0]]) as b,
        local_server("127.0.0.1:0", application(a.network.metrics.text), nothing) as url,
    ):
        await b.until_heard_by(1)
        await a.until_heard_by(1)
        before = await scrape(url)
        assert before["arnode_peers[inbound]"] == 1
        assert before["arnode_records_total[gossip]"] == before["arnode_rejected_total[body]"] == 0

        await b.say()
        await a.until(lambda: a.log.count() == 1)
        await b.say("hypothesis")
        await a.until(lambda: a.network.metrics.value("arnode_rejected_total", reason="body") > 0)
        after = await scrape(url)
        assert after["arnode_records_total[gossip]"] + after["arnode_records_total[sync]"] == 1
        assert after["arnode_rejected_total[body]"] >= 1
        assert after["arnode_log_bytes"] >= before["arnode_log_bytes"] > 0


async def test_every_answer_has_strict_headers_and_nothing_can_be_changed() -> None:
    async with local_server("127.0.0.1:0", application(bytes), nothing) as url:
        for path, method, status in (("/metrics", "GET", 200), ("/x", "GET", 404), ("/metrics", "POST", 405)):
            answer, headers, _ = await trio.to_thread.run_sync(lambda p=path, m=method: get(url, p, method=m))
            assert answer == status
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers


async def test_a_request_for_another_name_is_refused() -> None:
    async with local_server("127.0.0.1:0", application(bytes), nothing) as url:
        refused, headers, _ = await trio.to_thread.run_sync(lambda: get(url, "/metrics", host="evil.example:4478"))
        assert refused == 421
        assert "content-security-policy" in headers
        answered, _, _ = await trio.to_thread.run_sync(lambda: get(url, "/metrics", host="localhost:9"))
        assert answered == 200


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:4478", True),
        ("192.168.1.7:4478", True),
        ("[::1]", True),
        ("[::1]:4478", True),
        ("localhost", True),
        ("LOCALHOST:80", True),
        (socket.gethostname(), True),
        ("", False),
        (":4478", False),
        ("evil.example", False),
        ("localhost.evil.example:4478", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("[::1].evil.example", False),
    ],
)
def test_names_of_this_machine(host: str, ours: bool) -> None:
    assert names_this_machine(host) is ours


async def test_a_taken_port_is_another_one_unless_it_was_asked_for() -> None:
    first, second = listen(None), listen(None)
    with first.socket, second.socket:
        assert first.url != second.url
        with pytest.raises(ServerError, match="in use"):
            listen(second.url.removeprefix("http://"))


@pytest.mark.parametrize("where", ["", "4478", "localhost", "example.org:80", "127.0.0.1:99999", "127.0.0.1:http"])
def test_an_address_that_is_none_is_said_to_be_none(where: str) -> None:
    with pytest.raises(ServerError, match=r"write it as 127\.0\.0\.1:4478"):
        listen(where)


async def test_a_request_that_fails_is_told_and_the_next_is_answered() -> None:
    tell, told = trio.open_memory_channel[tuple[str, str]](10)

    def broken() -> bytes:
        raise RuntimeError("no figures today")

    async with local_server("127.0.0.1:0", application(broken), lambda *words: tell.send_nowait(words)) as url:
        status, _, _ = await trio.to_thread.run_sync(get, url, "/metrics")
        assert status == 500
        with trio.fail_after(10):
            assert await told.receive() == ("local server", "RuntimeError: no figures today")
        assert (await trio.to_thread.run_sync(get, url, "/x"))[0] == 404


async def test_a_client_that_never_reads_does_not_hold_up_the_end() -> None:
    asked = 0

    def much() -> bytes:
        nonlocal asked
        asked += 1
        return bytes(32 << 20)

    async with local_server("127.0.0.1:0", application(much), nothing) as url:
        where = urlsplit(url)
        client = await trio.open_tcp_stream(where.hostname or "", where.port or 0)
        await client.send_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with trio.fail_after(10):
            while not asked:  # noqa: ASYNC110 - the server tells nobody
                await trio.sleep(0.01)
        await trio.testing.wait_all_tasks_blocked(0.05)
        started = trio.current_time()
    assert trio.current_time() - started < 3
    await client.aclose()


def test_a_node_tells_other_commands_where_it_is_until_it_ends(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert running_node(home) is None
    with running_process(home.folder, "--no-research") as process:
        listening = process.wait_for(lambda event: event["event"] == "listening")
        found = running_node(home)
        assert found is not None
        assert (found.pid, list(found.addresses)) == (process.process.pid, listening["addresses"])
        assert found.url == listening["url"]
        assert "arnode_start_time_seconds" in get(found.url or "", "/metrics")[2]
        assert '<main id="main"' in get(found.url or "", "/")[2]
        assert json.loads(get(found.url or "", "/api/status")[2])["node"]["author"] == listening["author"]
        keep = socket.create_connection((urlsplit(found.url).hostname, urlsplit(found.url).port))
        with keep:
            assert process.stop(signal.SIGINT) < 5
    assert running_node(home) is None
    assert not home.running.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: "",
        lambda good: "[]",
        lambda good: good | {"pid": 2**22 + 1},  # more than any process has
        lambda good: good | {"born": 1.0},  # the number now belongs to another process
        lambda good: good | {"born": None},
        lambda good: {"pid": good["pid"]},
    ],
)
def test_a_file_that_a_dead_node_left_is_no_running_node(
    spoil: Callable[[dict[str, object]], object], tmp_path: Path
) -> None:
    home = Home(tmp_path)
    good = {"pid": os.getpid(), "born": _born(), "swarm": "main", "addresses": ["/ip4/1.2.3.4/tcp/5"], "url": None}
    home.running.write_text(json.dumps(good))
    assert running_node(home) == Running(os.getpid(), _born(), "main", ("/ip4/1.2.3.4/tcp/5",), None)
    home.running.write_text(json.dumps(spoil(good)))
    assert running_node(home) is None


def _born() -> float:
    import psutil

    return psutil.Process().create_time()
