"""The built-in program: its data, its score, its parts against independent ones, and every knob at work."""

import importlib
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch.utils.flop_counter import FlopCounterMode

from trainer.knobs import Scalar
from trainer.schema import Knob
from trainer.task import load_task

PROGRAM = Path(__file__).parents[2] / "trainer" / "gpt"
TASK = load_task("story-cpu")
SMALL = {"BATCH_SIZE": 4, "SEQ_LEN": 128, "DEPTH": 2, "WIDTH": 64}
STEPS = 3

# Knobs that do nothing by themselves, and what they are tried with.
TOGETHER: dict[str, dict[str, Scalar]] = {
    "INIT_STD": {"INIT": "normal"},
    "ROPE_BASE": {"POSITIONS": "rope"},
    "SHORT_WINDOW": {"WINDOW_PATTERN": "SL"},
    "SCALAR_LR": {"LEARNED_LAMBDAS": True},
    "FINAL_LR": {"WARMDOWN": 1.0},
    "CURRICULUM_START": {"CURRICULUM": "length"},
    "CURRICULUM_END": {"CURRICULUM": "length"},
}
# Values that may rightly change nothing: gradients are smaller than the cut, sequences no longer than the window.
SAME = {("CLIP", 1.0), ("CLIP", 3.0), ("SHORT_WINDOW", 128)}


