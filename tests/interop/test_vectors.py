"""vectors.json, on which other implementations rely, says what the code does, in Python and in JavaScript."""

import json
import lzma
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from agent.entries import Result, check, read
from agent.evidence import read_experiment
from agent.packed import unpack
from gossip.invite import decode as decode_invite
from gossip.record import DOMAIN, RecordError, decode, pack_body, sign
from tests.interop import vectors
from tests.interop.javascript import run_script, scripts
from tests.interop.vectors import ME, untyped

HELD: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the JavaScript scripts can run."""
    return scripts(tmp_path)


MARKS = bytes.fromhex("00017f8081828f90919fa0a1bfc0c1c2c3c4c5c6c7cacbcccdcecfd0d1d2d3d6d9dadbdcdddedfe0edfeff")


def names(part: str) -> list[str]:
    return [entry["name"] for entry in HELD[part]]


def entry(part: str, name: str) -> dict[str, Any]:
    return next(one for one in HELD[part] if one["name"] == name)


def test_the_file_is_what_the_code_makes(tmp_path: Path) -> None:
    assert vectors.made(tmp_path) == HELD


@pytest.mark.parametrize("name", names("records"))
def test_a_record_is_made_and_read_byte_by_byte(name: str) -> None:
    held = entry("records", name)
    raw = bytes.fromhex(held["record"])
    made = sign(ME, held["kind"], untyped(held["task"]), held["time_ms"], pack_body(untyped(held["body"])))
    assert made.raw == raw
    back = decode(raw, held["time_ms"])
    check(back)
    assert back.id.hex() == held["id"]
    assert back.value() == untyped(held["body"])


@pytest.mark.parametrize("name", names("refused"))
def test_what_is_no_record_is_refused(name: str) -> None:
    with pytest.raises(RecordError):
        decode(bytes.fromhex(entry("refused", name)["record"]), vectors.TIME_MS)


def test_one_level_more_than_the_deepest_record_is_refused() -> None:
    deepest: object = None
    for _ in range(14):
        deepest = [deepest]
    pack_body({"": deepest})
    with pytest.raises(RecordError, match="nested"):
        pack_body({"": [deepest]})


def test_a_fingerprint_is_the_hash_of_what_the_page_says(tmp_path: Path) -> None:
    task = vectors.tiny_task(tmp_path)
    by_hand = vectors.canonical_task(task)
    assert untyped(HELD["task"]["canonical"]) == by_hand
    assert task.fingerprint_hex == HELD["task"]["fingerprint"]


@pytest.mark.parametrize("number", [0, 1])
def test_a_packed_text_is_read(number: int) -> None:
    held = HELD["packed"][number]
    assert unpack(bytes.fromhex(held["packed"]), like=held["dictionary"]) == held["text"]


def test_the_result_that_edits_code_counts(tmp_path: Path) -> None:
    task = vectors.tiny_task(tmp_path)
    record = decode(bytes.fromhex(entry("records", "a result that edits code")["record"]), vectors.TIME_MS)
    result = read(record)
    assert isinstance(result, Result)
    experiment = read_experiment(task, (record.time_ms, record.id), record.author, result)
    assert experiment is not None
    assert experiment.parent.files == {"main.py": vectors.OLD}
    assert experiment.candidate.files == {"main.py": vectors.EDITED}


def test_an_invite_says_what_it_was_made_of() -> None:
    assert decode_invite(HELD["invite"]["text"], now=0) == vectors.INVITE


def test_javascript_makes_and_refuses_the_same(folder: Path) -> None:
    done = run_script(folder, "vectors.mjs")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {part: len(HELD[part]) for part in ("records", "refused", "recipes", "packed")}
    assert json.loads(done.stdout.splitlines()[-1]) == counts | {"task": 1, "invite": 1}


def test_the_negentropy_client_sends_what_the_reference_sends(folder: Path) -> None:
    packed = Path(__file__).parents[1] / "gossip" / "data" / "negentropy-vectors.json.xz"
    exchanges = lzma.decompress(packed.read_bytes()).decode()
    done = run_script(folder, "negentropy_vectors.mjs", exchanges)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) == len(json.loads(exchanges)["cases"])


def broken(rng: random.Random, data: bytes) -> bytes:
    """The same bytes with up to three small changes, or none."""
    changed = bytearray(data)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(changed) + 1)
        # bytes that mean something to msgpack, UTF-8 or the order of keys, more often than others
        new = bytes(rng.choices([rng.choice(MARKS), rng.randrange(256)], k=rng.randrange(3)))
        changed[at : at + rng.randrange(3)] = new
    return bytes(changed)


def random_value(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.randrange(10 if depth else 8)
    if kind == 8:
        return [random_value(rng, depth - 1) for _ in range(rng.choice([0, 1, 2, 15, 16]))]
    if kind == 9:
        return {random_text(rng): random_value(rng, depth - 1) for _ in range(rng.choice([0, 1, 2, 15, 16]))}
    bits = rng.choice([5, 7, 8, 15, 16, 31, 32, 52, 53, 54, 63])
    whole = rng.choice([-1, 1]) * (2**bits + rng.randrange(-2, 3))
    limited = max(-(2**63), whole)
    return [
        None,
        True,
        limited,
        float(whole),
        rng.gauss(0, 1),
        -0.0,
        random_text(rng),
        rng.randbytes(rng.randrange(40)),
    ][kind]


def random_text(rng: random.Random) -> str:
    return "".join(rng.choices("ab\0\ufeff\u00e9\uff5a\U0001d518", k=rng.choice([0, 1, 2, 31, 32])))


def test_any_bytes_are_a_record_to_both_or_to_neither(folder: Path) -> None:
    rng = random.Random(7)
    raws = []
    for _ in range(800):
        body = pack_body({random_text(rng): random_value(rng) for _ in range(rng.randrange(4))})
        head = msgpack.packb([1, "insight", bytes(32), ME.author, vectors.TIME_MS, broken(rng, body)])
        raw = b"\x97" + head[1:] + msgpack.packb(ME.sign(DOMAIN + head))
        raws.append(broken(rng, raw) if rng.random() < 0.2 else raw)

    def judged(raw: bytes) -> str:
        try:
            return decode(raw, vectors.TIME_MS).id.hex()
        except RecordError:
            return "refused"

    told = run_script(
        folder, "judge.mjs", "\n".join(raw.hex() for raw in raws), str(vectors.TIME_MS)
    ).stdout.splitlines()
    ours = [judged(raw) for raw in raws]
    differ = [
        (raw.hex(), here, there)
        for raw, here, there in zip(raws, ours, told, strict=True)
        if here != there[:64].split(":")[0]
    ]
    assert differ == []
    assert 150 < ours.count("refused") < 650
