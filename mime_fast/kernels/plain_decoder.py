"""One decoding step (eq. 28) with a cache that is read by ancestry: twins in plain PyTorch of the decoder's kernels.

Rows n are hypotheses, R = N / B of one dialogue next to each other. What a row's history has of position t lies in
the caches at the row (n div R) R + ancestry[n, t], and the token that was fed there is words[n, t]: PAD is never seen
as a key, though the convolutions see it. positions[n] is the position that is fed now, 0 for SOS; there ancestry[n] is
n mod R. Nothing beyond it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.kernels.weights import MASKED_SCORE, DecoderCache, DecoderLayerWeights, DecoderWeights
from mime_fast.text.special import PAD_ID


@dataclass(frozen=True)
class History:
    """Which positions the rows have behind them."""

    words: Tensor  # int32 [N, T]
    ancestry: Tensor  # int32 [N, T], from 0 to R - 1
    positions: Tensor  # int32 [N], from 0 to T - 1


def self_attention(query: Tensor, keys: Tensor, values: Tensor, history: History, dialogues: int) -> Tensor:
    """Attention of one position to its own history, itself included.

    Args:
        query: [N, H, D]; scores are divided by sqrt(D).
        keys, values: [T, N, H, D], any stride over T; those of this position are in place.
        dialogues: B.

    Returns:
        [N, H, D].
    """
    times = torch.arange(history.words.shape[1], device=keys.device)
    rows = _rows(history.ancestry, dialogues)  # [N, T]
    beyond = times > history.positions[:, None]
    own_keys, own_values = (x[times, rows] for x in (keys, values))  # [N, T, H, D]
    return _attend(query, own_keys, own_values, history.words == PAD_ID, beyond)


def memory_attention(query: Tensor, keys: Tensor, values: Tensor, masked: Tensor, lengths: Tensor) -> Tensor:
    """Attention of each row to its dialogue's memory.

    Args:
        query: [N, H, D]; scores are divided by sqrt(D).
        keys, values: [B, S, H, D].
        masked: uint8 [B, S], not 0 where a position is not seen; where all are masked, all count alike.
        lengths: int32 [B]; positions from here on do not exist.

    Returns:
        [N, H, D]; 0 where the length is 0.
    """
    beams = len(query) // len(keys)
    beyond = torch.arange(keys.shape[1], device=keys.device) >= lengths[:, None]
    return _attend(query, *(x.repeat_interleave(beams, dim=0) for x in (keys, values, masked != 0, beyond)))


def decoder_step(
    history: History,
    memory_masked: Tensor,
    memory_lengths: Tensor,
    weights: DecoderWeights,
    caches: tuple[DecoderCache, ...],
    active: Tensor | None = None,
) -> Tensor:
    """O of the position that is fed (eq. 28), [N, C'] in the weights' dtype, 0 beyond C; later steps read the caches.

    Args:
        history: the token to feed is words[n, positions[n]].
        memory_masked, memory_lengths: as in `memory_attention`.
        caches: one a layer.
        active: int32 [B], 0 where nobody looks at what a dialogue's rows get, here and in their caches; None: nowhere.
    """
    at = history.positions.long()
    tokens = history.words.gather(1, at[:, None])[:, 0].long()
    x = weights.words[tokens] + weights.positions[at]  # wide [N, C]
    for layer, cache in zip(weights.layers, caches, strict=True):
        x = _layer_step(x, history, memory_masked, memory_lengths, layer, cache, weights)
    out = norm(x, weights.norm_weight, weights.norm_bias, weights.unbiased_norm).to(caches[0].keys.dtype)
    return F.pad(out, (0, weights.columns - out.shape[1]))


def norm(x: Tensor, weight: Tensor, bias: Tensor, unbiased: bool) -> Tensor:
    """LayerNorm, PyTorch's or the released code's."""
    if not unbiased:
        return F.layer_norm(x, x.shape[-1:], weight, bias)
    return weight * (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + 1e-6) + bias


def _layer_step(
    x: Tensor,
    history: History,
    memory_masked: Tensor,
    memory_lengths: Tensor,
    layer: DecoderLayerWeights,
    cache: DecoderCache,
    weights: DecoderWeights,
) -> Tensor:
    dtype, dialogues = cache.keys.dtype, len(cache.memory_keys)
    at, rows = history.positions.long(), torch.arange(len(x), device=x.device)
    normed = norm(x, layer.norm1_weight, layer.norm1_bias, weights.unbiased_norm).to(dtype)
    query, key, value = (_product(normed, w).view(len(x), weights.heads, -1) for w in layer.self_matrices)
    cache.keys[at, rows] = key
    cache.values[at, rows] = value
    heads = self_attention(query, cache.keys, cache.values, history, dialogues)
    x = x + F.linear(heads.flatten(1), layer.output)
    normed = norm(x, layer.norm2_weight, layer.norm2_bias, weights.unbiased_norm).to(dtype)
    query = _product(normed, layer.memory_query).view(len(x), weights.heads, -1)
    heads = memory_attention(query, cache.memory_keys, cache.memory_values, memory_masked, memory_lengths)
    x = x + F.linear(heads.flatten(1), layer.memory_output)
    normed = norm(x, layer.norm3_weight, layer.norm3_bias, weights.unbiased_norm).to(dtype)
    out = _feed_forward(normed, history, layer, cache)
    return x + (out.relu() if weights.final_relu else out)


def _feed_forward(x: Tensor, history: History, layer: DecoderLayerWeights, cache: DecoderCache) -> Tensor:
    """Two causal convolutions of width 3; what the last two positions left is added to this one's part."""
    full, dialogues = cache.taps.dtype, len(cache.memory_keys)
    at, rows = history.positions.long(), torch.arange(len(x), device=x.device)
    old2, old1, new = (_product(x, tap).to(full) for tap in layer.conv1)
    cache.taps[at % 3, rows] = torch.stack([old2, old1], dim=1)
    before1, before2 = (_look_back(cache.taps, history, dialogues, back) for back in (1, 2))
    hidden = (new + before1[:, 1] + before2[:, 0] + layer.conv1_bias).relu().to(x.dtype)
    cache.hiddens[at % 3, rows] = hidden
    window = (*(_look_back(cache.hiddens, history, dialogues, back) for back in (2, 1)), hidden)
    out = layer.conv2_bias
    for h, tap in zip(window, layer.conv2, strict=True):
        out = out + _product(h, tap).to(full)
    return out


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """x weight^T without the weight's padding."""
    return F.linear(x, weight[:, : x.shape[1]])


def _rows(ancestry: Tensor, dialogues: int) -> Tensor:
    """The cache row of each row's history, [N, T]; entries that nothing has written stay in range."""
    beams = len(ancestry) // dialogues
    first = torch.arange(len(ancestry), device=ancestry.device) // beams * beams
    return first[:, None] + ancestry.long().clamp(0, beams - 1)


def _look_back(cache: Tensor, history: History, dialogues: int, back: int) -> Tensor:
    """What the row's history has `back` positions ago in a cache of three positions; 0 before the start."""
    before = (history.positions.long() - back).clamp(min=0)
    rows = _rows(history.ancestry, dialogues).gather(1, before[:, None])[:, 0]
    found = cache[before % 3, rows]
    return torch.where((history.positions >= back).view(-1, *[1] * (found.dim() - 1)), found, 0)


def _attend(query: Tensor, keys: Tensor, values: Tensor, masked: Tensor, beyond: Tensor) -> Tensor:
    """query [N, H, D]; keys, values [N, L, H, D]; masked, beyond bool [N, L]."""
    scores = torch.einsum("nhd,nlhd->nhl", query * query.shape[-1] ** -0.5, keys)
    scores = scores.masked_fill(masked[:, None], max(MASKED_SCORE, torch.finfo(scores.dtype).min))
    shares = scores.masked_fill(beyond[:, None], -inf).softmax(dim=-1).masked_fill(beyond[:, None], 0.0)
    return torch.einsum("nhl,nlhd->nhd", shares, torch.where(beyond[:, :, None, None], 0, values))
