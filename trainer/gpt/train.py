"""Trains a small GPT on stories and prints how well it predicts held-out ones, in bits per byte.

Everything worth trying is a constant below: change it, run `python train.py`, compare val_bpb. The defaults are
what a beginner would write. The budget (ARNODE_BUDGET_KIND, ARNODE_BUDGET) is the same for every recipe.
"""

import json
import math
import os
import resource
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prepare import VOCAB_SIZE, Split, evaluate_bpb, load
from torch import Tensor, nn
from torch.nn import functional as F

# Model
DEPTH = 3                     # transformer blocks
WIDTH = 96                    # of the residual stream
HEADS = 4                     # of attention, in each block; WIDTH / HEADS must be even
MLP_RATIO = 4                 # hidden width of the MLP over WIDTH (swiglu takes 2/3 of it, for equal parameters)
ACTIVATION = "gelu"           # gelu, relu2 (squared ReLU), swiglu
NORM = "layernorm"            # layernorm, rmsnorm, none; before each attention, each MLP and the unembedding
POSITIONS = "learned"         # learned (added to the embeddings), rope (rotates queries and keys)
ROPE_BASE = 10000.0           # longest wavelength of rope, over 2 pi
QK_NORM = False               # RMS-normalise queries and keys
WINDOW_PATTERN = "L"          # attention of each block in turn: L sees everything, S the last SHORT_WINDOW tokens
SHORT_WINDOW = 64             # tokens that an S block looks back; the last block is always L
TIED = False                  # one matrix embeds and unembeds
VALUE_EMBEDS = False          # every other block, the last included, adds an embedding of the token to its values
RESIDUAL_LAMBDA = 1.0         # the stream is multiplied by this before each block
X0_LAMBDA = 0.0               # and this much of the embeddings is added again
LEARNED_LAMBDAS = False       # both are only where learning starts, for each block
LOGIT_SOFTCAP = 0.0           # logits become cap * tanh(logits / cap); 0: off

# Initialisation
INIT = "default"              # of every matrix: default (PyTorch's), normal, xavier, kaiming, orthogonal
INIT_STD = 0.02               # standard deviation of normal
SCALED_RESIDUAL = False       # divide the matrices that write to the stream by sqrt(2 * DEPTH)
ZERO_PROJECTIONS = False      # start those matrices at zero

# Optimisation
OPTIMIZER = "adamw"           # adamw, muon (for the blocks' matrices; the rest stays with adamw)
EMBEDDING_LR = 0.001          # token, position and value embeddings
UNEMBEDDING_LR = 0.001        # the last matrix, unless TIED
MATRIX_LR = 0.001             # the blocks' matrices
SCALAR_LR = 0.001             # gains, biases and lambdas
BETA1 = 0.9                   # AdamW's and Muon's momentum
BETA2 = 0.999                 # AdamW's second moment
EPS = 1e-08                   # AdamW's
WEIGHT_DECAY = 0.01           # decoupled; matrices of the blocks and the unembedding
WARMUP = 0.0                  # share of the budget in which learning rates rise from 0
WARMDOWN = 0.0                # share of the budget in which they fall to FINAL_LR
FINAL_LR = 0.0                # of the learning rate, where a warm-down ends
CLIP = 0.0                    # gradient norm is cut to this; 0: off
LABEL_SMOOTHING = 0.0         # share of the target spread over the vocabulary
Z_LOSS = 0.0                  # weight of the squared log of the softmax's denominator

# Data
BATCH_SIZE = 8                # sequences in a step
SEQ_LEN = 256                 # tokens in a sequence, in training and in evaluation
CURRICULUM = "plain"          # plain, length (short stories first), rarity (common tokens first)
CURRICULUM_START = 0.25       # easiest share of the stories that is drawn from at the start
CURRICULUM_END = 0.5          # share of the budget after which all stories are drawn from

