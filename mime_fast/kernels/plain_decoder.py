"""One decoding step (eq. 28) with a cache that is read by ancestry: twins in plain PyTorch of the decoder's kernels.

`ancestry[n, t]` says where row n's history of position t lies: slot (t, ancestry[n, t]); where the token of position t
was PAD, which is never seen as a key, it is ~row (below 0) instead of row. `positions[n]` is the position that row n's
token takes in this step, 0 for SOS; below 0 the row is idle: its output is 0 and nothing of it is kept.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.kernels.weights import DecoderCache, DecoderLayerWeights, DecoderWeights


def self_attention(query: Tensor, keys: Tensor, values: Tensor, ancestry: Tensor, positions: Tensor) -> Tensor:
    """Attention of one position to its own history, itself included.

    Args:
        query: [N, H, D], scaled.
        keys, values: [T, N, H, D], those of this step already in place.
        ancestry: int32 [N, T]; positions: int32 [N].

    Returns:
        [N, H, D].
    """
    times = torch.arange(len(keys), device=keys.device)
    slots = torch.where(ancestry < 0, ~ancestry, ancestry).long().clamp(0, keys.shape[1] - 1)  # unused ones may be odd
    own_keys, own_values = (x[times, slots] for x in (keys, values))  # [N, T, H, D]
    return _attend(query, own_keys, own_values, (times > positions[:, None]) | (ancestry < 0))


def memory_attention(query: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
    """Attention of the rows of B dialogues, N / B next to each other, to their dialogue's memory.

    Args:
        query: [N, H, D], scaled; keys, values: [B, S, H, D]; lengths: int32 [B].

    Returns:
        [N, H, D]; 0 where the length is 0.
    """
    beams = len(query) // len(keys)
    hidden = torch.arange(keys.shape[1], device=keys.device) >= lengths[:, None]
    return _attend(query, *(x.repeat_interleave(beams, dim=0) for x in (keys, values, hidden)))


def decoder_step(
    tokens: Tensor,
    positions: Tensor,
    ancestry: Tensor,
    memory_lengths: Tensor,
    weights: DecoderWeights,
    caches: tuple[DecoderCache, ...],
) -> Tensor:
    """O of the next position of each row (eq. 28) [N, C]; the caches, one a layer, take in what later steps read.

    Args:
        tokens: the words to feed, int32 [N].
        positions: where they stand, int32 [N].
        ancestry: int32 [N, T], the entry of this position included: n itself, or ~n if the word is PAD.
        memory_lengths: int32 [B].
    """
    live = positions >= 0
    at = positions.clamp(min=0).long()
    x = weights.words[tokens.long().clamp(min=0)] + weights.positions[at]  # wide [N, C]
    for layer, cache in zip(weights.layers, caches, strict=True):
        x = _layer_step(x, at, live, ancestry, memory_lengths, layer, cache, weights)
    out = norm(x, weights.norm_weight, weights.norm_bias, weights.unbiased_norm)
    return torch.where(live[:, None], out, 0.0).to(caches[0].keys.dtype)


def norm(x: Tensor, weight: Tensor, bias: Tensor, unbiased: bool) -> Tensor:
    """LayerNorm, PyTorch's or the released code's."""
    if not unbiased:
        return F.layer_norm(x, x.shape[-1:], weight, bias)
    return weight * (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + 1e-6) + bias


def _layer_step(
    x: Tensor,
    at: Tensor,
    live: Tensor,
    ancestry: Tensor,
    memory_lengths: Tensor,
    layer: DecoderLayerWeights,
    cache: DecoderCache,
    weights: DecoderWeights,
) -> Tensor:
    dtype, scale = cache.keys.dtype, cache.keys.shape[-1] ** -0.5
    normed = norm(x, layer.norm1_weight, layer.norm1_bias, weights.unbiased_norm).to(dtype)
    query, key, value = (
        F.linear(normed, w).view(len(x), weights.heads, -1) for w in (layer.query, layer.key, layer.value)
    )
    _keep(cache.keys, at, live, key)
    _keep(cache.values, at, live, value)
    heads = self_attention(query * scale, cache.keys, cache.values, ancestry, at.int())
    x = x + F.linear(heads.flatten(1), layer.output)
    normed = norm(x, layer.norm2_weight, layer.norm2_bias, weights.unbiased_norm).to(dtype)
    query = F.linear(normed, layer.memory_query).view(len(x), weights.heads, -1)
    heads = memory_attention(query * scale, cache.memory_keys, cache.memory_values, memory_lengths)
    x = x + F.linear(heads.flatten(1), layer.memory_output)
    normed = norm(x, layer.norm3_weight, layer.norm3_bias, weights.unbiased_norm).to(dtype)
    out = _feed_forward(normed, at, live, ancestry, layer, cache)
    return x + (out.relu() if weights.final_relu else out)


def _feed_forward(
    x: Tensor, at: Tensor, live: Tensor, ancestry: Tensor, layer: DecoderLayerWeights, cache: DecoderCache
) -> Tensor:
    """Two causal convolutions of width 3; what the last two positions have left is added to this one's."""
    full = cache.taps.dtype
    old2, old1, new = (F.linear(x, tap).to(full) for tap in layer.conv1)
    _keep(cache.taps, at % 3, live, torch.stack([old2, old1], dim=1))
    before1, before2 = (_look_back(cache.taps, at, ancestry, back) for back in (1, 2))
    hidden = (new + before1[:, 1] + before2[:, 0] + layer.conv1_bias).relu().to(x.dtype)
    _keep(cache.hiddens, at % 3, live, hidden)
    window = (_look_back(cache.hiddens, at, ancestry, 2), _look_back(cache.hiddens, at, ancestry, 1), hidden)
    return sum((F.linear(h, tap).to(full) for h, tap in zip(window, layer.conv2, strict=True)), layer.conv2_bias)


def _keep(cache: Tensor, slot: Tensor, live: Tensor, value: Tensor) -> None:
    """cache[slot[n], n] = value[n] for live rows."""
    rows = torch.arange(cache.shape[1], device=cache.device)
    old = cache[slot, rows]
    cache[slot, rows] = torch.where(live.view(-1, *[1] * (old.dim() - 1)), value.to(cache.dtype), old)


def _look_back(cache: Tensor, at: Tensor, ancestry: Tensor, back: int) -> Tensor:
    """What the row's history holds `back` positions ago in a cache of three; 0 before the start."""
    before = (at - back).clamp(min=0)
    row = ancestry.gather(1, before[:, None])[:, 0]
    row = torch.where(row < 0, ~row, row).long().clamp(0, cache.shape[1] - 1)
    found = cache[before % 3, row]
    return torch.where((at >= back).view(-1, *[1] * (found.dim() - 1)), found, 0)


def _attend(query: Tensor, keys: Tensor, values: Tensor, masked: Tensor) -> Tensor:
    """query [N, H, D]; keys, values [N, L, H, D]; masked [N, L]."""
    scores = torch.einsum("nhd,nlhd->nhl", query, keys).masked_fill(masked[:, None], -inf)
    shares = scores.softmax(dim=-1).masked_fill(masked[:, None], 0.0)  # 0 where all are masked
    return torch.einsum("nhl,nlhd->nhd", shares, torch.where(masked[:, :, None, None], 0, values))
