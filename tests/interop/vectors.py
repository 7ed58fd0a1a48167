"""What vectors.json holds and how it is made: `python -m tests.interop.vectors` writes it anew.

The file is for other implementations, so it is written once and then only tested: a difference means that the protocol
has changed.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any, Final

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.entries import NO_TASK
from gossip.host import peer_id_of
from gossip.identity import Identity
from gossip.invite import Invite, encode
from gossip.record import DOMAIN, KINDS, pack_body, sign
from gossip.swarmkey import SwarmKey
from trainer.recipe import BASELINE, Recipe, program_sha256, recipe_id, recipe_to_data
from trainer.task import Task, load_task

FILE: Final = Path(__file__).with_name("vectors.json")
SEED: Final = bytes(range(32))
TIME_MS: Final = 1_700_000_000_000
ME: Final = Identity(Ed25519PrivateKey.from_private_bytes(SEED))
OTHER: Final = hashlib.sha256(b"another record").digest()

PROGRAM: Final = {
    "main.py": 'WIDTH = 2**5\nRATE = 0.5\nTIED = True\nNORM = "layer"\nprint("---")\nprint(f"loss: {RATE / WIDTH}")\n',
    "data.py": "# é, 漢 and 𝔘 are hashed as UTF-8\n",
}
# Packed once: another zlib may pack otherwise, and what it makes is as good.
EDITED: Final = PROGRAM["main.py"].replace("RATE / WIDTH", "RATE / WIDTH**2")
PACKED: Final = bytes.fromhex(
    "78da0bf77409f150b05530d2d232e50a720c7105b20df44cb9423c5d5d80cc90a2d2542e3fff205f205b2927b132b54889aba02833af4443"
    "495757574913ca4953cac92f2eb652a8069ba0af100e32554bcba816a80200d29b19b3"
)
OLD: Final = PROGRAM["main.py"].replace("RATE / WIDTH", "RATE / (WIDTH + 1)")
PACKED_OLD: Final = bytes.fromhex("78f9d29b19b30ba7890d1a1063b5150c35419600001ec21a1a")
TASK_FILE: Final = """\
name = "tiny"
title = "left out of the fingerprint"
[program]
files = ["main.py", "data.py"]
editable = ["main.py"]
command = ["{python}", "main.py"]
[metric]
name = "loss"
direction = "minimize"
noise = 0.1
[budget]
kind = "flops"
amount = 1000
[limits]
wall_seconds = 10
memory_mb = 100
output_bytes = 1000
[data]
command = ["{python}", "data.py"]
[[knobs]]
name = "WIDTH"
type = "int"
low = 1
high = 64
log = true
[[knobs]]
name = "RATE"
type = "float"
low = 0
high = 1.5
[[knobs]]
name = "TIED"
type = "bool"
[[knobs]]
name = "NORM"
type = "choice"
choices = ["layer", "rms", 0.0]
"""


INVITE: Final = Invite(
    "quiet-river",
    tuple(
        f"{address}/p2p/{peer_id_of(ME.author)}" for address in ("/ip4/192.0.2.7/tcp/4477", "/ip6/2001:db8::7/tcp/1")
    ),
    SwarmKey(hashlib.sha256(b"a swarm's key").digest()),
    1_800_000_000,
)


def tiny_task(folder: Path) -> Task:
    """The task of the vectors, from files in `folder`."""
    for name, text in (PROGRAM | {"task.toml": TASK_FILE}).items():
        (folder / name).write_text(text, encoding="utf-8")
    return load_task(folder)


def typed(value: Any) -> Any:
    """A value as JSON can hold it, with {"hex"}, {"float"} and {"int"} for what JSON lacks."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case bool() | None | str():
            return value
        case float():
            return {"float": repr(value)} if value.is_integer() else value
        case int():
            return value if abs(value) < 2**53 else {"int": str(value)}
        case dict():
            return {key: typed(item) for key, item in value.items()}
        case _:
            return [typed(item) for item in value]


def untyped(value: Any) -> Any:
    """The value that `typed` wrote."""
    match value:
        case {"hex": digits} if len(value) == 1:
            return bytes.fromhex(digits)
        case {"float": text} if len(value) == 1:
            return float(text)
        case {"int": text} if len(value) == 1:
            return int(text)
        case dict():
            return {key: untyped(item) for key, item in value.items()}
        case list():
            return [untyped(item) for item in value]
    return value


