"""Negentropy against the reference implementation's exchanges, as laws over random sets, and against garbage."""

import contextlib
import json
import lzma
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gossip.items import MAX_TIME, Item, Items
from gossip.negentropy import MIN_LIMIT, REFERENCE, BadMessage, Split, compare, initiate, reply

# Whole exchanges made by the reference implementation, hoytech/negentropy.
VECTORS: Final = json.loads(
    lzma.decompress((Path(__file__).parent / "data" / "negentropy-vectors.json.xz").read_bytes())
)
MANY_ROUNDS: Final = 200

limits = st.sampled_from([0, MIN_LIMIT, 2 * MIN_LIMIT])
splits = st.sampled_from([REFERENCE, Split(8, 8), Split(2, 2)])


@dataclass
class Talk:
    """A whole reconciliation: what it found, and every message."""

    have: list[bytes] = field(default_factory=list)
    need: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)


def talk(client: Items, server: Items, limits: tuple[int, int] = (0, 0), split: Split = REFERENCE) -> Talk:
    done = Talk()
    message: bytes | None = initiate(client, limit=limits[0], split=split)
    while message is not None:
        assert len(done.messages) < 2 * MANY_ROUNDS
        answer = reply(server, message, limit=limits[1])
        done.messages += [message, answer]
        step = compare(client, answer, limit=limits[0], split=split)
        done.have += step.have
        done.need += step.need
        message = step.message
    return done


def items_of(pairs: Sequence[tuple[int, str]]) -> Items:
    return Items((time, bytes.fromhex(item_id)) for time, item_id in pairs)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_every_message_is_the_reference_implementations(case: dict[str, Any]) -> None:
    limit = case["frame_size_limit"]
    done = talk(items_of(case["client_items"]), items_of(case["server_items"]), (limit, limit))
    assert [message.hex() for message in done.messages] == [message["hex"] for message in case["messages"]]
    assert sorted({i.hex() for i in done.have}) == case["client_has_server_lacks"]
    assert sorted({i.hex() for i in done.need}) == case["server_has_client_lacks"]


def an_item(time: int, number: int) -> Item:
    # ids that share a prefix make bounds inside one time long
    return time, (number % 3).to_bytes(2, "big") + number.to_bytes(4, "big") * 7 + b"\0\0"


