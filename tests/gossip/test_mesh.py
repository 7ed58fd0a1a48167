"""Presence: fresh, forward in time, and not too often, for each author by itself."""

from hypothesis import given
from hypothesis import strategies as st

from gossip.identity import new_identity
from gossip.mesh import PRESENCE_AUTHORS, PRESENCE_BURST, PRESENCE_FRESH_MS, PRESENCE_PER_SECOND, PresenceLimits
from gossip.record import PRESENCE, Record

NOW = 1_700_000_000_000
WHO = new_identity()


def at(time_ms: int, author: bytes = b"") -> Record:
    return Record(PRESENCE, bytes(32), author or WHO.author, time_ms, b"\x80", bytes(64))


def test_presence_must_be_fresh_by_either_clock() -> None:
    for offset, allowed in (
        (-PRESENCE_FRESH_MS - 1, False),
        (PRESENCE_FRESH_MS + 1, False),
        (-PRESENCE_FRESH_MS, True),
    ):
        assert PresenceLimits().allow(at(NOW + offset), NOW) is allowed


def test_time_goes_forward_for_each_author() -> None:
    limits = PresenceLimits()
    assert limits.allow(at(NOW), NOW)
    assert not limits.allow(at(NOW), NOW + 10)
    assert not limits.allow(at(NOW - 5), NOW + 20)
    assert limits.allow(at(NOW - 5, b"o" * 32), NOW + 20)
    assert limits.allow(at(NOW + 1), NOW + 30)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=200))
def test_no_more_than_the_bucket_holds_passes_whatever_the_pattern(steps: list[int]) -> None:
    limits, now, passed = PresenceLimits(), NOW, 0
    for step in steps:
        now += step
        passed += limits.allow(at(now), now)
    assert passed <= PRESENCE_BURST + (now - NOW) / 1000 * PRESENCE_PER_SECOND
    assert passed >= min(len(steps), PRESENCE_BURST)


def test_the_table_of_authors_is_bounded() -> None:
    limits = PresenceLimits()
    for number in range(PRESENCE_AUTHORS + 100):
        assert limits.allow(at(NOW, number.to_bytes(32, "big")), NOW)
    assert len(limits._authors) == PRESENCE_AUTHORS
