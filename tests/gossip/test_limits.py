"""Pure limits: buckets, the door, quotas, times of own records."""

from hypothesis import given
from hypothesis import strategies as st

from gossip.bucket import Bucket, Buckets, Rate
from gossip.door import MAX_HANDSHAKES, Door, Guest, Width
from gossip.quota import DOUBTED, RECORD_OVERHEAD, Limits, Quota
from gossip.stamp import Stamps

ANY = Rate(burst=10**6, per_second=10**6)
steps = st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 5)), max_size=100)


@given(st.floats(1, 20), st.floats(0.1, 10), steps)
def test_a_bucket_gives_no_more_than_its_rate_and_waits_for_no_less(
    burst: float, per_second: float, takes: list[tuple[float, float]]
) -> None:
    giving, owing = Bucket(Rate(burst, per_second)), Bucket(Rate(burst, per_second))
    now = passed = 0.0
    late = amount_owed = 0.0
    for pause, amount in takes:
        now, late = now + pause, late + pause
        passed += amount if giving.take(now, amount) else 0.0
        amount_owed += amount
        late += owing.owe(late, amount)
    assert passed <= burst + now * per_second + 1e-6
    assert amount_owed <= burst + late * per_second + 1e-6


def test_a_clock_that_goes_back_empties_no_bucket() -> None:
    bucket = Bucket(Rate(2, 1))
    assert bucket.take(100.0, 2)
    assert not bucket.take(50.0)
    assert bucket.take(51.0)


def test_buckets_are_apart_and_their_number_is_bounded() -> None:
    buckets: Buckets[int] = Buckets(Rate(1, 0.001), max_keys=10)
    assert all(buckets.take(key, 0.0) for key in range(30))
    assert not buckets.take(29, 1.0)
    assert len(buckets) == 10


def enter(door: Door, address: str, now: float = 0.0) -> Guest:
    guest = door.enter(address, now)
    assert isinstance(guest, Guest), guest
    return guest


def test_places_of_an_origin_come_back_and_others_have_their_own() -> None:
    door = Door(public=Width(2, ANY), local=Width(5, ANY))
    first, _ = enter(door, "2606:4700::1"), enter(door, "2606:4700::2")
    assert "too many" in str(door.enter("2606:4700::3", 0.0))
    enter(door, "9.9.9.1")
    assert [isinstance(door.enter("10.0.0.1", 0.0), Guest) for _ in range(6)] == 5 * [True] + [False]
    door.leave(first)
    enter(door, "2606:4700::3")


def test_who_connects_too_often_waits() -> None:
    door = Door(public=Width(100, Rate(burst=3, per_second=1)))
    for _ in range(3):
        door.leave(enter(door, "9.9.9.1"))
    assert "too often" in str(door.enter("9.9.9.1", 0.5))
    enter(door, "9.9.9.1", 1.0)


def test_nobody_comes_from_where_it_is_shut() -> None:
    door = Door(lambda origin: origin.name == "9.9.9.1")
    assert "shut out" in str(door.enter("9.9.9.1", 0.0))
    enter(door, "9.9.9.2")


@given(st.lists(st.integers(0, 3), max_size=300))
def test_the_busiest_origin_gives_way_first(origins: list[int]) -> None:
    wide = Width(10**6, ANY)
    door = Door(public=wide, local=wide)
    shaking: list[Guest] = []
    for number in origins:
        shaking.append(enter(door, f"9.9.9.{number}"))
        late = door.crowded_out()
        if late is not None:
            counts = [sum(1 for guest in shaking if guest.origin == o.origin) for o in shaking]
            assert counts[shaking.index(late)] == max(counts)
            assert late is next(guest for guest in shaking if guest.origin == late.origin)  # the oldest of them
            shaking.remove(late)
        assert len(shaking) <= MAX_HANDSHAKES


OWN, A, B = b"o" * 32, b"a" * 32, b"b" * 32
BIG = 1000 - RECORD_OVERHEAD


def test_an_author_is_full_at_his_quota_and_never_this_node() -> None:
    quota = Quota(OWN, Limits(author_bytes=3000))
    for _ in range(3):
        assert quota.fits(A, BIG)
        quota.add(A, BIG)
    assert not quota.fits(A, BIG)
    assert quota.fits(B, BIG)
    for _ in range(10):
        assert quota.fits(OWN, BIG)
        quota.add(OWN, BIG)
    quota.give_back(A, BIG)
    assert quota.fits(A, BIG)


def test_what_is_in_the_log_counts() -> None:
    quota = Quota(OWN, Limits(author_bytes=3000))
    quota.load({A: (3, 3 * BIG), OWN: (100, 100 * BIG)})
    assert not quota.fits(A, BIG)
    assert quota.fits(OWN, BIG)


def test_a_full_log_takes_from_those_who_hold_little() -> None:
    quota = Quota(OWN, Limits(author_bytes=10**6, log_bytes=100_000))
    for number in range(10):
        quota.load({bytes([number]) * 32: (10, 10 * BIG)})
    assert quota.fits(B, BIG)
    assert not quota.fits(bytes(32), BIG)  # one of the ten
    held = 0
    while quota.fits(B, BIG):
        quota.add(B, BIG)
        held += 1000
    assert 1000 < held < 100_000 / 11


def test_who_contradicts_himself_has_a_part_of_everything() -> None:
    rate = Rate(burst=160, per_second=16)
    honest, doubted = (Quota(OWN, Limits(records=rate, author_bytes=160_000)) for _ in range(2))
    doubted.doubted.add(A)
    for quota, share in ((honest, 1.0), (doubted, DOUBTED)):
        assert sum(quota.may_gossip(A, 1, 0.0) for _ in range(1000)) == 160 * share
        stored = 0
        while quota.fits(A, BIG):
            quota.add(A, BIG)
            stored += 1
        assert stored == 160 * share


@given(st.lists(st.integers(0, 50)), st.sets(st.integers(0, 50)))
def test_no_time_is_used_twice_whatever_the_clock_does(clock: list[int], before: set[int]) -> None:
    stamps = Stamps(before)
    given_out = [stamps.next(now) for now in clock]
    assert len({*given_out, *before}) == len(given_out) + len(before)
    assert all(stamp >= now for stamp, now in zip(given_out, clock, strict=True))
