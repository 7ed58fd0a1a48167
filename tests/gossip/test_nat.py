"""Nodes behind NAT work by dialling out, and a cut network grows together again. In network namespaces."""

from pathlib import Path

import pytest

from tests.gossip.namespaces import internet, why_not
from tests.gossip.processes import running

MISSING = why_not()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

LISTEN = ("--listen", "/ip4/0.0.0.0/tcp/4477")
LIVELY = ("--ping", "1", "--patience", "2")


async def test_nodes_behind_nat_reach_each_other_through_a_public_one_and_catch_up_after_a_cut(tmp_path: Path) -> None:
    with internet() as net:
        server, (home, _), (other_home, _) = net.public_machine(), net.home_machine(), net.home_machine()
        async with running(tmp_path / "public", *LISTEN, *LIVELY, prefix=server.prefix) as public:
            (address,) = [text for text in public.addresses if server.ip in text]
            join = (*LISTEN, *LIVELY, "--bootstrap", address)
            async with (
                running(tmp_path / "one", *join, prefix=home.prefix) as one,
                running(tmp_path / "two", *join, prefix=other_home.prefix) as two,
            ):
                for each in (one, two):
                    await each.until(lambda state: public.peer in state["peers"])
                said = [*await one.say(), *await two.say()]
                for each in (one, two, public):
                    await each.until(lambda state: state["records"] == len(said))
                assert one.peer not in (await two.state())["peers"]

                home.plug(inside=False)
                await public.until(lambda state: one.peer not in state["peers"])
                said += [*await one.say(3), *await two.say(3)]
                await public.until(lambda state: state["records"] == len(said) - 3)
                home.plug(inside=True)
                for each in (one, two, public):
                    await each.until(lambda state: state["records"] == len(said), 60)
                    assert await each.ids() == set(said)


async def test_a_forwarded_port_is_found_out_and_announced_and_one_that_is_not_is_not(tmp_path: Path) -> None:
    with internet() as net:
        server, (home, outside), (closed, hidden) = net.public_machine(), net.home_machine(4477), net.home_machine()
        async with running(tmp_path / "public", *LISTEN, prefix=server.prefix) as public:
            (address,) = [text for text in public.addresses if server.ip in text]
            join = (*LISTEN, "--vantage", "0.5", "--bootstrap", address)
            async with running(tmp_path / "one", *join, prefix=home.prefix) as one:
                seen = f"/ip4/{outside}/tcp/4477/p2p/{one.peer}"
                await one.until(lambda state: state["addresses"][0] == seen)
                async with running(tmp_path / "two", *join, prefix=closed.prefix) as two:
                    # nobody told it where that is but the record that travels through the public node
                    await two.until(lambda state: one.peer in state["peers"])
                    assert not any(hidden in text for text in (await two.state())["addresses"])
