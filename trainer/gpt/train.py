"""Trains a small GPT on stories and prints how well it predicts held-out ones, in bits per byte.

Everything worth trying is a constant below: change it, run `python train.py`, compare val_bpb. The defaults are
what a beginner would write. The budget (ARNODE_BUDGET_KIND, ARNODE_BUDGET) is the same for every recipe.
"""

import json
import math
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerator import accelerates, compiles, device_name, peak_flops, peak_memory_mb, precision
from loader import Batches, best_fit
from prepare import VOCAB_SIZE, Split, evaluate_bpb, load
from torch import Tensor, nn
from torch.nn import functional as F

# Model
DEPTH = 3                     # transformer blocks
WIDTH = 96                    # of the residual stream
HEADS = 4                     # of attention, in each block; WIDTH / HEADS must be even
MLP_RATIO = 4                 # hidden width of the MLP over WIDTH (swiglu takes 2/3 of it, for equal parameters)
ACTIVATION = "gelu"           # gelu, relu2 (squared ReLU), swiglu
NORM = "layernorm"            # layernorm, rmsnorm, unit (that without gains), none; before attention, MLP, unembedding
EMBED_NORM = False            # and after the embedding
POSITIONS = "learned"         # learned (added to the embeddings), rope (rotates queries and keys)
ROPE_BASE = 10000.0           # longest wavelength of rope, over 2 pi
QK_NORM = False               # RMS-normalise queries and keys
WINDOW_PATTERN = "L"          # attention of each block in turn: L sees everything, S the last SHORT_WINDOW tokens
SHORT_WINDOW = 64             # tokens that an S block looks back; the last block is always L
TIED = False                  # one matrix embeds and unembeds
VALUE_EMBEDS = False          # every other block, the last included, adds an embedding of the token to its values
VALUE_GATE = 0                # each head weighs that by a gate that reads so many channels of the stream; 0: no gate
RESIDUAL_LAMBDA = 1.0         # the stream is multiplied by this before each block
X0_LAMBDA = 0.0               # and this much of the embeddings is added again
LEARNED_LAMBDAS = False       # both are only where learning starts, for each block
LOGIT_SOFTCAP = 0.0           # logits become cap * tanh(logits / cap); 0: off

# Initialisation
INIT = "default"              # of every matrix: default (PyTorch's), normal, xavier, kaiming, orthogonal, nanochat
INIT_STD = 0.02               # standard deviation of normal
SCALED_RESIDUAL = False       # divide the matrices that write to the stream by sqrt(2 * DEPTH)
ZERO_PROJECTIONS = False      # start those matrices at zero

# Optimisation
OPTIMIZER = "adamw"           # adamw; muon, normuon (for the blocks' matrices; the rest stays with adamw)
EMBEDDING_LR = 0.001          # token, position and value embeddings
UNEMBEDDING_LR = 0.001        # the last matrix, unless TIED
MATRIX_LR = 0.001             # the blocks' matrices
SCALAR_LR = 0.001             # gains, biases and lambdas
RESIDUAL_LR = 1.0             # of the residual lambdas, over SCALAR_LR
LR_WIDTH = 0                  # (un)embeddings' rates are for this width, and go as 1 / sqrt(WIDTH); 0: for any
BETA1 = 0.9                   # AdamW's and Muon's momentum
BETA2 = 0.999                 # AdamW's second moment
EPS = 1e-08                   # AdamW's
X0_BETA1 = 0.0                # AdamW's momentum of the x0 lambdas; 0: BETA1
MUON_BETA1 = 0.95             # NorMuon's momentum, where its rise from 0.85 over 300 steps ends
MUON_BETA2 = 0.95             # NorMuon's second moment
WEIGHT_DECAY = 0.01           # decoupled; matrices of the blocks and, not with normuon, the unembedding
WARMUP = 0.0                  # share of the budget in which learning rates rise from 0
WARMDOWN = 0.0                # share of the budget in which they fall to FINAL_LR
FINAL_LR = 0.0                # of the learning rate, where a warm-down ends
CLIP = 0.0                    # gradient norm is cut to this; 0: off
LABEL_SMOOTHING = 0.0         # share of the target spread over the vocabulary
Z_LOSS = 0.0                  # weight of the squared log of the softmax's denominator

