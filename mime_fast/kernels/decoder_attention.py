"""Attention of one decoding step (eq. 28): to the row's own history, found by its ancestry, and to the memory.

Keys and values are read where they lie, a block of positions at a time, with a running maximum. What a row's sum looks
like is a matter of its own positions: blocks beyond them leave it as it is, bit for bit.
"""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mime_fast.kernels.plain_decoder import History
from mime_fast.kernels.tiles import FUSED, INTERPRETED, blocks, narrow
from mime_fast.kernels.weights import MASKED_SCORE
from mime_fast.text.special import PAD_ID

MASKED = tl.constexpr(MASKED_SCORE)
PAD = tl.constexpr(PAD_ID)
ROWS = 16  # rows of a program
POSITIONS = 16  # positions of a block


@triton.jit
def attend_block(query, keys, values, at, scores_of, d, largest, total, out, D: tl.constexpr):
    """One more block of positions: `at` [n, t] where their keys begin, `scores_of` [n, t] what is added to a score."""
    inside = (scores_of > -float("inf"))[:, :, None] & (d < D)[None, None, :]
    place = at[:, :, None] + d[None, None, :]
    k = tl.load(keys + place, mask=inside, other=0.0).to(tl.float32)
    scores = tl.sum(query[:, None, :] * k, axis=2)
    scores = tl.where(scores_of == MASKED, MASKED, scores + scores_of)
    top = tl.maximum(largest, tl.max(scores, axis=1))
    shift = tl.where(top == -float("inf"), 0.0, top)
    shares = tl.exp(scores - shift[:, None])
    fading = tl.exp(largest - shift)
    v = tl.load(values + place, mask=inside, other=0.0).to(tl.float32)
    total = total * fading + tl.sum(shares, axis=1)
    out = out * fading[:, None] + tl.sum(shares[:, :, None] * v, axis=1)
    return top, total, out