NEWTON_SCHULZ_STEPS = 5       # of Muon's orthogonalisation
DEFAULT_FLOPS = 6e11          # the budget when none is given
NOT_FINITE = 3                # exit status of a training that diverged


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate the pairs (x[i], x[i + half]) by an angle for each position; turns is (2, length, half)."""
    left, right = x.chunk(2, dim=-1)
    cos, sin = turns
    return torch.cat((left * cos - right * sin, left * sin + right * cos), dim=-1)


def rope(length: int, head_dim: int) -> Tensor:
    """Cosines and sines of rotary positions (Su et al., 2021): (2, length, head_dim / 2)."""
    frequencies = ROPE_BASE ** (-torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.outer(torch.arange(length), frequencies)
    return torch.stack((angles.cos(), angles.sin()))


def windows() -> list[int]:
    """How many tokens each block sees, itself included."""
    short = min(SHORT_WINDOW + 1, SEQ_LEN)
    sizes = [short if WINDOW_PATTERN[i % len(WINDOW_PATTERN)] == "S" else SEQ_LEN for i in range(DEPTH)]
    return [*sizes[:-1], SEQ_LEN]


def norm() -> nn.Module:
    """A fresh norm of the chosen kind."""
    return {"layernorm": nn.LayerNorm, "rmsnorm": nn.RMSNorm, "none": nn.Identity}[NORM](WIDTH)


def linear(fan_in: int, fan_out: int) -> nn.Linear:
    return nn.Linear(fan_in, fan_out, bias=False)


class Attention(nn.Module):
    mask: Tensor | None
    turns: Tensor | None

    def __init__(self, window: int, value_embeds: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = (linear(WIDTH, WIDTH) for _ in range(3))
        self.project = linear(WIDTH, WIDTH)
        self.value_embed = nn.Embedding(VOCAB_SIZE, WIDTH) if value_embeds else None
        distance = torch.arange(SEQ_LEN)[:, None] - torch.arange(SEQ_LEN)
        mask = (distance >= 0) & (distance < window) if window < SEQ_LEN else None
        self.register_buffer("mask", mask)
        self.register_buffer("turns", rope(SEQ_LEN, WIDTH // HEADS) if POSITIONS == "rope" else None)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """What each position gathers from those it sees: (rows, length, WIDTH), as x."""
        rows, length, _ = x.shape
        v = self.value(x)
        if self.value_embed is not None:
            v = v + self.value_embed(tokens)
        q, k, v = (t.view(rows, length, HEADS, -1).transpose(1, 2) for t in (self.query(x), self.key(x), v))
        if self.turns is not None:
            q, k = rotate(q, self.turns[:, :length]), rotate(k, self.turns[:, :length])
        if QK_NORM:
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        if self.mask is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask[:length, :length])
        return self.project(y.transpose(1, 2).reshape(rows, length, -1))


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        hidden = MLP_RATIO * WIDTH if ACTIVATION != "swiglu" else MLP_RATIO * WIDTH * 2 // 24 * 8
        self.up = linear(WIDTH, hidden)
        self.gate = linear(WIDTH, hidden) if ACTIVATION == "swiglu" else None
        self.project = linear(hidden, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is not None:
            return self.project(F.silu(self.gate(x)) * self.up(x))
        x = self.up(x)
        return self.project(F.gelu(x) if ACTIVATION == "gelu" else F.relu(x).square())


class Block(nn.Module):
    def __init__(self, window: int, value_embeds: bool) -> None:
        super().__init__()
        self.norm1, self.attention = norm(), Attention(window, value_embeds)
        self.norm2, self.mlp = norm(), MLP()

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), tokens)
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token_embed = nn.Embedding(VOCAB_SIZE, WIDTH)
        self.position_embed = nn.Embedding(SEQ_LEN, WIDTH) if POSITIONS == "learned" else None
        self.blocks = nn.ModuleList(
            Block(window, VALUE_EMBEDS and (DEPTH - 1 - i) % 2 == 0) for i, window in enumerate(windows())
        )
        self.norm = norm()
        self.head = linear(WIDTH, VOCAB_SIZE)
        if TIED:
            self.head.weight = self.token_embed.weight
        self.residual_lambdas = nn.Parameter(torch.full((DEPTH,), RESIDUAL_LAMBDA), requires_grad=LEARNED_LAMBDAS)
        self.x0_lambdas = nn.Parameter(torch.full((DEPTH,), X0_LAMBDA), requires_grad=LEARNED_LAMBDAS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (rows, length, VOCAB_SIZE) of each next token, for tokens (rows, length)."""
        x = self.token_embed(tokens)
        if self.position_embed is not None:
            x = x + self.position_embed.weight[: tokens.shape[1]]
        x0 = x
        for i, block in enumerate(self.blocks):
            if LEARNED_LAMBDAS or RESIDUAL_LAMBDA != 1 or X0_LAMBDA != 0:
                x = self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0
            x = block(x, tokens)
        logits = self.head(self.norm(x))
        return LOGIT_SOFTCAP * torch.tanh(logits / LOGIT_SOFTCAP) if LOGIT_SOFTCAP else logits