# Data
BATCH_SIZE = 8                # sequences in a step
DEVICE_BATCH = 0              # sequences that are on the device at once, a divisor of BATCH_SIZE; 0: all of them
SEQ_LEN = 256                 # tokens in a sequence, in training and in evaluation
PACKING = "stream"            # stream (cut where a sequence ends), best_fit (sequences begin with a story, few are cut)
CURRICULUM = "plain"          # plain, length (short stories first), rarity (common tokens first); best_fit has plain
CURRICULUM_START = 0.25       # easiest share of the stories that is drawn from at the start
CURRICULUM_END = 0.5          # share of the budget after which all stories are drawn from

NEWTON_SCHULZ_STEPS = 5       # of Muon's orthogonalisation
WARM_UP_STEPS = 3             # that compile and change nothing, before the clock starts on an accelerator
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
    if NORM == "unit":
        return nn.RMSNorm(WIDTH, elementwise_affine=False)
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
        self.value_gate = linear(VALUE_GATE, HEADS) if value_embeds and VALUE_GATE else None
        self.window = window
        self.flex_attention, self.blocks_seen = None, None  # see_blocks
        distance = torch.arange(SEQ_LEN)[:, None] - torch.arange(SEQ_LEN)
        mask = (distance >= 0) & (distance < window) if window < SEQ_LEN else None
        self.register_buffer("mask", mask)
        self.register_buffer("turns", rope(SEQ_LEN, WIDTH // HEADS) if POSITIONS == "rope" else None)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """What each position gathers from those it sees: (rows, length, WIDTH), as x."""
        rows, length, _ = x.shape
        v = self.value(x)
        if self.value_embed is not None:
            embedded = self.value_embed(tokens).to(v.dtype)
            if self.value_gate is not None:
                gate = 2 * torch.sigmoid(self.value_gate(x[..., :VALUE_GATE]))  # 1 where the gate is zero
                embedded = (gate[..., None] * embedded.view(rows, length, HEADS, -1)).flatten(2)
            v = v + embedded
        q, k, v = (t.view(rows, length, HEADS, -1).transpose(1, 2) for t in (self.query(x), self.key(x), v))
        if self.turns is not None:
            q, k = rotate(q, self.turns[:, :length]), rotate(k, self.turns[:, :length])
        if QK_NORM:
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        q, k = q.to(v.dtype), k.to(v.dtype)
        if self.mask is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.flex_attention is not None and torch.compiler.is_compiling():
            y = self.flex_attention(q, k, v, block_mask=self.blocks_seen)
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
        self.embed_norm = norm() if EMBED_NORM else nn.Identity()
        self.norm = norm()
        self.head = linear(WIDTH, VOCAB_SIZE)
        if TIED:
            self.head.weight = self.token_embed.weight
        self.residual_lambdas = nn.Parameter(torch.full((DEPTH,), RESIDUAL_LAMBDA), requires_grad=LEARNED_LAMBDAS)
        self.x0_lambdas = nn.Parameter(torch.full((DEPTH,), X0_LAMBDA), requires_grad=LEARNED_LAMBDAS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (rows, length, VOCAB_SIZE) of each next token, for tokens (rows, length)."""
        x = self.token_embed(tokens)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))  # so that the whole stream is as narrow
        if self.position_embed is not None:
            x = x + self.position_embed.weight[: tokens.shape[1]]
        x = x0 = self.embed_norm(x)
        for i, block in enumerate(self.blocks):
            if LEARNED_LAMBDAS or RESIDUAL_LAMBDA != 1 or X0_LAMBDA != 0:
                x = self.residual_lambdas[i] * x + self.x0_lambdas[i] * x0
            x = block(x, tokens)
        logits = self.head(self.norm(x)).float()
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
        elif INIT == "nanochat":
            limit = 0.0 if name.endswith("value_gate.weight") else (3 / WIDTH) ** 0.5
            if name in ("token_embed.weight", "position_embed.weight", "head.weight"):
                nn.init.normal_(p, std=0.001 if name == "head.weight" else 1.0, generator=stream)
            else:
                nn.init.uniform_(p, -limit, limit, generator=stream)
        elif INIT == "orthogonal":
            nn.init.orthogonal_(p, generator=stream)
        elif group == "embedding":
            nn.init.normal_(p, generator=stream)
        else:
            nn.init.kaiming_uniform_(p, a=math.sqrt(5), generator=stream)
        if name.endswith("project.weight"):
            p *= 0.0 if ZERO_PROJECTIONS else (2 * DEPTH) ** -0.5 if SCALED_RESIDUAL else 1.0


# Coefficients of Polar Express for five steps, made for the 2 % that the norm is enlarged by (Amsel et al., 2025).
POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


def orthogonalised(g: Tensor) -> Tensor:
    """A matrix with g's singular vectors and singular values near 1, by Newton-Schulz as in Muon (Jordan, 2024)."""
    x = g if g.shape[0] <= g.shape[1] else g.T
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x if g.shape[0] <= g.shape[1] else x.T


def polar(g: Tensor) -> Tensor:
    """As orthogonalised, of a stack, in the device's precision, by Polar Express (Amsel et al., 2025)."""
    x = g.to(precision(g.device))
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-6)
    tall = g.shape[-2] > g.shape[-1]
    for a, b, c in POLAR_EXPRESS[:NEWTON_SCHULZ_STEPS]:
        gram = x.mT @ x if tall else x @ x.mT
        y = b * gram + c * gram @ gram
        x = a * x + (x @ y if tall else y @ x)
    return x.to(g.dtype)


def normuon(p: Tensor, g: Tensor, m: Tensor, v: Tensor, lr: Any, decay: Any, beta1: Any) -> Tensor:
    """A stack of matrices after a step of NorMuon (Li et al., 2025); m and v, their moments, are updated in place.

    Rows (columns of wide matrices) of the orthogonal update are divided by their running size; its norm is kept.
    Weights decay where that goes the update's way (cautious: Chen et al., 2025).
    """
    m.lerp_(g, 1 - beta1)
    update = polar(torch.lerp(g, m, beta1))
    sizes = update.square().mean(dim=-1 if p.shape[-2] >= p.shape[-1] else -2, keepdim=True)
    v.lerp_(sizes, 1 - MUON_BETA2)
    evened = update * v.clamp_min(1e-10).rsqrt()
    norms = [t.norm(dim=(-2, -1), keepdim=True) for t in (update, evened)]
    update = evened * norms[0] / norms[1].clamp_min(1e-10)
    lr = lr * max(1, p.shape[-2] / p.shape[-1]) ** 0.5
    return p - lr * update - lr * decay * p * (update * p >= 0)


class Optimizer:
    """AdamW (Loshchilov and Hutter, 2019); with OPTIMIZER "muon" or "normuon" the blocks' matrices have that instead.

    Written out, because torch.optim imports a compiler at its first step: most of a second in a trial of ten. Where
    the compiler is needed anyway, AdamW is torch's fused one.
    """

    def __init__(self, model: GPT, *, fused: bool = False) -> None:
        narrower = (LR_WIDTH / WIDTH) ** 0.5 if LR_WIDTH else 1.0
        rates = {"embedding": EMBEDDING_LR * narrower, "unembedding": UNEMBEDDING_LR * narrower,
                 "matrix": MATRIX_LR, "scalar": SCALAR_LR}
        self.parameters: list[nn.Parameter] = []
        self.stacks: dict[torch.Size, list[nn.Parameter]] = {}  # of NorMuon: matrices of one shape step together
        self.single: list[dict[str, Any]] = []  # all others, with their settings
        for name, p in model.named_parameters():
            if not p.requires_grad:
                continue
            self.parameters.append(p)
            group = group_of(name, p)
            if OPTIMIZER == "normuon" and group == "matrix":
                self.stacks.setdefault(p.shape, []).append(p)
                continue
            decays = group == "matrix" or (group == "unembedding" and OPTIMIZER != "normuon")
            self.single.append({
                "params": [p],
                "rate": rates[group] * (RESIDUAL_LR if name == "residual_lambdas" else 1.0),
                "betas": (X0_BETA1 if X0_BETA1 and name == "x0_lambdas" else BETA1, BETA2),
                "weight_decay": WEIGHT_DECAY if decays else 0.0,
                "muon": OPTIMIZER == "muon" and group == "matrix",
            })
        self.fused = None
        self.normuon = torch.compile(normuon, dynamic=False, fullgraph=True) if fused else normuon
        if fused:
            self.fused = torch.optim.AdamW([s for s in self.single if not s["muon"]], lr=0.0, eps=EPS, fused=True)
            self.single = [s for s in self.single if s["muon"]]
        for s in self.single:
            s["moments"] = torch.zeros_like(s["params"][0]), torch.zeros_like(s["params"][0])
        self.moments = {}
        for (rows, columns), stack in self.stacks.items():
            sizes = (rows, 1) if rows >= columns else (1, columns)
            of = stack[0]
            self.moments[of.shape] = of.new_zeros(len(stack), rows, columns), of.new_zeros(len(stack), *sizes)
        self.steps = 0

    @torch.no_grad()
    def step(self, multiplier: float, left: float = 1.0) -> None:
        """Update every parameter from its gradient, with its learning rate times the multiplier.

        left: share of the budget that is not spent; with it NorMuon's weight decay fades.
        """
        self.steps += 1
        self._step_stacks(multiplier, left)
        if self.fused is not None:
            for group in self.fused.param_groups:
                group["lr"] = group["rate"] * multiplier
            self.fused.step()
        for s in self.single:
            p, (m, v), (beta1, beta2) = s["params"][0], s["moments"], s["betas"]
            if p.grad is None:
                continue
            lr = s["rate"] * multiplier
            if s["weight_decay"]:
                p.mul_(1 - lr * s["weight_decay"])
            m.lerp_(p.grad, 1 - beta1)
            if s["muon"]:
                # Scaled to the size of AdamW's updates (Liu et al., 2025), so that both like the same MATRIX_LR.
                p.add_(orthogonalised(p.grad.lerp(m, beta1)), alpha=-lr * 0.2 * max(p.shape) ** 0.5)
            else:
                v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                p.addcdiv_(m, (v / (1 - beta2**self.steps)).sqrt_().add_(EPS), value=-lr / (1 - beta1**self.steps))

    def _step_stacks(self, multiplier: float, left: float) -> None:
        beta1 = MUON_BETA1 - (MUON_BETA1 - 0.85) * max(0.0, 1 - self.steps / 300)
        numbers: list[Any] = [MATRIX_LR * multiplier, WEIGHT_DECAY * left, beta1]
        if self.fused is not None:  # a compiled function is compiled again for each new number, but not for a tensor's
            numbers = [torch.tensor(number) for number in numbers]
        for shape, stack in self.stacks.items():
            gradients = torch.stack([p.grad for p in stack])
            for p, new in zip(
                stack, self.normuon(torch.stack(list(stack)), gradients, *self.moments[shape], *numbers), strict=True
            ):
                p.copy_(new)


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
        self.rows = best_fit(self.shuffled(), SEQ_LEN + 1)

    def shuffled(self) -> Iterator[np.ndarray[Any, Any]]:
        """All stories in a random order, then all again in another, without end."""
        while True:
            for story in torch.randperm(len(self.train.starts) - 1, generator=self.stream).tolist():
                yield self.train.tokens[self.train.starts[story] : self.train.starts[story + 1]]

    def batch(self, fraction: float) -> tuple[Tensor, Tensor]:
        """Inputs and targets, (BATCH_SIZE, SEQ_LEN) each, when this fraction of the budget is spent."""
        if PACKING == "best_fit":
            packed = torch.from_numpy(np.stack([next(self.rows) for _ in range(BATCH_SIZE)]))
            return packed[:, :-1].contiguous(), packed[:, 1:].contiguous()
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
    if OPTIMIZER != "adamw":
        for w in matrices:
            small, large = sorted(w.shape)
            flops += NEWTON_SCHULZ_STEPS * (4 * small * small * large + 2 * small**3)
    return float(flops)


def token_flops(model: GPT) -> float:
    """Floating-point operations of a token as MFU counts them: without the optimizer, and every token attends to its
    whole window, whatever of it lies before the row's beginning (Chowdhery et al., 2022, appendix B)."""
    matrices = [module.weight for module in model.blocks.modules() if isinstance(module, nn.Linear)]
    weights = sum(w.numel() for w in [*matrices, model.head.weight])
    return float(6 * weights + 12 * WIDTH * sum(w if w == SEQ_LEN else w - 1 for w in windows()))


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """What training minimises: cross-entropy in nats, with label smoothing and z-loss."""
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=LABEL_SMOOTHING)
    return loss + Z_LOSS * logits.logsumexp(-1).square().mean() if Z_LOSS else loss


def objective(model: GPT, tokens: Tensor, targets: Tensor) -> Tensor:
    """The loss of a batch, with matrix products in the device's precision."""
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=precision(tokens.device) == torch.bfloat16):
        return loss_of(model(tokens), targets)