@triton.jit
def attend_history(
    query,  # float32 [n, d], scaled
    keys,
    values,
    words,
    ancestry,
    n,
    position,
    rows,
    capacity,
    cache_rows,
    beams,
    head,
    H: tl.constexpr,
    D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_T: tl.constexpr,
    D_PADDED: tl.constexpr,
):
    """Heads' output [n, d] of the positions up to `position`; keys and values [T, cache_rows, H, D]."""
    d = tl.arange(0, D_PADDED)
    largest = tl.full([BLOCK_N], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK_N], tl.float32)
    out = tl.zeros([BLOCK_N, D_PADDED], tl.float32)
    for start in range(0, tl.max(position, axis=0) + 1, BLOCK_T):
        t = start + tl.arange(0, BLOCK_T)
        seen = (t[None, :] <= position[:, None]) & (n < rows)[:, None]
        here = n[:, None] * capacity + t[None, :]
        beam = tl.load(ancestry + here, mask=seen, other=0)
        word = tl.load(words + here, mask=seen, other=PAD)
        at = (t[None, :] * cache_rows + (n // beams * beams)[:, None] + beam) * (H * D) + head * D
        add = tl.where(seen, tl.where(word == PAD, MASKED, 0.0), -float("inf"))
        largest, total, out = attend_block(query, keys, values, at, add, d, largest, total, out, D)
    return out / tl.maximum(total, 1e-30)[:, None]  # 1 at least where there is a row


@triton.jit
def attend_memory(
    query,  # float32 [n, d], scaled
    keys,
    values,
    masked,
    lengths,
    n,
    rows,
    source,
    beams,
    head,
    H: tl.constexpr,
    D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_T: tl.constexpr,
    D_PADDED: tl.constexpr,
):
    """Heads' output [n, d] of the dialogue's memory; keys and values [B, S, H, D]; 0 without any."""
    d = tl.arange(0, D_PADDED)
    dialogue = n // beams
    length = tl.load(lengths + dialogue, mask=n < rows, other=0)
    largest = tl.full([BLOCK_N], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK_N], tl.float32)
    out = tl.zeros([BLOCK_N, D_PADDED], tl.float32)
    for start in range(0, tl.max(length, axis=0), BLOCK_T):
        s = start + tl.arange(0, BLOCK_T)
        here = dialogue[:, None] * source + s[None, :]
        there = s[None, :] < length[:, None]
        away = tl.load(masked + here, mask=there, other=1) != 0
        add = tl.where(there, tl.where(away, MASKED, 0.0), -float("inf"))
        at = here * (H * D) + head * D
        largest, total, out = attend_block(query, keys, values, at, add, d, largest, total, out, D)
    return tl.where((length > 0)[:, None], out / tl.maximum(total, 1e-30)[:, None], 0.0)


@triton.jit(do_not_specialize=["rows", "capacity", "cache_rows", "beams"])
def self_attention_kernel(
    query,
    keys,
    values,
    words,
    ancestry,
    positions,
    out,
    rows,
    capacity,
    cache_rows,
    beams,
    SCALE: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_T: tl.constexpr,
    D_PADDED: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    head = tl.program_id(1)
    d = tl.arange(0, D_PADDED)
    place = n[:, None] * (H * D) + head * D + d[None, :]
    inside = (n < rows)[:, None] & (d < D)[None, :]
    q = tl.load(query + place, mask=inside, other=0.0).to(tl.float32) * SCALE
    position = tl.load(positions + n, mask=n < rows, other=0)
    heads = attend_history(
        q, keys, values, words, ancestry, n, position, rows, capacity, cache_rows, beams, head,
        H, D, BLOCK_N, BLOCK_T, D_PADDED,
    )  # fmt: skip
    tl.store(out + place, narrow(heads, query.dtype.element_ty, INTERPRETED), mask=inside)


@triton.jit(do_not_specialize=["rows", "source", "beams"])
def memory_attention_kernel(
    query,
    keys,
    values,
    masked,
    lengths,
    out,
    rows,
    source,
    beams,
    SCALE: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_T: tl.constexpr,
    D_PADDED: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    head = tl.program_id(1)
    d = tl.arange(0, D_PADDED)
    place = n[:, None] * (H * D) + head * D + d[None, :]
    inside = (n < rows)[:, None] & (d < D)[None, :]
    q = tl.load(query + place, mask=inside, other=0.0).to(tl.float32) * SCALE
    heads = attend_memory(
        q, keys, values, masked, lengths, n, rows, source, beams, head, H, D, BLOCK_N, BLOCK_T, D_PADDED
    )
    tl.store(out + place, narrow(heads, query.dtype.element_ty, INTERPRETED), mask=inside)


def self_attention(query: Tensor, keys: Tensor, values: Tensor, history: History, dialogues: int) -> Tensor:
    """Contract of `plain.self_attention`, in float32, float16 or bfloat16; sums are float32."""
    rows, heads, depth = query.shape
    assert keys.stride() == values.stride()
    out = torch.empty_like(query)
    if rows:
        self_attention_kernel[(blocks(rows, ROWS), heads)](
            query,
            keys,
            values,
            history.words,
            history.ancestry,
            history.positions,
            out,
            rows,
            history.words.shape[1],
            keys.stride(0) // (heads * depth),
            rows // dialogues,
            SCALE=depth**-0.5,
            H=heads,
            D=depth,
            BLOCK_N=ROWS,
            BLOCK_T=POSITIONS,
            D_PADDED=triton.next_power_of_2(depth),
            INTERPRETED=INTERPRETED,
            **FUSED,
        )
    return out


def memory_attention(query: Tensor, keys: Tensor, values: Tensor, masked: Tensor, lengths: Tensor) -> Tensor:
    """Contract of `plain.memory_attention`, in float32, float16 or bfloat16; sums are float32."""
    rows, heads, depth = query.shape
    out = torch.empty_like(query)
    if rows:
        memory_attention_kernel[(blocks(rows, ROWS), heads)](
            query,
            keys,
            values,
            masked,
            lengths,
            out,
            rows,
            keys.shape[1],
            rows // len(keys),
            SCALE=depth**-0.5,
            H=heads,
            D=depth,
            BLOCK_N=ROWS,
            BLOCK_T=POSITIONS,
            D_PADDED=triton.next_power_of_2(depth),
            INTERPRETED=INTERPRETED,
            **FUSED,
        )
    return out
