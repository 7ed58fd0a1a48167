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
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import msgpack
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

SCALARS: Final = frozenset({type(None), bool, int, str, bytes})


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


@dataclass(frozen=True)
class Record:
    """One signed, immutable entry. Made by `sign` and `decode` only.

    task: 32 bytes, the task's fingerprint (zeros where a record is about no task); author: 32 bytes, Ed25519 public
    key; time_ms: milliseconds since 1970 by the author's clock; body: canonical msgpack of a map; signature: 64 bytes.
    """

    kind: str
    task: bytes
    author: bytes
    time_ms: int
    body: bytes
    signature: bytes

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
        return _pack([VERSION, self.kind, self.task, self.author, self.time_ms, self.body, self.signature])

    def value(self) -> dict[str, Any]:
        """The body, decoded."""
        body: dict[str, Any] = _decoded(self.body)  # its form was checked when the record was made
        return body


def sign(signer: Signer, kind: str, task: bytes, time_ms: int, body: bytes) -> Record:
    """Make a record of `body` (from `pack_body`). Raises the same errors as `parse`."""
    record = Record(kind, task, signer.author, time_ms, body, bytes(64))
    signed = Record(kind, task, signer.author, time_ms, body, signer.sign(record.signed_bytes))
    return parse(signed.raw)


def parse(raw: bytes) -> Record:
    """Read a record's bytes and check everything but signature and clock. Raises RecordError.

    For bytes that were checked before, such as the node's own log; strangers' bytes go through `decode`.
    """
    if len(raw) > MAX_BYTES:
        raise TooLarge(f"{len(raw)} bytes; at most {MAX_BYTES} are allowed")
    fields = _unpack(raw)
    if not isinstance(fields, list) or len(fields) != 7:
        raise BadField("not an array of seven fields")
    version, kind, task, author, time_ms, body, signature = fields
    if type(version) is not int or version != VERSION:
        raise BadField(f"version {version!r:.40}; this node knows version {VERSION}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadField(f"unknown kind {kind!r:.40}")
    for name, value, length in (("task", task, 32), ("author", author, 32), ("signature", signature, 64)):
        if not isinstance(value, bytes) or len(value) != length:
            raise BadField(f"{name} is not {length} bytes")
    if type(time_ms) is not int or not 0 < time_ms < 2**63:
        raise BadField(f"time_ms is not a time: {time_ms!r:.40}")
    if not isinstance(body, bytes):
        raise BadField("body is not bytes")
    if not isinstance(_unpack(body), dict):
        raise BadField("body is not a map")
    record = Record(kind, task, author, time_ms, body, signature)
    vars(record)["raw"] = raw  # what the property would make
    return record


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
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def _unpack(data: bytes) -> Any:
    """The value that `data` is the one encoding of. Raises NotCanonical."""
    value = _decoded(data)
    _check_form(value, MAX_DEPTH)
    if _pack(value) != data:
        raise NotCanonical("not the canonical encoding of its value")
    return value


def _decoded(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=True, use_list=True, ext_hook=_no_extension)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise NotCanonical(f"not canonical msgpack: {type(error).__name__}: {error!s:.100}") from error


def _check_form(value: Any, depth: int) -> None:
    """What packing a decoded value again does not show. Raises NotCanonical."""
    if type(value) is dict:
        keys = list(value)
        if any(type(key) is not str for key in keys):
            raise NotCanonical("a map key is not a string")
        if keys != sorted(keys):  # code points are in the order of their UTF-8 bytes
            raise NotCanonical("map keys are not in order")
        parts = list(value.values())
    else:
        parts = value if type(value) is list else [value]
        depth += type(value) is not list
    if parts and depth == 1:
        raise NotCanonical(f"nested deeper than {MAX_DEPTH}")
    for part in parts:
        kind = type(part)
        if kind is dict or kind is list:
            _check_form(part, depth - 1)
        elif kind is float:
            if not math.isfinite(part):
                raise NotCanonical("a number is not finite")
        elif kind not in SCALARS:
            raise NotCanonical(f"a value of type {kind.__name__}")


def _no_extension(code: int, data: bytes) -> Any:
    raise NotCanonical(f"msgpack extension type {code}")


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
