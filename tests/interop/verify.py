"""Checks records with nothing of arnode: `python verify.py < log.jsonl`, a line for each record of an export.

Prints the id and what the record says; exit status 1 if any is false.
"""

import base64
import hashlib
import json
import sys

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def check(raw: bytes) -> str:
    """One line about a record. Raises for what is none."""
    version, kind, task, author, time_ms, body, signature = msgpack.unpackb(raw)
    assert version == 1
    assert msgpack.packb([version, kind, task, author, time_ms, body, signature]) == raw, "not canonical"
    assert msgpack.packb(in_order(msgpack.unpackb(body))) == body, "its body is not canonical"
    signed = b"arnode/record/1\0" + msgpack.packb([version, kind, task, author, time_ms, body])
    Ed25519PublicKey.from_public_bytes(author).verify(signature, signed)
    return f"{hashlib.sha256(signed).hexdigest()}  {kind}  {time_ms}  {msgpack.unpackb(body)!r:.100}"


def in_order(value: object) -> object:
    """The value with the keys of its maps in ascending order."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value, key=str.encode)}
    return [in_order(item) for item in value] if isinstance(value, list) else value


false = 0
for line in sys.stdin:
    try:
        print(check(base64.b64decode(json.loads(line)["record"])))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is no record
        print(f"FALSE  {type(error).__name__} {error}")
        false = 1
sys.exit(false)
