"""Strangers' bytes raise named errors and nothing else. `make fuzz` looks longer."""

import zlib

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip import negentropy
from gossip.identity import new_identity
from gossip.items import Items
from gossip.record import pack_body, sign
from tests import fuzz

TRUE_RECORD = sign(new_identity(), "insight", bytes(32), fuzz.NOW_MS, pack_body({"text": "x", "n": [1, 2.5, None]})).raw
TRUE_MESSAGE = negentropy.initiate(Items((number, bytes([number]) * 32) for number in range(1, 200)))
TRUE_TEXT = zlib.compress(b"a text with a text in it")
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10) | st.integers(0, 9), inner, max_size=5)
    ),
    max_leaves=20,
)
FIELDS = ("alias", "text", "change", "pairs", "verdict", "expires_ms", "claim", "effect", "interval", "values", "best")


@st.composite
def bent(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with some bytes changed, cut out or put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


def framed(value: object) -> bytes:
    packed = msgpack.packb(value)
    return len(packed).to_bytes(4, "big") + packed


packed = values.map(msgpack.packb)
named = st.dictionaries(st.sampled_from(FIELDS), values).map(lambda value: pack_body_or_nothing(value))


def pack_body_or_nothing(value: dict[str, object]) -> bytes:
    try:
        return pack_body(value)
    except Exception:  # noqa: BLE001 - a value that has no form is no body
        return b"\x80"


SOURCES = {
    "record": st.binary(max_size=300) | packed | bent(TRUE_RECORD),
    "body": st.binary(max_size=200) | packed | named,
    "packed_text": st.binary(max_size=60) | bent(TRUE_TEXT) | st.binary(max_size=60).map(zlib.compress),
    "reconciliation": st.binary(max_size=300) | bent(TRUE_MESSAGE),
    "frames": st.binary(max_size=100) | st.lists(values.map(framed) | st.binary(max_size=8), max_size=4).map(b"".join),
    "peer_records": st.binary(max_size=200),
    "gossip": st.binary(max_size=300),
    "muxer": st.binary(max_size=100)
    | st.lists(
        st.tuples(
            st.integers(0, 4),
            st.integers(0, 15),
            st.integers(0, 6),
            st.sampled_from([0, 1, 12, 300_000, 2**32 - 1]),
            st.binary(max_size=12),
        ).map(lambda f: b"\0" + bytes([f[0], 0, f[1]]) + f[2].to_bytes(4, "big") + f[3].to_bytes(4, "big") + f[4]),
        max_size=20,
    ).map(b"".join),
    "text": st.text(max_size=60).map(str.encode) | st.binary(max_size=60),
}


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_bytes_from_strangers_raise_named_errors_only(target: str) -> None:
    @settings(max_examples=80, deadline=None)
    @given(SOURCES[target])
    def look(data: bytes) -> None:
        fuzz.TARGETS[target](data)

    look()
