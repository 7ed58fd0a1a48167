"""Bans come for many offences, not for few, and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.guard import (
    BAN_SECONDS,
    BANNED_PEERS_OF_AN_ADDRESS,
    FORGIVEN_PER_SECOND,
    FORGOTTEN_SECONDS,
    LONGEST_BAN_SECONDS,
    MAX_OFFENCES,
    MAX_PEERS,
    Guard,
    origin_of,
)


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


def banned_seconds(guard: Guard, peer: str, now: float) -> float:
    """How long from `now` on, found by halving."""
    low, high = 0.0, 10 * LONGEST_BAN_SECONDS
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if guard.banned(peer, now + middle) else (low, middle)
    return low


def test_a_ban_lasts_twice_as_long_each_time_up_to_a_day_and_is_forgotten_after_one() -> None:
    guard, now, lengths = Guard(), 0.0, []
    for _ in range(12):
        assert guard.blame("p", now, 1000)
        lengths.append(round(banned_seconds(guard, "p", now)))
        now += lengths[-1] + 1
    assert lengths == [round(min(LONGEST_BAN_SECONDS, BAN_SECONDS * 2**n)) for n in range(12)]
    now += FORGOTTEN_SECONDS + 1
    guard.blame("p", now, 1000)
    assert round(banned_seconds(guard, "p", now)) == BAN_SECONDS


@pytest.mark.parametrize(
    ("address", "shut"), [("9.9.9.7", True), ("2606:4700:1:2::7", True), ("127.0.0.1", False), ("192.168.1.7", False)]
)
def test_an_address_is_shut_for_several_banned_peers_unless_it_is_a_local_one(address: str, shut: bool) -> None:
    guard, origin = Guard(), origin_of(address)
    for number in range(BANNED_PEERS_OF_AN_ADDRESS):
        assert not guard.shut(origin, 0.0)
        guard.blame(f"{number}", 0.0, 1000, origin)
    assert guard.shut(origin, 1.0) is shut
    assert not guard.shut(origin, BAN_SECONDS + 1)


def test_who_is_merely_elsewhere_is_shut_out_no_longer_each_time_and_his_address_is_not() -> None:
    guard, origin = Guard(), origin_of("9.9.9.7")
    for number in range(2 * BANNED_PEERS_OF_AN_ADDRESS):
        assert guard.blame("p", number * 2000.0, 1000, origin, evil=False)
        assert round(banned_seconds(guard, "p", number * 2000.0)) == BAN_SECONDS
        guard.blame(f"{number}", number * 2000.0, 1000, origin, evil=False)
    assert not guard.shut(origin, number * 2000.0)


def test_one_bad_peer_shuts_no_household_out() -> None:
    guard, origin = Guard(), origin_of("9.9.9.7")
    for hour in range(30):
        guard.blame("p", 3600.0 * hour, 1000, origin)
    assert not guard.shut(origin, 3600.0 * 29)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("9.9.9.7", "9.9.9.8", False),
        ("9.9.9.7", "::ffff:9.9.9.7", True),
        ("2606:4700:1:2::7", "2606:4700:1:2:ffff::1", True),
        ("2606:4700:1:2::7", "2606:4700:1:3::7", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_an_origin_is_what_one_owner_cannot_change(one: str, other: str, same: bool) -> None:
    assert (origin_of(one).name == origin_of(other).name) is same


@given(st.text(max_size=40))
def test_any_text_has_an_origin(text: str) -> None:
    assert isinstance(origin_of(text).local, bool)
