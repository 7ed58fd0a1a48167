"""Nodes as processes that are killed, frozen and cut off: the others stay one network."""

import signal
from contextlib import AsyncExitStack
from pathlib import Path

from tests.gossip.processes import running

LIVELY = ("--ping", "1", "--patience", "2")


async def test_the_others_stay_one_network_when_the_only_bootstrap_is_killed(tmp_path: Path) -> None:
    async with running(tmp_path / "hub") as hub, AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(running(tmp_path / str(n), "--bootstrap", hub.addresses[0]))
            for n in range(4)
        ]
        for each in others:
            await each.until(lambda state: state["heard_by"] == 4)
        await hub.kill()
        for each in others:
            await each.until(lambda state: len(state["peers"]) == 3)
        said = {record_id for each in others for record_id in await each.say(5)}
        for each in others:
            await each.until(lambda state: state["records"] == len(said))
            assert await each.ids() == said


async def test_a_node_that_was_asleep_is_dropped_and_catches_up_when_it_wakes(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(tmp_path / "first", *LIVELY))
        options = (*LIVELY, "--bootstrap", first.addresses[0])
        other = await stack.enter_async_context(running(tmp_path / "other", *options))
        sleeper = await stack.enter_async_context(running(tmp_path / "sleeper", *options))
        await sleeper.until(lambda state: len(state["peers"]) == 2)
        sleeper.signal(signal.SIGSTOP)
        for each in (first, other):
            await each.until(lambda state: sleeper.peer not in state["peers"])
        said = [*await first.say(5), *await other.say(5)]
        sleeper.signal(signal.SIGCONT)
        await sleeper.until(lambda state: state["records"] == len(said))
        said += await sleeper.say()
        for each in (first, other):
            await each.until(lambda state: state["records"] == len(said))