def group_of(name: str, p: Tensor) -> str:
    """Which learning rate a parameter has: embedding, unembedding, matrix or scalar."""
    if p.ndim < 2:
        return "scalar"
    return "embedding" if "_embed" in name else "unembedding" if name == "head.weight" else "matrix"


@torch.no_grad()
def initialise(model: GPT, seed: int) -> None:
    """Draw every matrix from a random stream of its own, named by the seed and the parameter.

    So a recipe that adds or removes a part leaves the others as they were where shapes agree, and two recipes
    compared on one seed differ by what they change and less by luck.
    """
    for name, p in model.named_parameters():
        group = group_of(name, p)
        if group == "scalar":
            continue
        stream = torch.Generator().manual_seed(seed % 2**31 << 32 | zlib.crc32(name.encode()))
        if INIT == "normal":
            nn.init.normal_(p, std=INIT_STD, generator=stream)
        elif INIT == "xavier":
            nn.init.xavier_uniform_(p, generator=stream)
        elif INIT == "kaiming":
            nn.init.kaiming_normal_(p, generator=stream)
        elif INIT == "orthogonal":
            nn.init.orthogonal_(p, generator=stream)
        elif group == "embedding":
            nn.init.normal_(p, generator=stream)
        else:
            nn.init.kaiming_uniform_(p, a=math.sqrt(5), generator=stream)
        if name.endswith("project.weight"):
            p *= 0.0 if ZERO_PROJECTIONS else (2 * DEPTH) ** -0.5 if SCALED_RESIDUAL else 1.0


def orthogonalised(g: Tensor) -> Tensor:
    """A matrix with g's singular vectors and singular values near 1, by Newton-Schulz as in Muon (Jordan, 2024)."""
    x = g if g.shape[0] <= g.shape[1] else g.T
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x if g.shape[0] <= g.shape[1] else x.T


