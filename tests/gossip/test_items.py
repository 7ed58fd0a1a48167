"""The ordered set under reconciliation against the plainest one: a sorted list."""

from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip import items as items_module
from gossip.items import Item, Items, key_of

ITEMS = st.tuples(st.integers(0, 30), st.binary(min_size=32, max_size=32))


def agrees(items: Items, plain: list[Item]) -> None:
    size = len(plain)
    assert len(items) == size
    assert items.ids(0, size) == [i for _, i in plain]
    for lower, upper in ((0, size), (size // 3, size // 2), (size // 2, size), (size, size)):
        assert items.ids(lower, upper) == [i for _, i in plain[lower:upper]]
        assert items.sum(lower, upper) == sum(int.from_bytes(i, "little") for _, i in plain[lower:upper])
    for position, (time, item_id) in enumerate(plain):
        key = key_of(time, item_id)
        assert items.key(position) == key
        assert items.rank(key) == position
        assert items.rank(key[:9]) == bisect_left(plain, (time, key[8:9].ljust(32, b"\0")))
    assert items.rank(bytes(8)) == 0
    assert items.rank(b"\xff" * 8) == size


@given(st.lists(ITEMS, max_size=300), st.lists(ITEMS, max_size=100))
@settings(max_examples=40, deadline=None)
def test_it_agrees_with_a_sorted_list_after_each_insertion(first: list[Item], later: list[Item]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(items_module, "BLOCK", 8)  # many blocks of few items
        items, plain = Items(first), sorted(set(first))
        agrees(items, plain)
        for item in later:
            assert items.insert(*item) == (item not in plain)
            plain = sorted({*plain, item})
        agrees(items, plain)


def test_an_item_is_kept_once() -> None:
    items = Items([(1, bytes(32)), (1, bytes(32))])
    assert not items.insert(1, bytes(32))
    assert len(items) == 1


@pytest.mark.parametrize("item", [(-1, bytes(32)), (2**64 - 1, bytes(32)), (1, bytes(31))])
def test_what_is_no_item_is_refused(item: Item) -> None:
    with pytest.raises(ValueError, match="not an item"):
        Items([item])
    with pytest.raises(ValueError, match="not an item"):
        Items().insert(*item)
