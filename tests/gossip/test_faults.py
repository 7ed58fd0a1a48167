"""A fault in any task or handler of the network is told and mended, and the node goes on."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.host.basic_host import BasicHost

from gossip import network as network_module
from gossip.events import PeerRejected, Trouble
from gossip.frames import ConversationError
from gossip.peers import Peers
from gossip.reach import DialBack, ask_dialback
from gossip.schedule import Schedule
from gossip.supervise import supervise
from tests.gossip.nodes import Node, node

TASKS = {
    "storing records",
    "watching the disk",
    "checking records",
    "bootstrap",
    "peer exchange",
    "visits",
    "room for newcomers",
    "address book",
    "liveness",
    "view from outside",
    "sync",
    "identity check",
    "disconnecting",
    "network",
}


def injected(one: Node, what: str) -> list[Trouble]:
    return [e for e in one.all(Trouble) if isinstance(e, Trouble) and e.what == what and "injected" in e.why]


async def check_that_all_works(first: Node, second: Node, folder: Path) -> None:
    """Records go both ways by gossip, and a newcomer gets the history of `first`."""
    for each in (first, second):
        await each.until_heard_by()
    said = [await first.say(), await second.say()]
    for each in (first, second):
        await each.until(lambda each=each: not each.log.missing([r.id for r in said]))  # type: ignore[misc]
    async with node(folder / "newcomer", bootstrap=first.network.addresses) as newcomer:
        await newcomer.until(lambda: not newcomer.log.missing([r.id for r in said]))
        await newcomer.until(lambda: len(newcomer.network.peers()) == 2)


async def test_every_task_that_fails_is_told_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail = trio.Event()
    names: set[str] = set()

    async def failing_once(
        name: str, run: Callable[[], Awaitable[object]], report: Callable[[str, str], object], **options: Any
    ) -> None:
        names.add(name)
        failed = False

        async def broken() -> None:
            nonlocal failed
            if failed or name == "network":  # whose own failure has a test of its own
                await run()
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)  # type: ignore[arg-type]
                await fail.wait()
                failed = True
                raise RuntimeError("injected")

        await supervise(name, broken, report, first_pause=0.05, **options)

    async with AsyncExitStack() as stack:
        with monkeypatch.context() as patched:
            patched.setattr(network_module, "supervise", failing_once)
            first = await stack.enter_async_context(node(tmp_path / "first"))
        second = await stack.enter_async_context(node(tmp_path / "second", bootstrap=first.network.addresses))
        await second.until_heard_by()
        assert names == TASKS, "a task was added or renamed: it belongs in this test"
        fail.set()
        for name in TASKS - {"network"}:
            await first.until(lambda name=name: len(injected(first, name)) == 1)  # type: ignore[misc]
        await check_that_all_works(first, second, tmp_path)
        assert len([e for e in first.all(Trouble) if "injected" in str(e)]) == len(TASKS) - 1


def host_of(one: Node) -> BasicHost:
    flood = one.network._mesh.flood
    assert flood is not None
    assert isinstance(flood.host, BasicHost)
    return flood.host


@pytest.mark.parametrize(
    ("owner", "handler"),
    [(Peers, "_answer"), (DialBack, "_answer"), (Schedule, "_follow")],
    ids=["peers", "reach", "sync"],
)
async def test_a_handler_that_fails_is_told_and_answers_the_next_time(
    owner: type, handler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = getattr(owner, handler)
    victims: list[BasicHost] = []

    async def fails_once(self: Any, stream: object) -> None:
        if self._host in victims:
            victims.clear()
            raise RuntimeError("injected")
        await true(self, stream)

    monkeypatch.setattr(owner, handler, fails_once)
    monkeypatch.setattr("gossip.schedule.PERIOD_SECONDS", 1.0)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(node(tmp_path / "first"))
        victims.append(host_of(first))
        second = await stack.enter_async_context(node(tmp_path / "second", bootstrap=first.network.addresses))
        await second.until_heard_by()
        if owner is DialBack:
            with pytest.raises(ConversationError):
                await ask_dialback(host_of(second), host_of(first).get_id())
            assert (await ask_dialback(host_of(second), host_of(first).get_id())).failure == ""
        await first.until(lambda: len(injected(first, "answering a peer")) == 1)
        await check_that_all_works(first, second, tmp_path)
        assert not first.all(PeerRejected)


@pytest.mark.parametrize("judge", ["_worth_a_look", "_take"])
async def test_a_fault_in_judging_messages_is_told_and_not_blamed_on_the_peer(
    judge: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(node(tmp_path / "first"))
        second = await stack.enter_async_context(node(tmp_path / "second", bootstrap=first.network.addresses))
        for each in (first, second):
            await each.until_heard_by()

        def fails(*_: object) -> None:
            raise RuntimeError("injected")

        with monkeypatch.context() as patched:
            patched.setattr(first.network._mesh, judge, fails)
            for _ in range(30):
                await second.say()
            await first.until(lambda: len(injected(first, "judging a message")) == 30)
        assert not first.all(PeerRejected)
        await check_that_all_works(first, second, tmp_path)