def bodies(task: Task) -> dict[str, tuple[str, bytes, dict[str, Any]]]:
    """Name -> kind, task and body of the records in the file."""
    candidate = Recipe({"RATE": 1.0, "WIDTH": 64})
    machine = {"device_class": "cpu", "device": "a pocket calculator"}
    budget = {"kind": "flops", "amount": 1000.0}
    return {
        "insight": ("insight", task.fingerprint, {"text": "hi"}),
        "insight, all fields": (
            "insight",
            task.fingerprint,
            {
                "text": "WIDTH≈64 lowers val_loss by 0.1 (0.05 to 0.15) over 3 nodes",
                "evidence": [OTHER],
                "kind": "effect",
                "about": {"WIDTH": 64, "RATE": None},
                "effect": 0.1,
                "interval": [0.05, 0.15],
                "authors": 3,
                "proposer": "rule",
            },
        ),
        "hypothesis": (
            "hypothesis",
            task.fingerprint,
            {
                "text": "a wider one",
                "change": {"WIDTH": 64, "RATE": 0.25},
                "evidence": [],
                "priority": 1.0,
                "proposer": "person",
            },
        ),
        "calibration": (
            "calibration",
            task.fingerprint,
            {
                "recipe": recipe_to_data(BASELINE),
                "values": {"7": 0.016, "2147483647": 0.0},
                "budget": budget,
                "seconds": 3.5,
                "versions": {"python": "3.11.2"},
                **machine,
            },
        ),
        "result": (
            "result",
            task.fingerprint,
            {
                "candidate": recipe_to_data(candidate),
                "parent": recipe_id(BASELINE),
                "change": {"RATE": [0.5, 1.0], "WIDTH": [32, 64]},
                "pairs": [
                    {"seed": 7, "candidate": 0.0156, "parent": 0.016},
                    {"seed": 8, "candidate": None, "parent": 0.017},
                ],
                "verdict": "keep",
                "reason": "",
                "effect": 0.0004,
                "interval": [0.0, 0.0008],
                "budget": budget,
                "integrity": "trusted",
                "seconds": 12.25,
                "tokens": 2**40,
                "steps": 100,
                "parameters": 65536,
                "peak_memory_mb": 42.0,
                "versions": {"python": "3.11.2", "os": "Linux x86_64"},
                "program": program_sha256(PROGRAM | {"main.py": PROGRAM["main.py"].replace("2**5", "64")}),
                "hypothesis": "twice of both",
                "proposer": "search",
                "inspired_by": [OTHER],
                "replicates": None,
                **machine,
            },
        ),
        "a result that edits code": (
            "result",
            task.fingerprint,
            {
                "candidate": {"knobs": {"TIED": False}, "files": {"main.py": PACKED}},
                "parent": recipe_id(Recipe({}, {"main.py": OLD})),
                "change": {"TIED": [True, False]},
                "edits": {"main.py": PACKED_OLD},
                "pairs": [{"seed": 7, "candidate": 0.0005, "parent": 0.0156}],
                "verdict": "keep",
                "effect": 0.0151,
                "budget": budget,
                "integrity": "audited",
                "seconds": 12.25,
                "program": program_sha256(PROGRAM | {"main.py": EDITED.replace("True", "False")}),
                "proposer": "person",
                **machine,
            },
        ),
        "profile": ("profile", NO_TASK, {"alias": "zoë", "software": {}, **machine}),
        "presence": (
            "presence",
            task.fingerprint,
            {
                "alias": "zoë",
                "activity": "exploring",
                "claim": {"TIED": False},
                "expires_ms": TIME_MS + 60_000,
                "best": None,
            },
        ),
        "unknown fields are kept": (
            "insight",
            task.fingerprint,
            {
                "text": "from a newer client",
                # in the order of UTF-8, which UTF-16 puts the other way round
                "\uff5a": [True, None, 0, -1, -33, 2**64 - 1, -(2**63), -0.0, 1e300, b"\0" * 300],
                "𝔘": {"": {}, "z" * 40: [], "deep": _nested(12)},
            },
        ),
    }


def _nested(levels: int) -> Any:
    return [_nested(levels - 1)] if levels else None


