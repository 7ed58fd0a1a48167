"""climbmix-gpu: the model of its source, a download that is resumed and checked, data and score on small shards."""

import contextlib
import importlib
import io
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer

from bench.figures import SKIPPED
from tests.trainer.hub import Hub, serving
from trainer.task import load_task

TASK = load_task("climbmix-gpu")
WORDS = "the river naïve 你好 runs 2024 through an old stone bridge, isn't it? <|bos|> and   so\n\nforth".split(" ")
DOCUMENTS = [" ".join(WORDS[(i * j + j) % len(WORDS)] for j in range(3 + i % 90)) + f" {i}" for i in range(600)]


def parquet(documents: list[str]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": documents}), file, row_group_size=50)
    return file.getvalue()


SHARDS = {f"shard_0000{i}.parquet": parquet(DOCUMENTS[200 * i : 200 * (i + 1)]) for i in range(3)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModuleType]]:
    """Imports the task's files as a trial sees them: all in one folder, the baseline's constants in place."""
    folder = tmp_path_factory.mktemp("program")
    for name, text in TASK.files.items():
        (folder / name).write_text(text)
    names = [name.removesuffix(".py") for name in TASK.files]
    for name in names:
        sys.modules.pop(name, None)
    sys.path.insert(0, str(folder))
    yield importlib.import_module
    sys.path.remove(str(folder))
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving(dict(SHARDS)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("ARNODE_DOWNLOADS", str(tmp_path / "downloads"))
        yield hub


# Model


def test_the_baseline_has_the_parameters_and_flops_of_its_source(program: Callable[[str], ModuleType]) -> None:
    train = program("train")
    with torch.device("meta"):
        model = train.GPT()
    assert sum(p.numel() for p in model.parameters()) == 50_332_176
    assert train.token_flops(model) == 239_078_400
    assert train.BATCH_SIZE * train.SEQ_LEN == 2**19
    # What counts towards a budget is less: a causal window shows a token only what lies before it.
    assert train.step_flops(model) < 2**19 * 239_078_400


# Download


def test_shards_are_downloaded_once(program: Callable[[str], ModuleType], hub: Hub, tmp_path: Path) -> None:
    fetch = program("shards").fetch
    paths = fetch([0, 2], tmp_path)
    assert [path.read_bytes() for path in paths] == [SHARDS[path.name] for path in paths]
    asked = len(hub.asked)
    assert fetch([0, 2], tmp_path) == paths
    assert len(hub.asked) == asked


def test_a_download_that_was_killed_goes_on_where_it_was(
    program: Callable[[str], ModuleType], hub: Hub, tmp_path: Path
) -> None:
    content = np.random.default_rng(0).bytes(24 << 20)  # larger than what is read at once
    hub.files["shard_00000.parquet"] = content
    hub.stall = True
    folder = str(Path(str(program("shards").__file__)).parent)
    code = f"import pathlib, shards; shards.fetch([0], pathlib.Path({str(tmp_path)!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=os.environ | {"PYTHONPATH": folder})
    try:
        arriving = tmp_path / "shard_00000.parquet.part"
        while not arriving.exists() or not arriving.stat().st_size:
            assert process.poll() is None
            hub.go.wait(0.01)
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "shard_00000.parquet").exists()
    kept = arriving.stat().st_size
    hub.stall = False
    hub.asked.clear()
    (path,) = program("shards").fetch([0], tmp_path)
    assert path.read_bytes() == content
    assert hub.asked == [(path.name, f"bytes={kept}-")]


