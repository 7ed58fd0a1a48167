"""Bans come for many offences, not for few, and end."""

from hypothesis import given
from hypothesis import strategies as st

from gossip.guard import BAN_SECONDS, FORGIVEN_PER_SECOND, MAX_OFFENCES, MAX_PEERS, Guard


def test_a_peer_is_banned_once_for_many_offences_and_comes_back() -> None:
    guard = Guard()
    counts = [guard.blame("p", float(second)) for second in range(2 * MAX_OFFENCES)]
    (count,) = [count for count in counts if count]
    assert count == MAX_OFFENCES + 1
    banned_at = float(count - 1)
    assert guard.banned("p", banned_at + BAN_SECONDS - 1)
    assert not guard.banned("p", banned_at + BAN_SECONDS + 1)
    assert not guard.banned("other", banned_at)


def test_a_grave_offence_bans_at_once() -> None:
    guard = Guard()
    assert guard.blame("p", 0.0, 1000) == 1
    assert guard.banned("p", 1.0)


@given(st.lists(st.floats(0, 5), max_size=200))
def test_offences_that_are_rarer_than_forgiveness_never_ban(extra: list[float]) -> None:
    guard, now = Guard(), 0.0
    for seconds in extra:
        now += 1 / FORGIVEN_PER_SECOND + seconds
        assert guard.blame("p", now) == 0
        assert not guard.banned("p", now)


def test_the_memory_of_peers_is_bounded() -> None:
    guard = Guard()
    for number in range(MAX_PEERS + 10):
        guard.blame(f"{number}", 0.0, 1000)
    assert not guard.banned("0", 1.0)
    assert guard.banned(f"{MAX_PEERS}", 1.0)