def refused() -> dict[str, bytes]:
    """What is wrong -> bytes that are no valid record."""
    text = pack_body({"text": "hi"})
    good = sign(ME, "insight", bytes(32), TIME_MS, text)
    fields = [1, "insight", bytes(32), ME.author, TIME_MS, text]

    def signed(*values: object, packed: bytes | None = None) -> bytes:
        head = msgpack.packb(list(values)) if packed is None else packed
        return bytes([0x90 + len(values) + 1]) + head[1:] + msgpack.packb(ME.sign(DOMAIN + head))

    def with_field(index: int, value: object) -> bytes:
        return signed(*fields[:index], value, *fields[index + 1 :])

    long_time = msgpack.packb(fields).replace(msgpack.packb(TIME_MS), b"\xd3" + struct.pack(">q", TIME_MS))
    # the neutral element signs whatever it likes, if a verifier lets it: R is the neutral element too, and S is zero
    neutral = b"\1" + bytes(31)
    head = msgpack.packb([*fields[:3], neutral, *fields[4:]])
    anyones = b"\x97" + head[1:] + msgpack.packb(neutral + bytes(32))
    return {
        "nothing": b"",
        "a byte too few": good.raw[:-1],
        "a byte too many": good.raw + b"\0",
        "a changed signature": good.raw[:-1] + bytes([good.raw[-1] ^ 1]),
        "a changed text": good.raw.replace(b"hi", b"ho"),
        "a field too many": signed(*fields, 0),
        "another version": with_field(0, 2),
        "a version that is a float": with_field(0, 1.0),
        "an unknown kind": with_field(1, "gossip"),
        "a short task": with_field(2, bytes(31)),
        "an author that is text": with_field(3, "a" * 32),
        "an author of small order": anyones,
        "no time": with_field(4, 0),
        "a time that is a float": with_field(4, 1.5e12),
        "a time in a signed form": signed(*fields, packed=long_time),
        "a body that is a string": with_field(5, "hi"),
        "a body that is an array": with_field(5, msgpack.packb([1])),
        "a body with keys out of order": with_field(5, msgpack.packb({"text": "hi", "evidence": []})),
        "a body with a key twice": with_field(5, b"\x82\xa4text\xa2hi\xa4text\xa2hi"),
        "a body with a key that is no string": with_field(5, b"\x81\x01\x01"),
        "a body with a long integer": with_field(5, b"\x81\xa4text\xcc\x01"),
        "a body with a long string": with_field(5, b"\x81\xa4text\xd9\x02hi"),
        "a body with a 32-bit float": with_field(5, b"\x81\xa4text\xca\x3f\x80\x00\x00"),
        "a body that is not finite": with_field(5, msgpack.packb({"text": float("nan")})),
        "a body with a timestamp": with_field(5, b"\x81\xa4text\xd6\xff\x00\x00\x00\x00"),
        "a body that is not UTF-8": with_field(5, b"\x81\xa4text\xa1\xff"),
        "a body that is nested too deep": with_field(5, b"\x81\xa4text" + b"\x91" * 15 + b"\xc0"),
        "a body with bytes after it": with_field(5, text + b"\xc0"),
    }


def made(folder: Path) -> dict[str, Any]:
    """The whole content of the file; `folder` holds the task's files meanwhile."""
    task = tiny_task(folder)
    records = []
    for name, (kind, about, body) in bodies(task).items():
        record = sign(ME, kind, about, TIME_MS, pack_body(body))
        fields = {"kind": kind, "task": typed(about), "time_ms": TIME_MS, "body": typed(body)}
        records.append({"name": name, **fields, "record": record.raw.hex(), "id": record.id.hex()})
    assert {record["kind"] for record in records} == KINDS
    recipes = [BASELINE, Recipe({"RATE": 1.0, "WIDTH": 64}), Recipe({}, {"main.py": "WIDTH = 1\n"})]
    return {
        "seed": SEED.hex(),
        "author": ME.author.hex(),
        "peer_id": peer_id_of(ME.author),
        "records": records,
        "refused": [{"name": name, "record": raw.hex()} for name, raw in refused().items()],
        "recipes": [{"recipe": typed(recipe_to_data(r)), "id": recipe_id(r).hex()} for r in recipes],
        "packed": [
            {"packed": PACKED.hex(), "dictionary": "", "text": EDITED},
            {"packed": PACKED_OLD.hex(), "dictionary": EDITED, "text": OLD},
        ],
        "task": {
            "files": PROGRAM,
            "task.toml": TASK_FILE,
            "canonical": typed(canonical_task(task)),
            "fingerprint": task.fingerprint_hex,
        },
        "invite": {
            "text": encode(INVITE),
            "swarm": INVITE.swarm,
            "expires": INVITE.expires,
            "key": INVITE.key.secret.hex() if INVITE.key else None,
            "bootstrap": list(INVITE.bootstrap),
        },
    }


def canonical_task(task: Task) -> list[Any]:
    """What docs/protocol.md says the fingerprint is the hash of, written down once more by hand."""
    return [
        "arnode task 1",
        [["data.py", PROGRAM["data.py"]], ["main.py", PROGRAM["main.py"]]],
        ["main.py"],
        ["{python}", "main.py"],
        ["loss", "minimize"],
        ["flops", 1000.0],
        [
            ["NORM", "choice", None, None, False, ["layer", "rms", 0.0]],
            ["RATE", "float", 0.0, 1.5, False, []],
            ["TIED", "bool", None, None, False, []],
            ["WIDTH", "int", 1, 64, True, []],
        ],
        [["{python}", "data.py"], None],
    ]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(json.dumps(made(Path(folder)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
