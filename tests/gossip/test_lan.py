"""Nodes on one network find each other by mDNS, on loopback's multicast where this machine has it."""

import socket
from pathlib import Path

import pytest
from multiaddr import Multiaddr
from zeroconf import Zeroconf

from gossip import lan
from gossip.events import Notice, Trouble
from gossip.host import peer_id_of
from gossip.identity import new_identity
from gossip.lan import tag_of
from gossip.swarmkey import new_swarm_key
from tests.gossip.nodes import node


def _multicast() -> bool:
    try:
        Zeroconf(interfaces=["127.0.0.1"]).close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            probe.sendto(b"", ("224.0.0.251", 5353))
    except OSError:
        return False
    return True


needs_multicast = pytest.mark.skipif(not _multicast(), reason="this machine's loopback has no multicast")


@needs_multicast
async def test_nodes_of_one_swarm_find_each_other_without_an_address_and_others_are_left_alone(tmp_path: Path) -> None:
    # names of their own, since other tests may run on this machine
    name = f"lan-{tmp_path.name}".lower()[:60]
    key = new_swarm_key()
    async with (
        node(tmp_path / "a", swarm=name, lan=True) as a,
        node(tmp_path / "b", swarm=name, lan=True) as b,
        node(tmp_path / "other", swarm=f"{name}-2", lan=True) as other,
        node(tmp_path / "private", swarm=name, key=key, lan=True) as private,
        node(tmp_path / "private too", swarm=name, key=key, lan=True) as private_too,
    ):
        await a.until(lambda: bool(a.network.peers()), seconds=30)
        await private.until(lambda: bool(private.network.peers()), seconds=30)
        said = await a.say()
        await b.until(lambda: b.log.has(said.id))
        assert [peer.peer for peer in a.network.peers()] == [b.peer]
        assert [peer.peer for peer in private.network.peers()] == [private_too.peer]
        assert other.network.peers() == []
        for each in (a, b, other, private, private_too):
            assert not each.all([Trouble, Notice])


def test_a_tag_is_a_members_and_tells_strangers_nothing() -> None:
    one, two = (peer_id_of(new_identity().author) for _ in range(2))
    key, other_key = new_swarm_key(), new_swarm_key()
    tags = {
        tag_of("main", None, one),
        tag_of("main", None, two),
        tag_of("main2", None, one),
        tag_of("main", key, one),
        tag_of("main", other_key, one),
    }
    assert len(tags) == 5
    assert tag_of("main", key, one) == tag_of("main", key, one)
    assert {len(tag) for tag in tags} == {32}


async def test_a_machine_without_multicast_is_noted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> Zeroconf:
        raise OSError(19, "No such device")

    monkeypatch.setattr(lan, "Zeroconf", none)
    async with node(tmp_path / "a", lan=True) as a, node(tmp_path / "b", bootstrap=a.network.addresses) as b:
        await a.until(lambda: bool(a.all(Notice)))
        await b.until(lambda: bool(b.network.peers()))
        (notice,) = a.all(Notice)
        assert isinstance(notice, Notice)
        assert "mDNS does not work here" in notice.text
        assert not a.all(Trouble)


def test_what_is_announced_is_one_port_and_no_loopback_where_there_is_more() -> None:
    given = ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/2", "/ip6/2001:db8::1/tcp/1", "/ip4/127.0.0.1/tcp/1"]
    assert lan.where([Multiaddr(text) for text in given]) == (["192.0.2.1", "2001:db8::1"], 1)
    assert lan.where([Multiaddr(given[3])]) == (["127.0.0.1"], 1)
