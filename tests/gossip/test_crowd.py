"""Whom a crowded node lets go."""

from hypothesis import given
from hypothesis import strategies as st

from gossip.crowd import network_of, room, surplus
from gossip.events import Peer


def peer(name: str, ip: str = "192.0.2.1", *, inbound: bool = True, since: int = 0) -> Peer:
    return Peer(name, f"/ip4/{ip}/tcp/1", inbound, since)


def names(peers: list[Peer]) -> list[str]:
    return [each.peer for each in peers]


def test_the_longest_connected_go_first_and_newcomers_and_dialled_ones_stay() -> None:
    peers = [
        peer("c", since=3),
        peer("a", since=1),
        peer("b", since=2),
        peer("mine", inbound=False),
        peer("new", since=9),
    ]
    assert names(surplus(peers, 3, useful=set(), since=5)) == ["a", "b"]
    assert names(surplus(peers, 0, useful=set(), since=5)) == ["a", "b", "c"]
    assert names(surplus(peers, 5, useful=set(), since=5)) == []
    assert names(surplus(peers, 4, useful=set(), since=5, only_inbound=False)) == ["mine"]


def test_useful_ones_go_last() -> None:
    peers = [peer("mesh", since=1), peer("other", since=2)]
    assert names(surplus(peers, 1, useful={"mesh"}, since=5)) == ["other"]
    assert names(surplus(peers, 0, useful={"mesh"}, since=5)) == ["other", "mesh"]


def test_a_stranger_with_many_connections_displaces_himself() -> None:
    honest = [peer(f"honest {n}", f"198.51.{n}.7", since=n) for n in range(10)]
    stranger = [peer(f"stranger {n}", f"203.0.113.{n}", since=100 + n) for n in range(50)]
    assert all(each in stranger for each in surplus([*honest, *stranger], 20, useful=set(), since=1000))


@given(
    st.lists(st.builds(peer, st.uuids().map(str), inbound=st.booleans(), since=st.integers(0, 10)), max_size=30),
    st.integers(0, 30),
    st.integers(0, 10),
)
def test_no_more_go_than_must(peers: list[Peer], keep: int, since: int) -> None:
    going = surplus(peers, keep, useful=set(), since=since)
    assert len(going) <= max(0, len(peers) - keep)
    assert all(each.inbound and each.since <= since for each in going)
    stay = [each for each in peers if each not in going]
    assert len(stay) <= keep or not any(each.inbound and each.since <= since for each in stay)


def test_room_is_kept_at_every_size() -> None:
    assert [room(size) for size in (2, 6, 50, 200)] == [1, 4, 45, 180]


def test_neighbourhoods() -> None:
    assert network_of("/ip4/192.0.2.77/tcp/1") == "192.0.2.0/24"
    assert network_of("/ip6/2001:db8:1:2::1/tcp/1") == "2001:db8:1::/48"
    assert network_of("") == network_of("/dns4/example.org/tcp/1") == ""
