"""Records: one encoding, one id, one author, and a named error for everything else."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gossip import record as R
from gossip.identity import new_identity

ALICE = new_identity()
NOW = 1_700_000_000_000

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.text(max_size=8), values, max_size=5)


def make(body: dict[str, object] | None = None, **changes: object) -> R.Record:
    fields = {
        "kind": "result",
        "task": bytes(32),
        "time_ms": NOW,
        "body": R.pack_body({"a": 1} if body is None else body),
    } | changes
    return R.sign(ALICE, **fields)  # type: ignore[arg-type]


@given(bodies)
def test_what_is_signed_is_what_is_read(body: dict[str, object]) -> None:
    made = make(body)
    again = R.decode(made.raw, NOW)
    assert again == made
    assert again.id == made.id
    assert again.value() == body


@given(bodies)
def test_the_order_of_a_maps_keys_does_not_change_the_record(body: dict[str, object]) -> None:
    assert R.pack_body(dict(reversed(body.items()))) == R.pack_body(body)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_record_or_a_record_error(raw: bytes) -> None:
    with pytest.raises(R.RecordError):
        R.decode(raw, NOW)


@given(st.data())
def test_one_changed_byte_is_refused(data: st.DataObject) -> None:
    raw = bytearray(make({"text": "hello", "value": 0.25}).raw)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(R.RecordError):
        R.decode(bytes(raw), NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"\x81\xa1a\xcd\x00\x01",  # 1 in three bytes
        b"\x81\xa1a\xca\x3f\x80\x00\x00",  # a 32-bit float
        b"\x82\xa1b\x01\xa1a\x01",  # keys out of order
        b"\x82\xa1a\x01\xa1a\x01",  # a key twice
        b"\x81\x01\x01",  # a key that is not a string
        b"\x81\xa1a\xd4\x01\x01",  # an extension type
        b"\x81\xa1a\xd6\xff\x00\x00\x00\x01",  # a timestamp
        b"\x81\xc4\x01a\x01",  # a key of bytes
        b"\x81\xa1a\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",  # NaN
        b"\x81\xa1a\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",  # infinity
        b"\x81\xa1a" + b"\x91" * 20 + b"\x01",  # nested too deep
        b"\x81\xa1a" + b"\x91" * 15 + b"\x01",  # by one level
        b"\x81\xa1a\x01\x00",  # something after it
    ],
)
def test_another_encoding_is_refused_even_when_signed(body: bytes) -> None:
    fields = [R.VERSION, "result", bytes(32), ALICE.author, NOW, body]
    signature = ALICE.sign(R.DOMAIN + msgpack.packb(fields, use_bin_type=True))
    with pytest.raises(R.NotCanonical):
        R.decode(msgpack.packb([*fields, signature], use_bin_type=True), NOW)


def test_sixteen_levels_are_not_too_deep() -> None:
    nested: object = []
    for _ in range(14):
        nested = [nested, 1.5]
    assert R.decode(make({"a": nested}).raw, NOW).value() == {"a": nested}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (0, True),
        (1, "gossip"),
        (1, 7),
        (2, bytes(31)),
        (3, "me"),
        (4, 0),
        (4, -1),
        (4, 2**63),
        (4, 1.5),
        (4, True),
        (5, b"\x01"),
        (5, "text"),
        (6, bytes(63)),
    ],
)
def test_a_bad_field_is_named(place: int, value: object) -> None:
    fields = msgpack.unpackb(make().raw)
    fields[place] = value
    with pytest.raises(R.BadField):
        R.decode(msgpack.packb(fields, use_bin_type=True), NOW)


def test_a_record_signed_by_someone_else_is_refused() -> None:
    forged = structs.replace(make(), author=new_identity().author)
    with pytest.raises(R.BadSignature):
        R.decode(forged.raw, NOW)


def test_an_author_that_is_no_public_key_is_a_bad_signature() -> None:
    forged = structs.replace(make(), author=b"\xff" * 32)
    with pytest.raises(R.BadSignature):
        R.decode(forged.raw, NOW)


def test_the_clock_may_be_ten_minutes_ahead_and_no_more() -> None:
    assert R.decode(make(time_ms=NOW + R.MAX_AHEAD_MS).raw, NOW)
    with pytest.raises(R.FromTheFuture):
        R.decode(make(time_ms=NOW + R.MAX_AHEAD_MS + 1).raw, NOW)


def test_size_is_bounded_at_both_ends() -> None:
    room = R.MAX_BYTES - len(make({"t": ""}).raw) - 8
    assert R.decode(make({"t": "x" * room}).raw, NOW)
    with pytest.raises(R.TooLarge):
        make({"t": "x" * R.MAX_BYTES})


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        {1: 2},
        {"a": object()},
        {"a": 2**70},
        {"a": "\ud800"},
        [1],
        {"a": {"b": float("-inf")}},
    ],
)
def test_what_has_no_canonical_form_is_not_packed(value: object) -> None:
    with pytest.raises(R.RecordError):
        R.pack_body({"v": value} if not isinstance(value, (dict, list)) else value)  # type: ignore[arg-type]


def test_a_key_under_which_anyone_can_sign_is_refused() -> None:
    # the neutral point: with it as key and as R, and S = 0, RFC 8032's equation holds for every message
    neutral = b"\x01" + bytes(31)
    forged = R.Record("insight", bytes(32), neutral, 1, R.pack_body({}), neutral + bytes(32))
    with pytest.raises(R.BadSignature):
        R.decode(forged.raw, 1)
