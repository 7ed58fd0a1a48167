"""Records: the small signed entries that everything a node says is made of.

A record is the msgpack array `[version, kind, task, author, time_ms, body, signature]`. Exactly one
encoding of a value is valid, so equal records are equal bytes:

- maps have string keys in ascending order (of their UTF-8 bytes), numbers take msgpack's shortest form, floats are
  64-bit and finite, nothing is an extension type, nesting stops at 16;
- `body` is the msgpack encoding, by the same rules, of a map.

The signature is Ed25519 over `DOMAIN` and the first six fields; the id is the SHA-256 of those signed bytes.
This module is pure: bytes in, values out.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

VERSION: Final = 1
DOMAIN: Final = b"arnode/record/1\0"
SIX_FIELDS: Final = b"\x96"  # the head of a msgpack array of six
SIGNATURE_FIELD: Final = 66  # bytes of the last field, of which 64 are the signature
MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 16
MAX_AHEAD_MS: Final = 10 * 60 * 1000
STORED_KINDS: Final = frozenset({"result", "hypothesis", "insight", "calibration", "profile"})
PRESENCE: Final = "presence"
KINDS: Final = STORED_KINDS | {PRESENCE}

FIELDS: Final = ("version", "kind", "task", "author", "time_ms", "body", "signature")
FIELD_OF: Final = re.compile(r"`\$\[(\d)\]`")  # how msgspec says where it found something
PARTS: Final = frozenset({type(None), bool, int, float, str, bytes, list, dict})
BOXES: Final = frozenset({list, dict})
_decode: Final = msgspec.msgpack.Decoder().decode
_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode  # keys in order, and none that is not a string


class RecordError(Exception):
    """A record that is refused; the class says which rule it breaks, the message how."""


class TooLarge(RecordError):
    """More than MAX_BYTES."""


class NotCanonical(RecordError):
    """Not the one valid encoding of a record: not msgpack, another form, or a number not finite."""


class BadField(RecordError):
    """A field of the wrong type, length or range, or an unknown kind or version."""


class BadSignature(RecordError):
    """The author did not sign these bytes."""


class FromTheFuture(RecordError):
    """The time lies more than MAX_AHEAD_MS ahead of this node's clock."""