def see_blocks(model: GPT, device: torch.device) -> None:
    """Let windowed attention, once compiled, skip the blocks of scores that its window hides.

    For CUDA: flex_attention has no gradients on a CPU, and is slow where it is not compiled.
    """
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention  # brings the compiler

    for window in {w for w in windows() if w < SEQ_LEN}:
        seen = create_block_mask(
            lambda _b, _h, q, k, w=window: (q >= k) & (q - k < w), None, None, SEQ_LEN, SEQ_LEN, device=device
        )
        for attention in (block.attention for block in model.blocks if block.attention.window == window):
            attention.flex_attention, attention.blocks_seen = flex_attention, seen


def set_up() -> torch.device:
    """The device to work on, made deterministic."""
    device = torch.device(os.environ.get("ARNODE_DEVICE", "cpu"))
    torch.set_num_threads(int(os.environ.get("ARNODE_THREADS", "1")))
    if accelerates(device) and os.environ.get("ARNODE_BUDGET_KIND") != "seconds":  # a clock repeats nothing anyway
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    if compiles(device):  # its folder goes by the user's name, and in a sandbox there is none
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(tempfile.gettempdir(), "inductor"))
        torch.set_float32_matmul_precision("high")
    return device


def check_settings() -> None:
    """End the run with a sentence where settings do not fit each other."""
    if WIDTH % (2 * HEADS):
        sys.exit(f"WIDTH {WIDTH} does not split into {HEADS} HEADS of an even width")
    if DEVICE_BATCH and BATCH_SIZE % DEVICE_BATCH:
        sys.exit(f"BATCH_SIZE {BATCH_SIZE} is no multiple of DEVICE_BATCH {DEVICE_BATCH}")
    if PACKING == "best_fit" and CURRICULUM != "plain":
        sys.exit(f"PACKING best_fit takes stories in a random order: CURRICULUM must be plain, not {CURRICULUM}")


