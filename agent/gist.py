"""The gist of a result: what a notebook needs of it, in a fifth of the bytes.

A node that forgets a result keeps its gist, and a notebook made of gists says the same as one made of the records: what
was tried and on which seeds, what it changed, what came of it, whose idea it rests on. What goes is what only a reader
wants, or a stranger: the hypothesis in words, the software, the program's hash, the signature.

A gist never leaves the node that made it: nobody could check it.
"""

import zlib
from typing import Any, Final

import msgpack

from agent.entries import Result
from gossip.record import pack_body

DROPPED: Final = {"hypothesis", "program", "versions", "tokens", "steps", "peak_memory_mb"}
DEFLATE: Final = -zlib.MAX_WBITS  # without the header and the checksum, which SQLite's pages need not have twice


def gist_of(result: Result) -> bytes:
    """The result without what no view that is computed needs, deflated."""
    body = {name: value for name, value in result.model_dump().items() if name not in DROPPED}
    packer = zlib.compressobj(level=9, wbits=DEFLATE, zdict=_USUAL)
    return packer.compress(pack_body(body)) + packer.flush()


def read_gist(gist: bytes) -> Result:
    """The result that a gist is of; what was dropped is empty. Raises ValueError for other bytes."""
    try:
        body: dict[str, Any] = msgpack.unpackb(zlib.decompressobj(wbits=DEFLATE, zdict=_USUAL).decompress(gist))
        change = {knob: tuple(pair) for knob, pair in body["change"].items()}
        interval = None if body["interval"] is None else tuple(body["interval"])
        return Result.model_validate(body | {"change": change, "interval": interval, "program": bytes(32)})
    except (zlib.error, msgpack.UnpackException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the gist of a result: {error}") from error


# What most results have in common, written out here rather than made from the models, which may grow a field.
_USUAL: Final = b"".join(
    pack_body(
        {
            "budget": {"amount": 1e12, "kind": kind},
            "candidate": {"files": {}, "knobs": {"BATCH": 32, "DEPTH": 4, "LR": 0.001}},
            "change": {"LR": [0.001, 0.002]},
            "device": "Intel(R) Xeon(R) Processor AMD Ryzen NVIDIA GeForce RTX 4090 H100 80GB HBM3 Apple M3",
            "device_class": device,
            "edits": {},
            "effect": effect,
            "inspired_by": [],
            "integrity": "trusted",
            "interval": None if effect is None else [effect, effect],
            "pairs": [{"candidate": 1.0, "parent": 1.0, "seed": 1 << 30}] * 2,
            "parameters": 100_000,
            "parent": bytes(32),
            "parent_parameters": 100_000,
            "proposer": proposer,
            "reason": reason,
            "replicates": None,
            "seconds": 60.0,
            "verdict": verdict,
        }
    )
    for verdict, effect, reason, kind, device, proposer in (
        ("crash", None, "timeout", "tokens", "mps", "person"),
        ("inconclusive", 0.01, "", "seconds", "cuda-24g", "replication"),
        ("discard", -0.01, "", "flops", "cpu", "search"),
    )
)
