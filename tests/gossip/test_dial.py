"""One dial: names, dead addresses, and what a dial that is given up leaves behind."""

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from gossip.dial import Unreachable, dial, resolve
from gossip.upstream import swarm_of
from tests.gossip import bare
from tests.gossip.nodes import hardened


def someone() -> ID:
    return ID.from_pubkey(create_new_key_pair().public_key)


async def test_a_dial_that_is_cancelled_in_its_handshake_takes_no_place() -> None:
    async def say_nothing(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await trio.sleep_forever()

    async with bare.running(hardened()) as host, trio.open_nursery() as nursery:
        (listener, *_) = await nursery.start(trio.serve_tcp, say_nothing, 0)
        address = Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}")
        for _ in range(3):
            with trio.move_on_after(0.3) as waiting:
                await dial(host, someone(), [address])
            assert waiting.cancelled_caught
        resources = swarm_of(host)._resource_manager
        assert resources is not None
        assert resources._current_connections == 0
        nursery.cancel_scope.cancel()


async def test_a_failure_names_every_address_and_its_reason() -> None:
    async with bare.running(hardened()) as host:
        addresses = [Multiaddr("/ip4/127.0.0.1/tcp/9"), Multiaddr("/dns4/nobody.invalid/tcp/9")]
        with pytest.raises(
            Unreachable, match=r"127\.0\.0\.1/tcp/9: .*refused.*; the name nobody\.invalid is not found"
        ):
            await dial(host, someone(), addresses)
        with pytest.raises(Unreachable, match="no address"):
            await dial(host, someone(), [])


async def test_names_of_this_machine_are_resolved_by_family() -> None:
    assert await resolve(Multiaddr("/dns4/localhost/tcp/5")) == [Multiaddr("/ip4/127.0.0.1/tcp/5")]
    assert Multiaddr("/ip4/127.0.0.1/tcp/5") in await resolve(Multiaddr("/dns/localhost/tcp/5"))
    assert await resolve(Multiaddr("/ip4/192.0.2.1/tcp/5")) == [Multiaddr("/ip4/192.0.2.1/tcp/5")]