def fit(device: torch.device) -> tuple[GPT, dict[str, str]]:
    """Train until the budget is spent. Returns the model, and what there is to say about its training."""
    seed = int(os.environ.get("ARNODE_SEED", "0"))
    budget_kind = os.environ.get("ARNODE_BUDGET_KIND", "flops")
    budget = float(os.environ.get("ARNODE_BUDGET", DEFAULT_FLOPS))
    check_settings()

    model = GPT()
    initialise(model, seed)
    model.to(device)
    loss_on = objective
    if compiles(device):
        see_blocks(model, device)
        loss_on = torch.compile(objective, dynamic=False)
    batches = Batches(Stories(load("train"), seed).batch, device, ahead=accelerates(device))
    flops_per_step = step_flops(model)
    pieces = BATCH_SIZE // (DEVICE_BATCH or BATCH_SIZE)

    def train_step(optimizer: Optimizer, tokens: Tensor, targets: Tensor, multiplier: float, left: float) -> float:
        loss: float | Tensor = 0.0
        for x, y in zip(tokens.chunk(pieces), targets.chunk(pieces), strict=True):
            part = loss_on(model, x, y) / pieces
            part.backward()
            loss = loss + part.detach()
        if CLIP:
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step(multiplier, left)
        model.zero_grad(set_to_none=True)
        return float(loss)  # waits for the device

    warming = time.perf_counter()
    if accelerates(device):
        throwaway = Optimizer(model, fused=compiles(device))
        for _ in range(WARM_UP_STEPS):
            tokens = torch.randint(VOCAB_SIZE, (BATCH_SIZE, SEQ_LEN), device=device)
            train_step(throwaway, tokens, tokens, 0.0, 0.0)  # at a learning rate of zero
        del throwaway
    optimizer = Optimizer(model, fused=compiles(device))

    started = reported = time.perf_counter()
    steps, seconds, fraction = 0, 0.0, 0.0
    while fraction < 1:
        tokens, targets = batches.next(fraction)
        loss = train_step(optimizer, tokens, targets, schedule(fraction), 1 - fraction)
        steps += 1
        seconds = time.perf_counter() - started
        if not math.isfinite(loss):
            print(f"loss is not finite at step {steps}", file=sys.stderr)
            sys.exit(NOT_FINITE)
        spent = {"flops": steps * flops_per_step, "tokens": steps * targets.numel(), "steps": steps, "seconds": seconds}
        fraction = spent[budget_kind] / budget
        if time.perf_counter() - reported > 0.5:
            reported = time.perf_counter()
            progress = {"fraction": fraction, "loss": loss, "tokens_per_second": steps * targets.numel() / seconds}
            print("progress:", json.dumps(progress), flush=True)
    batches.close()

    total_tokens = steps * BATCH_SIZE * SEQ_LEN
    speed = total_tokens * token_flops(model) / seconds
    peak = peak_flops(device_name(device))
    facts = {
        "training_seconds": f"{seconds:.3f}",
        "warm_up_seconds": f"{started - warming:.3f}",
        "total_tokens": f"{total_tokens}",
        "flops": f"{steps * flops_per_step!r}",
        "num_steps": f"{steps}",
        "num_params": f"{sum(p.numel() for p in optimizer.parameters)}",
        "peak_memory_mb": f"{peak_memory_mb(device):.1f}",
        "tokens_per_second": f"{total_tokens / seconds:.0f}",
        "tflops_per_second": f"{speed / 1e12:.4f}",
    }
    return model, facts if peak is None else facts | {"mfu_percent": f"{100 * speed / peak:.2f}"}


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
    with torch.autocast(device.type, torch.bfloat16, enabled=precision(device) == torch.bfloat16):
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
        with torch.autocast(device.type, torch.bfloat16, enabled=precision(device) == torch.bfloat16):
            return model(torch.from_numpy(tokens).to(device)).float().cpu().numpy()

    return predict


if __name__ == "__main__":
    main()
