"""docs/protocol.md and the code say the same where that can be compared: bodies, limits, names, an example."""

import json
import re
from pathlib import Path
from typing import Final

import pytest

from agent.entries import BODIES, Body
from gossip import (
    batches,
    door,
    exchange,
    flood,
    frames,
    guard,
    host,
    intake,
    mesh,
    quota,
    reach,
    reconcile,
    record,
    sync,
    upstream,
    yamux,
)
from gossip.layout import PRESENCE, RECORDS, topic_of
from tests.interop import vectors

PAGE: Final = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")

LIMITS: Final = {
    "record": record.MAX_BYTES,
    "nesting of a value": record.MAX_DEPTH,
    "a record's time ahead of the reader's clock": record.MAX_AHEAD_MS,
    "a presence's distance from the reader's clock": mesh.PRESENCE_FRESH_MS,
    "presences of an author at once": mesh.PRESENCE_BURST,
    "presences of an author": mesh.PRESENCE_PER_SECOND,
    "a record's age, by gossip": intake.GOSSIP_PAST_MS,
    "records of an author at once, by gossip": quota.GOSSIP_RECORDS.burst,
    "records of an author, by gossip": quota.GOSSIP_RECORDS.per_second,
    "bytes of an author at once, by gossip": quota.GOSSIP_BYTES.burst,
    "bytes of an author, by gossip": quota.GOSSIP_BYTES.per_second,
    "stored bytes of an author": quota.AUTHOR_BYTES,
    "GossipSub RPC": flood.MAX_RPC_BYTES,
    "a message beyond its record": flood.ENVELOPE_BYTES,
    "GossipSub streams of a peer": flood.MAX_STREAMS_OF_A_PEER,
    "new messages of a peer at once": flood.CHECKS.burst,
    "new messages of a peer": flood.CHECKS.per_second,
    "frame": frames.MAX_FRAME,
    "silence within a conversation": frames.FRAME_SECONDS,
    "history exchange, time": sync.SESSION_SECONDS,
    "history exchange, bytes in each direction": sync.SESSION_BYTES,
    "records of a frame": batches.BATCH_RECORDS,
    "bytes of records in an answer, if more than one": batches.BATCH_BYTES,
    "requests of a history exchange under way": batches.AHEAD,
    "message of Negentropy": reconcile.MAX_MESSAGE,
    "messages of Negentropy in a row that lead to no record": reconcile.MAX_BARREN,
    "envelopes of an answer": exchange.MAX_NAMED,
    "envelope": exchange.MAX_ENVELOPE,
    "connections of a node": host.MAX_CONNECTIONS,
    "connections of a peer": upstream.MAX_CONNECTIONS_OF_A_PEER,
    "connections from a public IPv4 address, or /64 of IPv6": door.PUBLIC.connections,
    "arrivals from there at once": door.PUBLIC.arrivals.burst,
    "arrivals from there": door.PUBLIC.arrivals.per_second,
    "handshake": upstream.HANDSHAKE_SECONDS,
    "time without an open stream of the peer's": upstream.IDLE_SECONDS,
    "Yamux frame": yamux.MAX_FRAME,
    "open streams of a peer": yamux.MAX_STREAMS,
}


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def section(title: str) -> str:
    """The text below a heading, up to the next."""
    found = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title!r}"
    return found[1]


@pytest.mark.parametrize("kind", BODIES)
def test_the_fields_of_a_body_and_their_defaults_are_those_of_the_code(kind: str) -> None:
    def default_of(body: type[Body], name: str) -> str:
        field = body.model_fields[name]
        return "required" if field.is_required() else json.dumps(field.default).replace("null", "nil")

    body = BODIES[kind]
    told = {name: default for name, _, default, _ in rows(section(kind))}
    assert told == {name: default_of(body, name) for name in body.model_fields}


def test_the_limits_are_those_of_the_code() -> None:
    told = {name: float(value) for name, value, _ in rows(section("Limits"))}
    assert told == {name: float(value) for name, value in LIMITS.items()}


def test_kinds_topics_and_protocols_have_the_names_that_the_code_uses() -> None:
    assert set(re.findall(r"`([a-z]+)`", rows(section("Records"))[1][2])) == record.KINDS
    for topic in (topic_of("<swarm>", name) for name in (RECORDS, PRESENCE)):
        assert f"`{topic}`" in PAGE
    for protocol in (sync.PROTOCOL, exchange.PROTOCOL, reach.PROTOCOL):
        assert re.search(rf"^## .*`{re.escape(protocol)}`$", PAGE, re.MULTILINE)
    assert record.DOMAIN == b"arnode/record/1\0"
    assert "`arnode/record/1` and a zero byte" in PAGE


def test_the_offences_are_counted_as_the_page_says() -> None:
    assert f"at {guard.MAX_OFFENCES} the peer is shut out for {guard.BAN_SECONDS / 60:.0f} minutes" in PAGE
    assert f"address from which {guard.BANNED_PEERS_OF_AN_ADDRESS} peers were" in PAGE.replace("\n", " ")
    assert guard.LONGEST_BAN_SECONDS == guard.FORGOTTEN_SECONDS == 24 * 3600
    assert f"one per {1 / guard.FORGIVEN_PER_SECOND:.0f} s" in PAGE


def test_the_example_is_the_first_vector() -> None:
    first = json.loads(vectors.FILE.read_text(encoding="utf-8"))["records"][0]
    example = section("Test vectors")
    assert first["record"] in example.replace("\n    ", "").replace("\n", "")
    assert first["id"] in example
