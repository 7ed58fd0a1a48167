"""Nodes as processes that are killed, frozen and cut off: the others stay one network."""

from contextlib import AsyncExitStack
from pathlib import Path

from tests.gossip.processes import running


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
