"""The address book: what it keeps, whom it believes, and what becomes of a broken file."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip import addressbook
from gossip.addressbook import AddressBook, BookError

NOW = 1_800_000_000_000
HOUR = 3600 * 1000
DAY = 24 * HOUR


def test_what_was_met_outlives_what_was_heard_and_both_expire() -> None:
    book = AddressBook()
    book.hear("heard", ["/ip4/192.0.2.1/tcp/1"], 1, "source", NOW)
    book.met("met", "/ip4/192.0.2.2/tcp/2", NOW)
    assert [peer for peer, _ in book.peers()] == ["met", "heard"]
    book.met("later", "/ip4/192.0.2.3/tcp/3", NOW + 2 * DAY)
    assert [peer for peer, _ in book.peers()] == ["later", "met"]
    book.met("latest", "/ip4/192.0.2.4/tcp/4", NOW + 31 * DAY)
    assert [peer for peer, _ in book.peers()] == ["latest", "later"]


def test_the_address_that_worked_comes_first_and_a_newer_record_replaces_the_others() -> None:
    book = AddressBook()
    old, new = "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/2"
    book.hear("p", [old, new], 5, "source", NOW)
    book.met("p", new, NOW)
    assert book.peers() == [("p", (new, old))]
    book.hear("p", [old, new], 6, "source", NOW + HOUR)
    assert book.peers() == [("p", (new, old))]
    book.hear("p", ["/ip4/192.0.2.1/tcp/3"], 7, "source", NOW + HOUR)
    assert book.peers() == [("p", ("/ip4/192.0.2.1/tcp/3",))]
    book.hear("p", [old], 6, "liar", NOW + 2 * HOUR)
    assert book.peers() == [("p", ("/ip4/192.0.2.1/tcp/3",))]


def test_a_peer_that_was_only_heard_of_and_never_answers_is_dropped() -> None:
    book = AddressBook()
    book.hear("heard", ["/ip4/192.0.2.1/tcp/1"], 1, "source", NOW)
    book.met("met", "/ip4/192.0.2.2/tcp/2", NOW)
    for _ in range(addressbook.MAX_FAILURES):
        book.failed("heard", NOW)
        book.failed("met", NOW)
        book.failed("unknown", NOW)
    assert [peer for peer, _ in book.peers()] == ["met"]


@pytest.mark.parametrize(
    "address", ["/dns4/example.org/tcp/1", "/ip4/192.0.2.1/udp/1", "/ip4/192.0.2.1/tcp/1/ws", "/dnsaddr/x", "garbage"]
)
def test_only_plain_addresses_are_taken_from_strangers(address: str) -> None:
    book = AddressBook()
    book.hear("p", [address], 1, "source", NOW)
    assert len(book) == 0


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(["hear", "met"]), st.integers(0, 1000), st.sampled_from("abc"), st.integers(0, DAY)),
        max_size=120,
    )
)
def test_one_liar_cannot_push_out_what_others_said_or_whom_the_node_met(
    said: list[tuple[str, int, str, int]],
) -> None:
    book, now = AddressBook(), NOW
    book.met("friend", "/ip4/192.0.2.1/tcp/1", now)
    book.hear("rumour", ["/ip4/192.0.2.1/tcp/2"], 1, "honest", now)
    for number in range(200):
        book.hear(f"liar's {number}", ["/ip4/192.0.2.66/tcp/6"], 1, "liar", now + 1)
        if number % 3 == 0:
            book.met(f"liar's {number}", "/ip4/192.0.2.66/tcp/6", now + 1)
    assert "friend" in book
    assert "rumour" in book
    assert len(book) <= 2 + addressbook.MAX_MET_PER_SOURCE + addressbook.MAX_HEARD_PER_SOURCE
    for what, number, source, later in said:
        if what == "hear":
            book.hear(f"{number}", [f"/ip4/192.0.2.1/tcp/{1 + number}"], 1, source, now + later)
        else:
            book.met(f"{number}", f"/ip4/192.0.2.1/tcp/{1 + number}", now + later)
        assert len(book) <= addressbook.MAX_MET + addressbook.MAX_HEARD
        assert "friend" in book


def test_a_book_comes_back_from_its_file(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "peers.json")
    book.load(NOW)
    book.hear("heard", ["/ip4/192.0.2.1/tcp/1", "/ip6/2001:db8::1/tcp/1"], 9, "source", NOW)
    book.met("met", "/ip4/192.0.2.2/tcp/2", NOW)
    assert book.changed
    book.save()
    assert not book.changed
    again = AddressBook(tmp_path / "peers.json")
    again.load(NOW + HOUR)
    assert again.peers() == book.peers()
    assert (tmp_path / "peers.json").stat().st_mode & 0o077 == 0
    late = AddressBook(tmp_path / "peers.json")
    late.load(NOW + 40 * DAY)
    assert late.peers() == []
    early = AddressBook(tmp_path / "peers.json")
    early.load(NOW - 40 * DAY)
    early.met("other", "/ip4/192.0.2.2/tcp/2", NOW)
    assert [peer for peer, _ in early.peers()] == ["other"]


GOOD = {"addresses": ["/ip4/192.0.2.1/tcp/1"], "source": "s", "seq": 1, "heard_ms": NOW, "met_ms": 0, "failures": 0}
BROKEN = {
    "empty": b"",
    "not JSON": b"\xff{",
    "no object": b"[]",
    "a list of peers": b'{"format": 1, "peers": []}',
    "another format": b'{"format": 99, "peers": {}}',
    "deep": b"[" * 100_000,
    "a peer id that is none": json.dumps({"format": 1, "peers": {"0OIl": GOOD}}).encode(),
    "a field too many": json.dumps({"format": 1, "peers": {"p": {**GOOD, "x": 1}}}).encode(),
    "a field of a wrong type": json.dumps({"format": 1, "peers": {"p": {**GOOD, "seq": "1"}}}).encode(),
    "an address that is none": json.dumps({"format": 1, "peers": {"p": {**GOOD, "addresses": ["x"]}}}).encode(),
    "an infinite time": json.dumps({"format": 1, "peers": {"p": {**GOOD, "heard_ms": float("inf")}}}).encode(),
    "too large": b" " * (addressbook.MAX_FILE_BYTES + 1),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_moved_aside_and_the_book_starts_anew(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_bytes(content)
    book = AddressBook(path)
    with pytest.raises(BookError, match="corrupt"):
        book.load(NOW)
    assert not path.exists()
    assert (tmp_path / f"peers.json.corrupt-{NOW}").read_bytes() == content
    book.met("p", "/ip4/192.0.2.1/tcp/1", NOW)
    book.save()
    again = AddressBook(path)
    again.load(NOW)
    assert again.peers() == book.peers()


def test_a_file_that_cannot_be_written_is_a_named_error_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    book = AddressBook(path)
    book.met("p", "/ip4/192.0.2.1/tcp/1", NOW)
    book.save()
    before = path.read_bytes()
    (tmp_path / "peers.json.new").mkdir()
    book.met("q", "/ip4/192.0.2.1/tcp/1", NOW)
    with pytest.raises(BookError, match="cannot be written"):
        book.save()
    assert book.changed
    assert path.read_bytes() == before
