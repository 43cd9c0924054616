"""The kernels' twins in plain PyTorch, on any device and in any dtype: too simple to be wrong.

Every function has the signature and the contract of the kernel of its name, and is capturable in a CUDA graph: nothing
is read back. Tensors are contiguous and on one device. "Wide" is float32, or float64 for float64 inputs.
Dimensions: B dialogues, N rows, T positions, S memory positions, H heads, D head width, C hidden, V words.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.kernels.plain_decoder import History, decoder_step, memory_attention, self_attention
from mime_fast.kernels.plain_encoder import Sequences, encoder
from mime_fast.kernels.plain_noise import standard_normal
from mime_fast.kernels.plain_sampling import Draws, sample_tokens
from mime_fast.kernels.weights import PriorWeights, wide

__all__ = [
    "Draws",
    "History",
    "Sequences",
    "decoder_step",
    "encoder",
    "gate_fusion",
    "memory_attention",
    "response_emotion",
    "sample_tokens",
    "self_attention",
    "vocab_logits",
    "vocab_score",
    "vocab_topk",
]


def gate_fusion(
    mimic: Tensor,
    other: Tensor,
    contrib_weight: Tensor,
    contrib_bias: Tensor,
    fused_weight: Tensor,
    fused_bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """Eq. 24-27, a row a real position.

    Args:
        mimic, other: M and M~, [N, C].
        contrib_weight, contrib_bias: [2C, 2C] and [2C].
        fused_weight, fused_bias: [C, 2C] and [C].

    Returns:
        M_fused [N, C], and the gate's share of M, mean(g[:C]) / (mean(g[:C]) + mean(g[C:])), wide [N];
        0.5 where the gate is 0.
    """
    both = torch.cat([mimic, other], dim=-1)
    gate = F.linear(both, contrib_weight, contrib_bias).sigmoid()
    sums = gate.view(len(gate), 2, -1).sum(dim=-1, dtype=wide(gate.dtype))  # [N, 2]
    total = sums.sum(dim=-1)
    return F.linear(gate * both, fused_weight, fused_bias), (sums[:, 0] / total).masked_fill(total == 0, 0.5)


def response_emotion(
    c: Tensor, seeds: Tensor, request_ids: Tensor, mimicked: Tensor, prior: PriorWeights, stochastic: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. 7-15 and 18-19.

    Args:
        c: [B, C].
        seeds, request_ids: the bits of unsigned 64-bit integers, int64 [B]; read only if stochastic.
        mimicked: the emotion whose polarity is mimicked, int32 [B].
        stochastic: False: z = mu.

    Returns:
        d of all groups by emotion id, wide [B, 32] (each group's sum is 1); m and m~, [B, C].
    """
    hidden = F.linear(c, prior.sample_weight, prior.sample_bias).relu()
    logits = []
    for g in range(prior.groups):
        z = F.linear(hidden, prior.mu_weight[g], prior.mu_bias[g])
        if stochastic:
            log_variance = F.linear(hidden, prior.sigma_weight[g], prior.sigma_bias[g])
            noise = standard_normal(seeds, request_ids, purpose=g, size=c.shape[1])
            z = z + noise.to(z.dtype) * torch.exp(0.5 * log_variance)
        member = (prior.group == g)[None]  # [1, 32]
        logits.append(F.linear(z, prior.d_weight, prior.d_bias).to(wide(c.dtype)).masked_fill(~member, -inf))
    each = [group.softmax(dim=-1) for group in logits]
    e = [d.to(c.dtype) @ prior.emotions for d in each]
    m, m_other = e[0], e[-1]
    if prior.mimicry:
        positive = (prior.group[mimicked.long()] == 0)[:, None]
        m, m_other = torch.where(positive, e[0], e[-1]), torch.where(positive, e[-1], e[0])
    return torch.stack(each).sum(dim=0), m, m_other


def vocab_logits(hidden: Tensor, weight: Tensor, bias: Tensor, active: Tensor | None = None) -> Tensor:
    """O W^T + b (eq. 29), wide [N, V]: its sums are never rounded to a narrower dtype.

    Args:
        hidden: O, [N, C]; weight: [V, C]; bias: [V].
        active: as in `vocab_topk`.
    """
    hidden, weight, bias = (x.to(wide(hidden.dtype)) for x in (hidden, weight, bias))
    return F.linear(hidden, weight) + bias


def vocab_topk(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    suppressed: Tensor | None,
    banned: Tensor | None,
    k: int,
    active: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The k most probable next tokens of each row (eq. 29), most probable first.

    They are ordered by logit, equal logits by lowest id. Log-probs are over all V words: what is banned counts in the
    sum. A row whose log_softmax is NaN has NaN in all k log-probs.

    Args:
        hidden: O, [N, C]; weight: [V, C]; bias: [V].
        suppressed: uint8 [V], not 0 where a word is never taken; None: nowhere.
        banned: int32 [N, M], words that the row does not take, -1: none; None: none at all.
        k: 1 to 32.
        active: int32 [B], 0 where nobody looks at what the slot's N / B rows get; None: nowhere.

    Returns:
        Log-probs, wide [N, k], ids, int32 [N, k] (-inf and 0 where fewer words are allowed and above -inf), and the
        log of the sum of exponentials that the log-probs were made with, wide [N].
    """
    logits = vocab_logits(hidden, weight, bias)
    total = logits.logsumexp(dim=-1)
    total = torch.where(torch.isfinite(total), total, torch.nan)  # as in log_softmax
    allowed = logits
    if suppressed is not None:
        allowed = allowed.masked_fill((suppressed != 0)[None], -inf)
    if banned is not None and banned.shape[1]:
        words = torch.arange(logits.shape[1], device=logits.device)
        allowed = allowed.masked_fill((banned[:, :, None] == words).any(dim=1), -inf)
    best, ids = allowed.sort(dim=-1, descending=True, stable=True)
    best, ids = (F.pad(x[:, :k], (0, max(0, k - x.shape[1])), value=fill) for x, fill in ((best, -inf), (ids, 0)))
    log_probs = best - total[:, None]
    return log_probs, ids.masked_fill(~(log_probs > -inf), 0).int(), total


def vocab_score(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Log-probs of given words (eq. 29), wide [N]; NaN where the row's log_softmax is NaN.

    Args:
        hidden: O, [N, C]; weight: [V, C]; bias: [V]; targets: int32 [N].
    """
    log_probs = vocab_logits(hidden, weight, bias).log_softmax(dim=-1)
    return log_probs.gather(-1, targets.long()[:, None])[:, 0]