def values_of(knob: Knob) -> list[Scalar]:
    """Every choice of a knob, or its lowest and highest value, without the default."""
    every: tuple[Any, ...] = {"choice": knob.choices, "bool": (True, False)}.get(knob.type, (knob.low, knob.high))
    default = SMALL.get(knob.name, knob.default)
    return [value for value in every if value != default or type(value) is not type(default)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The data as a stranger makes it, and what prepare.py says about it."""
    folder = tmp_path_factory.mktemp("data")
    environment = os.environ | {"ARNODE_DATA": str(folder)}
    done = subprocess.run(
        [sys.executable, PROGRAM / "prepare.py"], env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stdout.partition("---\n")[2].splitlines()
    return folder, dict(line.split(": ", 1) for line in lines)


@pytest.fixture(scope="module")
def few(prepared: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data with four held-out stories, so that an evaluation takes no time."""
    folder = tmp_path_factory.mktemp("few")
    for path in prepared[0].glob("*.npy"):
        np.save(folder / path.name, np.load(path))
    starts = np.load(folder / "val_starts.npy")[:5]
    np.save(folder / "val_starts.npy", starts)
    np.save(folder / "val.npy", np.load(folder / "val.npy")[: starts[-1]])
    return folder


@pytest.fixture(scope="module")
def modules() -> Iterator[Callable[[str], ModuleType]]:
    """Imports the program's files as they see each other: from their own folder."""
    sys.path.insert(0, str(PROGRAM))
    yield importlib.import_module
    sys.path.remove(str(PROGRAM))
    for name in ("train", "prepare", "loader", "accelerator", "stories", "words"):
        sys.modules.pop(name, None)


@pytest.fixture
def train(modules: Callable[[str], ModuleType], few: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("ARNODE_DATA", str(few))
    module = modules("train")
    for name, value in SMALL.items():
        monkeypatch.setattr(module, name, value)
    return module


@pytest.fixture
def prepare(train: ModuleType, modules: Callable[[str], ModuleType]) -> ModuleType:
    return modules("prepare")


def summary(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.partition("---\n")[2].splitlines())


def run(train: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Run the program in this process for a few steps."""
    monkeypatch.setenv("ARNODE_BUDGET_KIND", "tokens")
    monkeypatch.setenv("ARNODE_BUDGET", str(STEPS * train.BATCH_SIZE * train.SEQ_LEN))
    train.main()
    return summary(capsys.readouterr().out)


# Data


def test_the_data_is_the_one_of_the_task(prepared: tuple[Path, dict[str, str]]) -> None:
    assert TASK.data is not None
    assert prepared[1]["data_sha256"] == TASK.data.sha256
    assert float(prepared[1]["val_floor_bpb"]) == TASK.metric.floor


def test_tokens_decode_to_the_stories(
    prepared: tuple[Path, dict[str, str]], modules: Callable[[str], ModuleType]
) -> None:
    folder, prepare, story = prepared[0], modules("prepare"), modules("stories").story
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == prepare.VOCAB_SIZE
    token_bytes = np.load(folder / "token_bytes.npy")
    for name, seed, count in (("train", prepare.TRAIN_SEED, 100), ("val", prepare.VAL_SEED, prepare.VAL_STORIES)):
        tokens, starts = np.load(folder / f"{name}.npy"), np.load(folder / f"{name}_starts.npy")
        assert len(tokens) == starts[-1]
        for i, (start, end) in enumerate(pairwise(starts[: count + 1])):
            text = story(seed + i).text
            assert tokens[start] == prepare.STORY
            assert tokenizer.decode(tokens[start + 1 : end].tolist()) == text
            assert token_bytes[tokens[start:end]].sum() == len(text)


def test_no_held_out_story_is_trained_on(modules: Callable[[str], ModuleType]) -> None:
    prepare, story = modules("prepare"), modules("stories").story
    held_out = {story(prepare.VAL_SEED + i).text for i in range(prepare.VAL_STORIES)}
    assert len(held_out) == prepare.VAL_STORIES
    assert held_out.isdisjoint(story(prepare.TRAIN_SEED + i).text for i in range(prepare.TRAIN_STORIES))


def test_without_data_the_program_says_what_to_do(
    prepare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARNODE_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=r"run `python prepare.py` first"):
        prepare.load("train")


# Score


def test_equal_odds_for_every_token_score_ten_bits_a_token(prepare: ModuleType, few: Path) -> None:
    scored = prepare.evaluate_bpb(lambda x: torch.zeros(*x.shape, 1024), 256, torch.device("cpu"))
    tokens = np.load(few / "val.npy")
    text_bytes = np.load(few / "token_bytes.npy").astype(int)[tokens].sum()
    assert scored == pytest.approx(10 * (len(tokens) - 4) / text_bytes, rel=1e-6)


@pytest.mark.parametrize("seq_len", [50, 128])
def test_the_score_is_the_sum_over_single_stories(
    train: ModuleType, prepare: ModuleType, few: Path, seq_len: int
) -> None:
    model = train.GPT()
    train.initialise(model, 0)
    tokens, starts = np.load(few / "val.npy").astype(np.int64), np.load(few / "val_starts.npy")
    nats = 0.0
    for start, end in pairwise(starts.tolist()):
        for at in range(start, end - 1, seq_len):
            window = tokens[at : min(at + seq_len + 1, end)]
            logits = model(torch.from_numpy(window[None, :-1])).detach().double().numpy()[0]
            odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            nats -= np.log(odds[np.arange(len(window) - 1), window[1:]]).sum()
    text_bytes = np.load(few / "token_bytes.npy").astype(int)[tokens].sum()
    scored = prepare.evaluate_bpb(model, seq_len, torch.device("cpu"))
    assert scored == pytest.approx(nats / math.log(2) / text_bytes, rel=1e-5)


# Model


@pytest.mark.parametrize("positions", ["learned", "rope"])
@pytest.mark.parametrize("pattern", ["L", "SL"])
def test_no_token_sees_a_later_one(
    train: ModuleType, monkeypatch: pytest.MonkeyPatch, positions: str, pattern: str
) -> None:
    monkeypatch.setattr(train, "POSITIONS", positions)
    monkeypatch.setattr(train, "WINDOW_PATTERN", pattern)
    model = train.GPT()
    train.initialise(model, 0)
    tokens = torch.arange(100)[None] * 7 % 1024
    other = tokens.clone()
    other[0, 60] += 1
    same = (model(tokens) - model(other)).abs().amax(dim=-1)[0]
    assert same[:60].max() < 1e-5
    assert same[60:].min() > 1e-5


def test_a_short_window_looks_back_that_far_and_no_further(train: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "WINDOW_PATTERN", "SSL")
    monkeypatch.setattr(train, "SHORT_WINDOW", 10)
    monkeypatch.setattr(train, "DEPTH", 4)
    assert train.windows() == [11, 11, 128, 128], "the last block sees everything, whatever the pattern says"
    attention = train.Attention(train.windows()[0], value_embeds=False)
    x = torch.randn(1, 100, 64)
    other = x.clone()
    other[0, 50] += 1
    tokens = torch.zeros(1, 100, dtype=torch.long)
    changed = (attention(x, tokens) - attention(other, tokens)).abs().amax(dim=-1)[0] > 1e-7
    assert changed.nonzero().flatten().tolist() == list(range(50, 61))


def test_rope_scores_depend_on_the_distance_alone(train: ModuleType) -> None:
    turns = train.rope(40, 16)
    q, k = torch.randn(16), torch.randn(16)
    scores = train.rotate(q.expand(40, 16), turns) @ train.rotate(k.expand(40, 16), turns).T
    assert torch.allclose(scores[7, 2], scores[35, 30], atol=1e-5)
    assert torch.allclose(scores[0, 0], q @ k, atol=1e-5)
    assert not torch.allclose(scores[7, 2], scores[7, 3], atol=1e-3)


def test_counted_flops_are_those_of_the_matrix_products(train: ModuleType) -> None:
    model = train.GPT()
    tokens, targets = train.Stories(train.load("train"), 0).batch(0.0)
    with FlopCounterMode(display=False) as counter:
        train.loss_of(model(tokens), targets).backward()
    products = counter.get_flop_counts()["Global"][torch.ops.aten.mm]
    attended = sum(range(1, 129)) / 128  # on average over positions, in each of two blocks
    assert train.step_flops(model) == products + tokens.numel() * 12 * 64 * 2 * attended


# Initialisation


def test_the_default_is_pytorchs_own(train: ModuleType) -> None:
    torch.manual_seed(0)
    untouched, drawn = train.GPT(), train.GPT()
    train.initialise(drawn, 0)
    for (name, theirs), ours in zip(untouched.named_parameters(), drawn.parameters(), strict=True):
        if ours.ndim == 2:
            assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05), name
            assert (ours != theirs).any()
        if ours.ndim == 2 and "_embed" not in name:
            assert ours.abs().max() <= ours.shape[1] ** -0.5


def test_parts_in_common_start_alike(train: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train.GPT()
    train.initialise(first, 5)
    for name, value in {"POSITIONS": "rope", "VALUE_EMBEDS": True, "NORM": "none", "DEPTH": 3}.items():
        monkeypatch.setattr(train, name, value)
    other = train.GPT()
    train.initialise(other, 5)
    theirs = dict(other.named_parameters())
    common = [name for name, p in first.named_parameters() if p.ndim == 2 and name in theirs]
    assert len(common) == 2 + 2 * 6
    assert all(torch.equal(p, theirs[name]) for name, p in first.named_parameters() if name in common)


def test_projections_are_scaled_or_zero(train: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def projections() -> list[torch.Tensor]:
        model = train.GPT()
        train.initialise(model, 0)
        return [p.detach() for name, p in model.named_parameters() if name.endswith("project.weight")]

    plain = projections()
    assert len(plain) == 2 * train.DEPTH
    monkeypatch.setattr(train, "SCALED_RESIDUAL", True)
    assert all(torch.allclose(a, b / 2) for a, b in zip(projections(), plain, strict=True))
    monkeypatch.setattr(train, "ZERO_PROJECTIONS", True)
    assert all(not p.any() for p in projections())


# Optimisation


def test_adamw_is_pytorchs(train: ModuleType) -> None:
    ours, theirs = train.GPT(), train.GPT()
    train.initialise(ours, 0)
    train.initialise(theirs, 0)
    decayed = [p for n, p in theirs.named_parameters() if train.group_of(n, p) in ("matrix", "unembedding")]
    others = [p for n, p in theirs.named_parameters() if train.group_of(n, p) in ("embedding", "scalar")]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.001)
    optimizer, stories = train.Optimizer(ours), train.Stories(train.load("train"), 0)
    for _ in range(4):
        tokens, targets = stories.batch(0.0)
        for model, step in ((ours, lambda: optimizer.step(1.0)), (theirs, reference.step)):
            model.zero_grad()
            train.loss_of(model(tokens), targets).backward()
            step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("shape", [(64, 64), (64, 256), (256, 64)])
def test_muon_makes_a_step_nearly_orthogonal(train: ModuleType, shape: tuple[int, int]) -> None:
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=torch.Generator().manual_seed(0)), False)
    sizes = torch.linspace(0.1, 2.0, 64)
    step = train.orthogonalised(left @ torch.diag(sizes) @ right)
    along = torch.diagonal(left.T @ step @ right.T)
    assert along.min() > 0.3
    assert along.max() < 1.3
    assert torch.allclose(left @ torch.diag(along) @ right, step, atol=1e-3), "the singular vectors are the gradient's"


@pytest.mark.parametrize("shape", [(2, 64, 64), (2, 64, 256), (2, 256, 64)])
def test_polar_express_makes_a_step_orthogonal(train: ModuleType, shape: tuple[int, ...]) -> None:
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=torch.Generator().manual_seed(0)), False)
    sizes = torch.linspace(0.1, 2.0, 64).expand(2, 64)
    step = train.polar(left @ torch.diag_embed(sizes) @ right)
    along = torch.diagonal(left.mT @ step @ right.mT, dim1=-2, dim2=-1)
    assert along.min() > 0.8
    assert along.max() < 1.2


def test_a_stack_steps_with_normuon_as_its_matrices_one_by_one(train: ModuleType) -> None:
    numbers = [torch.tensor(n) for n in (0.1, 0.5, 0.9)]
    p, g = torch.randn(2, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    stacked = train.normuon(p, g, torch.zeros(3, 32, 16), torch.zeros(3, 32, 1), *numbers)
    for i in range(3):
        alone = train.normuon(p[i][None], g[i][None], torch.zeros(1, 32, 16), torch.zeros(1, 32, 1), *numbers)
        assert torch.allclose(stacked[i], alone[0], atol=1e-5)


def test_normuon_evens_the_rows_and_decays_only_along_its_way(train: ModuleType) -> None:
    generator = torch.Generator().manual_seed(0)
    g = torch.randn(1, 64, 64, generator=generator) * torch.logspace(-2, 0, 64)[:, None]
    p = torch.randn(1, 64, 64, generator=generator)
    zeros = torch.zeros_like(p), torch.zeros(1, 64, 1)
    plain = p - train.normuon(p, g, *(z.clone() for z in zeros), *map(torch.tensor, (1.0, 0.0, 0.9)))
    decayed = p - train.normuon(p, g, *(z.clone() for z in zeros), *map(torch.tensor, (1.0, 0.1, 0.9)))
    rows = plain.square().mean(dim=-1).sqrt()
    assert rows.max() < 1.01 * rows.min()
    assert torch.allclose(decayed - plain, 0.1 * p * (plain * p > 0), atol=1e-6)


def test_the_schedule_rises_holds_and_falls(train: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {train.schedule(f / 10) for f in range(11)} == {1.0}
    for name, value in {"WARMUP": 0.2, "WARMDOWN": 0.5, "FINAL_LR": 0.1}.items():
        monkeypatch.setattr(train, name, value)
    assert [train.schedule(f) for f in (0.0, 0.1, 0.2, 0.5)] == [0.0, 0.5, 1.0, 1.0]
    assert [train.schedule(f) for f in (0.75, 1.0)] == pytest.approx([0.55, 0.1])


@pytest.mark.parametrize("order", ["length", "rarity"])
def test_a_curriculum_begins_with_the_easy_stories(
    train: ModuleType, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(train, "CURRICULUM", order)
    monkeypatch.setattr(train, "CURRICULUM_START", 0.05)
    counts = np.bincount(train.load("train").tokens, minlength=1024)

    def difficulty(fraction: float) -> float:
        """Tokens from one story to the next, or the mean surprise of a token."""
        stories = train.Stories(train.load("train"), 0)
        tokens = torch.cat([stories.batch(fraction)[0].flatten() for _ in range(20)])
        if order == "length":
            return len(tokens) / int((tokens == 0).sum())
        return float(-np.log(counts[tokens.numpy()]).mean())

    assert difficulty(0.0) < difficulty(0.25) < difficulty(1.0)


def test_batches_are_consecutive_and_miss_nothing(train: ModuleType) -> None:
    stories = train.Stories(train.load("train"), 0)
    pieces = []
    for _ in range(3):
        tokens, targets = stories.batch(0.0)
        assert torch.equal(tokens.flatten()[1:], targets.flatten()[:-1])
        pieces.append(tokens.flatten())
    text = torch.cat(pieces).tolist()
    starts = [i for i, token in enumerate(text) if token == 0]
    split = train.load("train")
    every = {tuple(split.tokens[a:b].tolist()) for a, b in pairwise(split.starts)}
    assert starts[0] == 0
    assert all(tuple(text[a:b]) in every for a, b in pairwise(starts))


# The whole program


@pytest.fixture(scope="module")
def baselines() -> dict[str, str]:
    """Values of the small baseline and of the settings knobs are tried with; each is computed once."""
    return {}


@pytest.mark.parametrize(
    ("name", "value"), [(knob.name, value) for knob in TASK.knobs.values() for value in values_of(knob)]
)
def test_every_value_of_every_knob_trains_and_matters(
    train: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, baselines: dict[str, str],
    name: str, value: Scalar,
) -> None:  # fmt: skip
    for other, needed in TOGETHER.get(name, {}).items():
        monkeypatch.setattr(train, other, needed)
    key = repr(TOGETHER.get(name))
    if key not in baselines:
        baselines[key] = run(train, capsys, monkeypatch)["val_bpb"]
    monkeypatch.setattr(train, name, TASK.knobs[name].check(value))
    found = run(train, capsys, monkeypatch)
    assert int(found["num_steps"]) == STEPS
    assert math.isfinite(float(found["val_bpb"]))
    if (name, value) not in SAME:
        assert found["val_bpb"] != baselines[key]


# What a graphics card runs, on the CPU


def test_gradients_of_pieces_add_up_to_those_of_the_batch(
    train: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(train, capsys, monkeypatch)
    monkeypatch.setattr(train, "DEVICE_BATCH", 1)
    pieces = run(train, capsys, monkeypatch)
    assert pieces["val_bpb"] != whole["val_bpb"]
    assert float(pieces["val_bpb"]) == pytest.approx(float(whole["val_bpb"]), rel=1e-4)
    monkeypatch.setattr(train, "DEVICE_BATCH", 3)
    with pytest.raises(SystemExit, match="BATCH_SIZE 4 is no multiple of DEVICE_BATCH 3"):
        run(train, capsys, monkeypatch)


@pytest.mark.parametrize("optimizer", ["muon", "normuon"])
def test_compiled_in_bfloat16_with_fused_steps_it_learns_the_same(
    train: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    monkeypatch.setattr(train, "OPTIMIZER", optimizer)
    plain = run(train, capsys, monkeypatch)
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **options: compile_(f, backend="aot_eager", **options))
    for name, value in {"accelerates": True, "compiles": True, "precision": torch.bfloat16}.items():
        monkeypatch.setattr(train, name, lambda _device, value=value: value)
    fast = run(train, capsys, monkeypatch)
    assert fast["val_bpb"] != plain["val_bpb"]
    assert float(fast["val_bpb"]) == pytest.approx(float(plain["val_bpb"]), rel=0.01)
    assert fast["flops"] == plain["flops"]
    assert float(fast["warm_up_seconds"]) > 0
    assert float(plain["warm_up_seconds"]) < 0.1


def test_warming_up_changes_no_parameter(train: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for optimizer in ("adamw", "muon", "normuon"):
        monkeypatch.setattr(train, "OPTIMIZER", optimizer)
        model = train.GPT()
        train.initialise(model, 0)
        before = [p.clone() for p in model.parameters()]
        tokens, targets = train.Stories(train.load("train"), 0).batch(0.0)
        train.objective(model, tokens, targets).backward()
        train.Optimizer(model, fused=optimizer == "adamw").step(0.0, 0.0)
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_flex_attention_sees_the_window_that_the_mask_shows(train: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WINDOW_PATTERN": "S", "SHORT_WINDOW": 40, "DEPTH": 3, "POSITIONS": "rope"}.items():
        monkeypatch.setattr(train, name, value)
    model = train.GPT()
    train.initialise(model, 0)
    tokens = torch.arange(2 * 128).view(2, 128) * 7 % 1024
    with torch.no_grad():
        masked = model(tokens)
        train.see_blocks(model, torch.device("cpu"))
        assert [block.attention.flex_attention is not None for block in model.blocks] == [True, True, False]
        assert torch.equal(model(tokens), masked), "not compiled, it stays with the mask"
        flexed = torch.compile(model, backend="aot_eager", fullgraph=True)(tokens)
    assert not torch.equal(flexed, masked)
    assert torch.allclose(flexed, masked, atol=1e-4)


def test_peak_speeds_are_those_of_the_named_card(modules: Callable[[str], ModuleType]) -> None:
    peak = modules("accelerator").peak_flops
    names = ["NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA H200", "NVIDIA A100-SXM4-80GB", "NVIDIA L4",
             "NVIDIA L40S", "NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3090", "A10G", "cpu", "T4"]  # fmt: skip
    assert [peak(name) for name in names] == [
        989.5e12, 756.5e12, 989.5e12, 312e12, 121e12, 362e12, 165.2e12, 71e12, None, None, None
    ]  # fmt: skip


# How it ends


def test_a_loss_that_is_not_finite_ends_the_run_without_a_value(
    train: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "MATRIX_LR", 1e30)
    with pytest.raises(SystemExit) as ended:
        run(train, capsys, monkeypatch)
    assert ended.value.code == 3
    printed = capsys.readouterr()
    assert "loss is not finite at step" in printed.err
    assert "---" not in printed.out


def test_heads_that_do_not_fit_are_named(
    train: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "HEADS", 5)
    with pytest.raises(SystemExit, match="WIDTH 64 does not split into 5 HEADS"):
        run(train, capsys, monkeypatch)


def test_a_stranger_runs_it_twice_and_gets_the_same_bits(few: Path) -> None:
    # With no variable but the folder and the budget. Importing the compiler would cost each trial most of a second.
    code = "import runpy, sys; runpy.run_path('train.py', run_name='__main__'); print('torch._dynamo' in sys.modules)"
    environment = {"PATH": os.environ["PATH"], "ARNODE_DATA": str(few), "ARNODE_BUDGET": "2e10"}
    runs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=PROGRAM, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("\nFalse\n")
        runs.append(summary(done.stdout.removesuffix("False\n")))
    assert runs[0]["val_bpb"] == runs[1]["val_bpb"]
    assert 2e10 <= float(runs[0]["flops"]) < 2e10 + float(runs[0]["flops"]) / int(runs[0]["num_steps"])
