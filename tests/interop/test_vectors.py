"""vectors.json, on which other implementations rely, says what the code does, in Python and in JavaScript."""

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.entries import check
from gossip.invite import decode as decode_invite
from gossip.record import RecordError, decode, pack_body, sign
from tests.interop import vectors
from tests.interop.javascript import run_script, scripts
from tests.interop.vectors import ME, untyped

HELD: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the JavaScript scripts can run."""
    return scripts(tmp_path)


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
    read = decode(raw, held["time_ms"])
    check(read)
    assert read.id.hex() == held["id"]
    assert read.value() == untyped(held["body"])


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


def test_an_invite_says_what_it_was_made_of() -> None:
    assert decode_invite(HELD["invite"]["text"], now=0) == vectors.INVITE


def test_javascript_makes_and_refuses_the_same(folder: Path) -> None:
    done = run_script(folder, "vectors.mjs")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {part: len(HELD[part]) for part in ("records", "refused", "recipes")}
    assert json.loads(done.stdout.splitlines()[-1]) == counts | {"task": 1, "invite": 1}


def test_the_negentropy_client_sends_what_the_reference_sends(folder: Path) -> None:
    packed = Path(__file__).parents[1] / "gossip" / "data" / "negentropy-vectors.json.xz"
    exchanges = lzma.decompress(packed.read_bytes()).decode()
    done = run_script(folder, "negentropy_vectors.mjs", exchanges)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) == len(json.loads(exchanges)["cases"])
