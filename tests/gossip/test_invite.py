"""Invites: what goes in comes out, and whatever is not one is said to be what it is."""

import base64
import hashlib
from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multiaddr import Multiaddr

from gossip.host import peer_id_of
from gossip.invite import (
    DOMAIN,
    PREFIX,
    DamagedInvite,
    ExpiredInvite,
    Invite,
    InviteError,
    NewerInvite,
    NotAnInvite,
    decode,
    encode,
)
from gossip.swarmkey import SwarmKey

# the first use of a parser may take longer than hypothesis allows
law = settings(deadline=None)
keys = st.binary(min_size=32, max_size=32)
ips = st.ip_addresses(v=4).map(lambda ip: f"/ip4/{ip}") | st.ip_addresses(v=6).map(lambda ip: f"/ip6/{ip}")
hosts = ips | st.sampled_from(["/dns4/example.org", "/dns6/a.b.example", "/dns/localhost"])


@st.composite
def bootstraps(draw: st.DrawFn) -> tuple[str, ...]:
    """Addresses, those of one peer side by side, as an invite keeps them."""
    peers = draw(st.dictionaries(keys, st.lists(hosts, min_size=1, max_size=2), max_size=3))
    ports = st.integers(1, 65535)
    texts = (f"{host}/tcp/{draw(ports)}/p2p/{peer_id_of(key)}" for key, found in peers.items() for host in found)
    return tuple(str(Multiaddr(text)) for text in texts)  # one form of each IPv6 address


invites = st.builds(
    Invite,
    swarm=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    bootstrap=bootstraps(),
    key=st.none() | keys.map(SwarmKey),
    expires=st.integers(2, 2**40 - 1),
)
SAMPLE = Invite(
    "lab", (f"/ip4/192.168.1.7/tcp/4477/p2p/{peer_id_of(bytes(range(32)))}",), SwarmKey(bytes(32)), 2_000_000_000
)
NOW = 1_900_000_000.0


@law
@given(invite=invites)
def test_an_invite_comes_back_as_it_was(invite: Invite) -> None:
    assert decode(encode(invite), 1) == invite


@law
@given(invite=invites, breaks=st.lists(st.integers(0, 400), max_size=10), upper=st.booleans())
def test_line_breaks_spaces_and_case_do_not_matter(invite: Invite, breaks: list[int], upper: bool) -> None:
    text = encode(invite)
    for place in breaks:
        text = text[:place] + " \r\n\t" + text[place:]
    assert decode(text.upper() if upper else text, 1) == invite


@law
@given(text=st.text() | st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567").map(lambda rest: PREFIX + rest))
@example(text="arnode1")
@example(text="arnode1ſſ")  # its upper case is ASCII
@example(text="arnode1" + "a" * 100_000)
def test_any_other_text_raises_the_named_error(text: str) -> None:
    with pytest.raises(InviteError):
        decode(text, NOW)


@law
@given(place=st.integers(0, len(encode(SAMPLE)) - 1), letter=st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_letter_is_noticed(place: int, letter: str) -> None:
    text = encode(SAMPLE)
    changed = text[:place] + letter + text[place + 1 :]
    if changed != text:
        with pytest.raises((DamagedInvite, NotAnInvite)):
            decode(changed, NOW)
    with pytest.raises((DamagedInvite, NotAnInvite)):
        decode(text[:place], NOW)


def checked(payload: bytes) -> str:
    """A text whose checksum is right, whatever it holds."""
    data = payload + hashlib.sha256(DOMAIN + payload).digest()[:4]
    return PREFIX + base64.b32encode(data).decode().rstrip("=").lower()


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary() | keys,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@law
@given(payload=st.binary())
def test_a_right_checksum_over_anything_raises_the_named_error(payload: bytes) -> None:
    with pytest.raises(InviteError):
        decode(checked(payload), NOW)


@law
@given(version=st.integers(-1, 3) | values, swarm=values, expires=values, key=values, peers=values)
def test_fields_of_any_form_raise_the_named_error_or_make_an_invite(
    version: Any, swarm: Any, expires: Any, key: Any, peers: Any
) -> None:
    text = checked(msgpack.packb([version, swarm, expires, key, peers]))
    try:
        invite = decode(text, NOW)
    except InviteError:
        return
    assert encode(invite) == text


@law
@given(address=st.binary(max_size=60) | st.binary(max_size=10).map(lambda rest: b"\x04\x7f\0\0\1\x06" + rest))
def test_addresses_of_any_form_raise_the_named_error_or_make_an_invite(address: bytes) -> None:
    text = checked(msgpack.packb([1, "lab", 2_000_000_000, None, [[bytes(32), [address]]]]))
    try:
        invite = decode(text, NOW)
    except NotAnInvite:
        return
    assert encode(invite) == text


def test_what_is_wrong_is_named() -> None:
    text = encode(SAMPLE)
    with pytest.raises(ExpiredInvite, match=r"expired just now.*new one"):
        decode(text, 2_000_000_000)
    with pytest.raises(ExpiredInvite, match="3 days ago"):
        decode(text, 2_000_000_000 + 3 * 86_400)
    with pytest.raises(NewerInvite, match=r"version 2.*newer arnode"):
        decode(checked(msgpack.packb([2, {"all": "new"}])), NOW)
    with pytest.raises(NotAnInvite, match="begins with arnode1"):
        decode("/ip4/127.0.0.1/tcp/4477/p2p/12D3KooW", NOW)
    with pytest.raises(DamagedInvite, match="copy"):
        decode(text[:-5], NOW)
    with pytest.raises(DamagedInvite, match="character"):
        decode(text + "!", NOW)


def test_nothing_shows_the_key_but_the_text_itself() -> None:
    invite = Invite("lab", SAMPLE.bootstrap, SwarmKey(b"\x77" * 32), 2_000_000_000)
    assert "77" * 4 not in repr(invite)
    assert "wwww" not in repr(invite)


def test_a_private_invite_with_two_addresses_stays_small() -> None:
    two = (SAMPLE.bootstrap[0], SAMPLE.bootstrap[0].replace("192.168.1.7", "203.0.113.9"))
    assert len(encode(Invite("lab", two, SAMPLE.key, SAMPLE.expires))) <= 195  # a QR code of version 6