@dataclass(frozen=True)
class Sets:
    """Two sets with much in common, made from a few numbers so that hypothesis has little to show."""

    seed: int
    common: int
    only_ours: int
    only_theirs: int
    late: int
    stride: int

    def make(self) -> tuple[set[Item], set[Item]]:
        chance = random.Random(self.seed)

        def some(first: int, count: int) -> set[Item]:
            return {
                an_item(chance.choice([chance.randrange(200), chance.randrange(MAX_TIME)]), first + n)
                for n in range(count)
            }

        common = {an_item(n // 7 * self.stride, n) for n in range(self.common)} | some(5_000, 3)
        late = {an_item(900 * self.stride + n, 30_000 + n) for n in range(self.late)}
        return common | some(10_000, self.only_ours), common | some(20_000, self.only_theirs) | late


two_sets = st.builds(
    Sets,
    seed=st.integers(0, 1000),
    common=st.integers(0, 900),
    only_ours=st.integers(0, 15),
    only_theirs=st.integers(0, 15),
    late=st.sampled_from([0, 0, 700]),
    stride=st.sampled_from([0, 1, 1000]),
)


@given(two_sets, st.tuples(limits, limits), splits)
@example(Sets(0, 13, 0, 15, 700, 0), (0, MIN_LIMIT), REFERENCE)  # a list fills the message exactly up to infinity
@settings(max_examples=100, deadline=None)
def test_any_two_sets_reconcile_to_their_exact_differences(sets: Sets, limits: tuple[int, int], split: Split) -> None:
    ours, theirs = sets.make()
    done = talk(Items(ours), Items(theirs), limits, split)
    assert set(done.have) == {i for _, i in ours - theirs}
    assert set(done.need) == {i for _, i in theirs - ours}
    for start in (0, 1):
        assert not limits[start] or max(map(len, done.messages[start::2])) <= limits[start]


@given(two_sets, st.integers(0, 40))
@settings(max_examples=50, deadline=None)
def test_sets_that_grow_meanwhile_still_reconcile_to_what_was_there(sets: Sets, later: int) -> None:
    ours, theirs = sets.make()
    client, server = Items(ours), Items(theirs)
    news = [an_item(n * 7919 % 500, 40_000 + n) for n in range(later)]
    found: set[bytes] = set()
    message: bytes | None = initiate(client, limit=MIN_LIMIT)
    rounds = 0
    while message is not None:
        assert (rounds := rounds + 1) < MANY_ROUNDS
        answer = reply(server, message, limit=MIN_LIMIT)
        if news:
            item = news.pop()
            for side in (client, server)[: 1 + later % 2]:
                side.insert(*item)
        step = compare(client, answer, limit=MIN_LIMIT)
        found.update(step.have, step.need)
        message = step.message
    assert {i for _, i in ours ^ theirs} <= found


SOME: Final = Items(an_item(n // 3, n) for n in range(100))
GOOD: Final = initiate(SOME)


@given(st.binary(max_size=300), st.booleans())
@example(b"", False)
@example(b"\x60", True)
@settings(max_examples=500, deadline=None)
def test_garbage_raises_the_one_error_or_means_something(garbage: bytes, versioned: bool) -> None:
    for answer in (reply, compare):
        with contextlib.suppress(BadMessage):
            answer(SOME, b"\x61" * versioned + garbage, limit=MIN_LIMIT)


@given(st.integers(1, len(GOOD) - 1), st.integers(0, 255), st.booleans())
@settings(max_examples=500, deadline=None)
def test_a_message_with_a_changed_or_missing_byte_raises_the_one_error_or_means_something(
    place: int, byte: int, cut: bool
) -> None:
    changed = GOOD[:place] if cut else GOOD[:place] + bytes([byte]) + GOOD[place + 1 :]
    for answer in (reply, compare):
        with contextlib.suppress(BadMessage):
            answer(SOME, changed)


ID = b"\x01" * 32
BREACHES = {
    "nothing": b"",
    "an endless number": b"\x61" + b"\xff" * 11,
    "a number with a leading zero": b"\x61\x80\x00\x00\x00",
    "a prefix longer than an id": b"\x61\x01\x21" + bytes(33) + b"\x00",
    "infinity with a prefix": b"\x61\x00\x01\x00\x00",
    "a time beyond all times": b"\x61\x82" + b"\xff" * 8 + b"\x7f\x00\x00",
    "an unknown mode": b"\x61\x00\x00\x03",
    "half a fingerprint": b"\x61\x00\x00\x01" + bytes(8),
    "a count larger than the bytes left": b"\x61\x00\x00\x02\x8f\xff\xff\xff\x7f" + ID,
    "half an id": b"\x61\x00\x00\x02\x01" + ID[:16],
    "an id twice": b"\x61\x00\x00\x02\x02" + ID + ID,
    "bounds that go backwards": b"\x61\x02\x01\x05\x00\x01\x01\x04\x00",
    "a bound after infinity": b"\x61\x00\x00\x00\x01\x00\x00",
}


@pytest.mark.parametrize("breach", BREACHES)
def test_what_breaks_the_protocol_is_refused_on_both_sides(breach: str) -> None:
    for answer in (reply, compare):
        with pytest.raises(BadMessage):
            answer(SOME, BREACHES[breach])


def test_ids_out_of_order_are_refused() -> None:
    ids = [an_item(1, 3)[1], an_item(0, 0)[1]]
    with pytest.raises(BadMessage, match="order"):
        compare(SOME, b"\x61\x00\x00\x02\x02" + b"".join(ids))


def test_another_version_is_told_ours_and_ends_the_side_that_asked() -> None:
    assert reply(SOME, b"\x62 whatever") == b"\x61"
    with pytest.raises(BadMessage, match="0x62"):
        compare(SOME, b"\x62 whatever")
    with pytest.raises(BadMessage):
        reply(SOME, b"\x11")


def test_a_limit_too_small_to_work_is_refused() -> None:
    with pytest.raises(ValueError, match="4096"):
        initiate(SOME, limit=100)