def test_a_connection_that_breaks_is_taken_up_again(
    program: Callable[[str], ModuleType], hub: Hub, tmp_path: Path
) -> None:
    content = hub.files["shard_00000.parquet"]
    hub.cut = 3
    (path,) = program("shards").fetch([0], tmp_path)
    assert path.read_bytes() == content
    starts = [int(wanted.strip("bytes=-") or 0) for _, wanted in hub.asked]
    assert starts == [0, len(content) // 2, *starts[2:]]
    assert len(starts) == 4
    assert starts == sorted(set(starts))


def test_a_damaged_download_is_named_and_removed(
    program: Callable[[str], ModuleType], hub: Hub, tmp_path: Path
) -> None:
    hub.named["shard_00001.parquet"] = "ab" * 32
    with pytest.raises(SystemExit, match=r"shard_00001\.parquet from .* is damaged: its SHA-256 is .* should be abab"):
        program("shards").fetch([1], tmp_path)
    assert not list(tmp_path.glob("*.parquet*"))
    hub.named.clear()
    assert program("shards").fetch([1], tmp_path)[0].is_file()


def test_without_a_network_it_says_what_to_do(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(SystemExit, match=r"cannot download shard_00000\.parquet from http.*the next attempt cont"):
            program("shards").fetch([0], tmp_path)


def test_a_file_that_is_no_shard_is_named(program: Callable[[str], ModuleType], tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(SystemExit, match=r"x\.parquet cannot be read as a shard"):
        list(program("shards").texts([tmp_path / "x.parquet"]))


# Data and score


@pytest.fixture
def small(
    program: Callable[[str], ModuleType], hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[ModuleType, Path, dict[str, object]]:
    """prepare.py for two small training shards and one held out, its folder, and what preparing said."""
    shards, prepare = program("shards"), program("prepare")
    monkeypatch.setattr(shards, "TRAIN_SHARDS", (0, 1))
    monkeypatch.setattr(shards, "VAL_SHARD", 2)
    for name, value in {"VOCAB_SIZE": 300, "MAX_SEQ_LEN": 64, "EVAL_TOKENS": 64 * 20, "SCORE_ROWS": 8}.items():
        monkeypatch.setattr(prepare, name, value)
    data = tmp_path / "data"
    monkeypatch.setenv("ARNODE_DATA", str(data))
    return prepare, data, prepare.prepare(data)


def test_the_data_is_the_text_of_the_shards(small: tuple[ModuleType, Path, dict[str, object]], tmp_path: Path) -> None:
    prepare, data, facts = small
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    token_bytes = np.load(data / "token_bytes.npy").astype(int)
    split = prepare.load("train")
    decoded = []
    for start, end in pairwise(split.starts.tolist()):
        assert split.tokens[start] == prepare.BOS
        decoded.append(tokenizer.decode(split.tokens[start + 1 : end].tolist()))
        assert token_bytes[split.tokens[start:end]].sum() == len(decoded[-1].encode())
    assert decoded == DOCUMENTS[:400], "what looks like a special token is text, too"
    rows = np.load(data / "val_rows.npy")
    assert rows.shape == (20, 65)
    assert (rows[:, 0] == prepare.BOS).all()
    texts = [tokenizer.decode(row[1:].tolist()).partition("<|bos|>")[0] for row in rows]
    assert all(any(text.startswith(row[:20]) for text in DOCUMENTS[400:]) for row in texts)
    before = facts["data_sha256"]
    assert prepare.prepare(tmp_path / "again")["data_sha256"] == before


def test_equal_odds_for_every_token_score_their_bits(small: tuple[ModuleType, Path, dict[str, object]]) -> None:
    prepare, data, _ = small
    targets = np.load(data / "val_rows.npy")[:, 1:]
    sizes = np.load(data / "token_bytes.npy").astype(int)[targets]
    for seq_len in (64, 32):
        scored = prepare.evaluate_bpb(lambda x: torch.zeros(*x.shape, 300), seq_len, torch.device("cpu"))
        assert scored == pytest.approx(math.log2(300) * (sizes > 0).sum() / sizes.sum(), rel=1e-5)
    with pytest.raises(SystemExit, match="SEQ_LEN 48 does not divide the 64 tokens"):
        prepare.evaluate_bpb(lambda x: torch.zeros(*x.shape, 300), 48, torch.device("cpu"))


def test_the_whole_program_learns_from_shards_on_a_cpu(
    small: tuple[ModuleType, Path, dict[str, object]], program: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    train = program("train")
    shape = {"DEPTH": 4, "WIDTH": 32, "HEADS": 2, "SEQ_LEN": 64, "SHORT_WINDOW": 16, "BATCH_SIZE": 8, "DEVICE_BATCH": 4}
    for name, value in (shape | {"VOCAB_SIZE": 300}).items():
        monkeypatch.setattr(train, name, value)
    monkeypatch.setenv("ARNODE_BUDGET_KIND", "steps")
    values = []
    for steps in ("1", "30"):
        monkeypatch.setenv("ARNODE_BUDGET", steps)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            train.main()
        summary = dict(line.split(": ", 1) for line in said.getvalue().partition("---\n")[2].splitlines())
        values.append(float(summary["val_bpb"]))
    assert summary["total_tokens"] == str(30 * 8 * 64)
    assert values[1] < 0.8 * values[0]


# Benchmark


def test_the_benchmark_runs_tiny_on_a_cpu_and_without_a_card_says_so_in_a_line() -> None:
    def bench(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bench.gpu", *words]
        return subprocess.run(
            command, cwd=Path(__file__).parents[2], env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, text=True,
            capture_output=True, check=False,
        )  # fmt: skip

    without = bench()
    assert (without.returncode, without.stdout) == (SKIPPED, "")
    assert without.stderr.startswith("skipped: no CUDA card")
    assert without.stderr.count("\n") == 1
    tiny = bench("--device", "cpu", "--seconds", "0.1", "--runs", "1")
    assert tiny.returncode == 0, tiny.stderr
    for name in ("tokens a second", "MFU", "peak memory", "compiling and warming up", "against the mark"):
        assert f"\n{name}" in tiny.stdout