class Optimizer:
    """AdamW (Loshchilov and Hutter, 2019); with OPTIMIZER "muon" the blocks' matrices have Muon instead.

    Written out, because torch.optim imports a compiler at its first step: most of a second in a trial of ten.
    """

    def __init__(self, model: GPT) -> None:
        rates = {"embedding": EMBEDDING_LR, "unembedding": UNEMBEDDING_LR, "matrix": MATRIX_LR, "scalar": SCALAR_LR}
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.groups = [group_of(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.rates = [rates[group] for group in self.groups]
        self.firsts = [torch.zeros_like(p) for p in self.parameters]
        self.seconds = [torch.zeros_like(p) for p in self.parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, multiplier: float) -> None:
        """Update every parameter from its gradient, with its learning rate times the multiplier."""
        self.steps += 1
        unbias1, unbias2 = 1 - BETA1**self.steps, 1 - BETA2**self.steps
        for p, group, rate, m, v in zip(
            self.parameters, self.groups, self.rates, self.firsts, self.seconds, strict=True
        ):
            if p.grad is None:
                continue
            lr = rate * multiplier
            if group in ("matrix", "unembedding"):
                p.mul_(1 - lr * WEIGHT_DECAY)
            m.lerp_(p.grad, 1 - BETA1)
            if OPTIMIZER == "muon" and group == "matrix":
                # Scaled to the size of AdamW's updates (Liu et al., 2025), so that both like the same MATRIX_LR.
                p.add_(orthogonalised(p.grad.lerp(m, BETA1)), alpha=-lr * 0.2 * max(p.shape) ** 0.5)
            else:
                v.mul_(BETA2).addcmul_(p.grad, p.grad, value=1 - BETA2)
                p.addcdiv_(m, (v / unbias2).sqrt_().add_(EPS), value=-lr / unbias1)


def schedule(fraction: float) -> float:
    """What multiplies the learning rates when this fraction of the budget is spent."""
    if fraction < WARMUP:
        return fraction / WARMUP
    if fraction > 1 - WARMDOWN:
        return FINAL_LR + (1 - FINAL_LR) * (1 - fraction) / WARMDOWN
    return 1.0


class Stories:
    """Batches of training text: stories drawn at random, one after the other, cut where a sequence ends."""

    def __init__(self, train: Split, seed: int) -> None:
        self.train = train
        self.stream = torch.Generator().manual_seed(seed)
        self.left: list[np.ndarray[Any, Any]] = []  # the rest of the last story
        lengths = np.diff(train.starts)
        if CURRICULUM == "rarity":
            surprise = -np.log(np.bincount(train.tokens, minlength=VOCAB_SIZE).clip(1))
            self.order = np.argsort(np.add.reduceat(surprise[train.tokens], train.starts[:-1]) / lengths, kind="stable")
        else:
            self.order = np.argsort(lengths, kind="stable")

    def batch(self, fraction: float) -> tuple[Tensor, Tensor]:
        """Inputs and targets, (BATCH_SIZE, SEQ_LEN) each, when this fraction of the budget is spent."""
        grown = min(1.0, fraction / CURRICULUM_END)
        share = 1.0 if CURRICULUM == "plain" else CURRICULUM_START + (1 - CURRICULUM_START) * grown
        needed, found = BATCH_SIZE * SEQ_LEN + 1, self.left
        have = sum(map(len, found))
        while have < needed:
            drawn = int(torch.randint(math.ceil(share * len(self.order)), (), generator=self.stream))
            story = self.order[drawn]
            found.append(self.train.tokens[self.train.starts[story] : self.train.starts[story + 1]])
            have += len(found[-1])
        tokens = np.concatenate(found).astype(np.int64)
        self.left = [tokens[needed - 1 :]]
        both = torch.from_numpy(tokens[:needed])
        return both[:-1].view(BATCH_SIZE, SEQ_LEN), both[1:].view(BATCH_SIZE, SEQ_LEN)


def step_flops(model: GPT) -> float:
    """Floating-point operations of a step: the matrix products, 2 a multiply-add, backward twice the forward.

    A token costs 6 for each weight it is multiplied with, and 12 * WIDTH for each token it attends to (a causal
    window of w tokens shows min(w, position) of them); Muon costs its Newton-Schulz products. What is cheap
    but not free (norms, activations, softmax, AdamW) is not counted, and neither is the evaluation.
    """
    matrices = [module.weight for module in model.blocks.modules() if isinstance(module, nn.Linear)]
    weights = sum(w.numel() for w in [*matrices, model.head.weight])
    attended = sum(np.minimum(window, np.arange(1, SEQ_LEN + 1)).mean() for window in windows())
    flops = BATCH_SIZE * SEQ_LEN * (6 * weights + 12 * WIDTH * attended)
    if OPTIMIZER == "muon":
        for w in matrices:
            small, large = sorted(w.shape)
            flops += NEWTON_SCHULZ_STEPS * (4 * small * small * large + 2 * small**3)
    return float(flops)


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """What training minimises: cross-entropy in nats, with label smoothing and z-loss."""
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=LABEL_SMOOTHING)
    return loss + Z_LOSS * logits.logsumexp(-1).square().mean() if Z_LOSS else loss


def peak_memory_mb(device: torch.device) -> float:
    """The most memory held so far: the accelerator's where there is one, else the process's own."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def set_up() -> torch.device:
    """The device to work on, made deterministic."""
    device = torch.device(os.environ.get("ARNODE_DEVICE", "cpu"))
    torch.set_num_threads(int(os.environ.get("ARNODE_THREADS", "1")))
    if device.type != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    return device


def fit(device: torch.device) -> tuple[GPT, dict[str, str]]:
    """Train until the budget is spent. Returns the model, and what there is to say about its training."""
    seed = int(os.environ.get("ARNODE_SEED", "0"))
    budget_kind = os.environ.get("ARNODE_BUDGET_KIND", "flops")
    budget = float(os.environ.get("ARNODE_BUDGET", DEFAULT_FLOPS))
    if WIDTH % (2 * HEADS):
        sys.exit(f"WIDTH {WIDTH} does not split into {HEADS} HEADS of an even width")

    model = GPT()
    initialise(model, seed)
    model.to(device)
    optimizer = Optimizer(model)
    stories = Stories(load("train"), seed)
    flops_per_step = step_flops(model)

    started = reported = time.perf_counter()
    steps, seconds, fraction, loss = 0, 0.0, 0.0, math.nan
    while fraction < 1:
        tokens, targets = stories.batch(fraction)
        objective = loss_of(model(tokens.to(device)), targets.to(device))
        objective.backward()
        if CLIP:
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step(schedule(fraction))
        model.zero_grad(set_to_none=True)
        loss = objective.item()
        steps += 1
        seconds = time.perf_counter() - started
        if not math.isfinite(loss):
            print(f"loss is not finite at step {steps}", file=sys.stderr)
            sys.exit(NOT_FINITE)
        spent = {"flops": steps * flops_per_step, "tokens": steps * targets.numel(), "seconds": seconds}
        fraction = spent[budget_kind] / budget
        if time.perf_counter() - reported > 0.5:
            reported = time.perf_counter()
            progress = {"fraction": fraction, "loss": loss, "tokens_per_second": steps * targets.numel() / seconds}
            print("progress:", json.dumps(progress), flush=True)

    return model, {
        "training_seconds": f"{seconds:.3f}",
        "total_tokens": f"{steps * BATCH_SIZE * SEQ_LEN}",
        "flops": f"{steps * flops_per_step!r}",
        "num_steps": f"{steps}",
        "num_params": f"{sum(p.numel() for p in optimizer.parameters)}",
        "peak_memory_mb": f"{peak_memory_mb(device):.1f}",
    }


def say(facts: dict[str, str]) -> None:
    """Print the summary."""
    print("---")
    for name, text in facts.items():
        print(f"{name}: {text}")


def main() -> None:
    """Train, score the model, print the summary."""
    device = set_up()
    model, facts = fit(device)
    started = time.perf_counter()
    val_bpb = evaluate_bpb(model, SEQ_LEN, device)
    if not math.isfinite(val_bpb):
        print("val_bpb is not finite", file=sys.stderr)
        sys.exit(NOT_FINITE)
    say({"val_bpb": repr(val_bpb), "eval_seconds": f"{time.perf_counter() - started:.3f}"} | facts)


# Edited programs are not asked for their score: they train to one file, and are scored from outside by what a
# predictor made from that file says. These two functions are all that is called then.


def train(out: Path) -> None:
    """Train, and write the model to that file."""
    model, facts = fit(set_up())
    torch.save(model.state_dict(), out)
    say(facts)


def predictor(path: Path) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """What predicts with the model in that file: tokens (rows, length) to logits (rows, length, VOCAB_SIZE)."""
    device = set_up()
    model = GPT()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model.to(device)

    @torch.no_grad()
    def predict(tokens: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return model(torch.from_numpy(tokens).to(device)).float().cpu().numpy()

    return predict


if __name__ == "__main__":
    main()