class Signer(Protocol):
    """What signs: `gossip.identity.Identity` is one."""

    @property
    def author(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


class Record(msgspec.Struct, frozen=True, array_like=True, tag=VERSION, forbid_unknown_fields=True, dict=True):
    """One signed, immutable entry. Made by `sign` and `decode` only.

    task: 32 bytes, the task's fingerprint (zeros where a record is about no task); author: 32 bytes, Ed25519 public
    key; time_ms: milliseconds since 1970 by the author's clock; body: canonical msgpack of a map; signature: 64 bytes.
    """

    kind: str
    task: Annotated[bytes, Meta(min_length=32, max_length=32)]
    author: Annotated[bytes, Meta(min_length=32, max_length=32)]
    time_ms: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    body: bytes
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    @property
    def signed_bytes(self) -> bytes:
        """What the signature covers: all of the record but its last field, as an array of six."""
        return DOMAIN + SIX_FIELDS + self.raw[1:-SIGNATURE_FIELD]

    @cached_property
    def id(self) -> bytes:
        """SHA-256 of the signed bytes, 32 bytes."""
        return id_of(self.raw)

    @cached_property
    def raw(self) -> bytes:
        """The record as it travels and is stored."""
        return _pack(self)

    def value(self) -> dict[str, Any]:
        """The body, decoded."""
        body: dict[str, Any] = _decoded(self.body)  # its form was checked when the record was made
        return body


_read: Final = msgspec.msgpack.Decoder(Record).decode


def sign(signer: Signer, kind: str, task: bytes, time_ms: int, body: bytes) -> Record:
    """Make a record of `body` (from `pack_body`). Raises the same errors as `parse`."""
    record = Record(kind, task, signer.author, time_ms, body, bytes(64))
    signed = Record(kind, task, signer.author, time_ms, body, signer.sign(record.signed_bytes))
    return parse(signed.raw)


def parse(raw: bytes) -> Record:
    """Read a record's bytes and check everything but signature and clock. Raises RecordError.

    For bytes that were checked before, such as the node's own log; strangers' bytes go through `decode`.
    """
    record = outline(raw)
    value = _unpack(record.body)
    if type(value) is not dict:
        raise BadField("body is not a map")
    _check_parts(value)
    return record


def outline(raw: bytes) -> Record:
    """Read and check a record's fields, but not what is in its body, which is most of the work. Raises RecordError."""
    if len(raw) > MAX_BYTES:
        raise TooLarge(f"{len(raw)} bytes; at most {MAX_BYTES} are allowed")
    try:
        record = _read(raw)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise _fault(raw, error) from error
    if _pack(record) != raw:
        raise NotCanonical("not the canonical encoding of its value")
    if record.kind not in KINDS:
        raise BadField(f"unknown kind {record.kind!r:.40}")
    vars(record)["raw"] = raw  # what the property would make
    return record


def _fault(raw: bytes, error: Exception) -> RecordError:
    """What is wrong with bytes that are no record's, as `error` says. Raises NotCanonical if it is their encoding."""
    fields = _unpack(raw)
    if type(fields) is not list or len(fields) != len(FIELDS):
        return BadField("not an array of seven fields")
    if fields[0] != VERSION:
        return BadField(f"version {fields[0]!r:.40}; this node knows version {VERSION}")
    what, _, where = str(error).partition(" - at ")
    named = FIELD_OF.search(where)
    return BadField(f"{FIELDS[int(named[1])]}: {what}" if named else what)


def decode(raw: bytes, now_ms: int) -> Record:
    """Read and check a stranger's record: form, clock, then signature, the dear check. Raises RecordError."""
    record = parse(raw)
    check_clock(record, now_ms)
    verify(record)
    return record


def check_clock(record: Record, now_ms: int) -> None:
    """Raise FromTheFuture for a record that lies too far ahead of this node's clock."""
    if record.time_ms > now_ms + MAX_AHEAD_MS:
        raise FromTheFuture(f"its time is {(record.time_ms - now_ms) / 60_000:.0f} minutes ahead of this node's clock")


def id_of(raw: bytes) -> bytes:
    """The id of a record's bytes, which are taken to be canonical."""
    return hashlib.sha256(DOMAIN + SIX_FIELDS + raw[1:-SIGNATURE_FIELD]).digest()


def verify(record: Record) -> None:
    """Raise BadSignature unless the author signed the record."""
    try:
        crypto_sign_open(record.signature + record.signed_bytes, record.author)
    except CryptoError as error:
        raise BadSignature(f"the signature is not of author {record.author.hex()[:12]}") from error


def pack_body(value: Mapping[str, Any]) -> bytes:
    """Canonical msgpack of a map. Raises NotCanonical or BadField for what has no canonical form."""
    if not isinstance(value, Mapping):
        raise BadField("body is not a map")
    try:
        return _pack(_canonical(value, MAX_DEPTH))
    except (ValueError, OverflowError) as error:
        raise NotCanonical(f"has no msgpack form: {error!s:.100}") from error


def _pack(value: Any) -> bytes:
    return _encode(value)


def _unpack(data: bytes) -> Any:
    """The value whose one encoding `data` is, if `_check_parts` finds nothing. Raises NotCanonical."""
    value = _decoded(data)
    try:
        again = _pack(value)
    except TypeError as error:
        raise NotCanonical("a map key is not a string") from error
    if again != data:
        raise NotCanonical("not the canonical encoding of its value")
    return value


def _decoded(data: bytes) -> Any:
    try:
        return _decode(data)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise NotCanonical(f"not canonical msgpack: {type(error).__name__}: {error!s:.100}") from error


def _check_parts(value: dict[str, Any]) -> None:
    """What packing a decoded value again does not show: depth, extension types, numbers. Raises NotCanonical."""
    boxes: list[Any] = [value]
    for _ in range(MAX_DEPTH - 1):
        parts: list[Any] = []
        for box in boxes:
            parts += box.values() if type(box) is dict else box
        kinds = set(map(type, parts))
        if not kinds <= PARTS:
            raise NotCanonical("a value of a msgpack extension type")
        if float in kinds and not all(map(math.isfinite, [part for part in parts if type(part) is float])):
            raise NotCanonical("a number is not finite")
        boxes = [part for part in parts if type(part) in BOXES] if kinds & BOXES else []
        if not boxes:
            return
    if any(boxes):
        raise NotCanonical(f"nested deeper than {MAX_DEPTH}")


def _canonical(value: Any, depth: int) -> Any:
    """The same value with its maps' keys in order. Raises NotCanonical for what may not be in a record."""
    if depth == 0:
        raise NotCanonical(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise NotCanonical("a map key is not a string")
        return {key: _canonical(value[key], depth - 1) for key in sorted(value, key=str.encode)}
    if isinstance(value, (list, tuple)):
        return [_canonical(item, depth - 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise NotCanonical("a number is not finite")
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    raise NotCanonical(f"a value of type {type(value).__name__}")
