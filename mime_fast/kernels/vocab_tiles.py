"""What `vocab_topk` and `vocab_score` share: tiles of logits (eq. 29), and log-sum-exps in one fixed order.

The vocabulary is cut into tiles of a fixed number of words. A tile gives each row the largest logit and the sum of
exponentials relative to it; one program then adds up the row's tiles. So the order of a row's sum is a matter of V, C
and the dtype only, and a row's log-probs are the same bits in any batch.
"""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl

from mime_fast.kernels.tiles import Tiles, exp_of_few, linear_tile
from mime_fast.kernels.weights import VOCAB_TILES

NO_WORD = tl.constexpr(0x7FFFFFFF)  # greater than every id
NO_KEY = tl.constexpr(-0x7F800001 << 32)  # what `sort_key` gives -inf and NO_WORD


def vocab_tiles(dtype: torch.dtype) -> Tiles:
    """The default tiles, `rows` by `columns` words: a multiprocessor of an H100 holds two such programs."""
    depth, words = VOCAB_TILES[dtype]
    if dtype == torch.float32:
        return Tiles(rows=32, columns=words, depth=depth, warps=4, stages=2)
    return Tiles(rows=64, columns=words, depth=depth, warps=4, stages=3)


@triton.jit
def logits_tile(
    hidden,
    weight,
    bias,
    n,
    v,
    rows,
    C: tl.constexpr,
    V: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_K: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """Logits of rows n and words v, float32 [BLOCK_N, BLOCK_V]; -inf beyond V, which a packed bias has itself."""
    WHOLE: tl.constexpr = V % BLOCK_V == 0
    logits = tl.zeros([BLOCK_N, BLOCK_V], tl.float32)
    logits = linear_tile(hidden, weight, n, v, logits, rows, V, C, C, C, BLOCK_K, INTERPRETED, WHOLE)
    if WHOLE:
        return logits + tl.load(bias + v).to(tl.float32)[None, :]
    logits += tl.load(bias + v, mask=v < V, other=0.0).to(tl.float32)[None, :]
    return tl.where((v < V)[None, :], logits, -float("inf"))


@triton.jit
def store_sums(logits, top, largest, sums, n, tile, rows, TILES: tl.constexpr, INTERPRETED: tl.constexpr):
    """A tile's largest logits, `top`, and sums of exponentials above them, to [rows, TILES]; NaN stays in the sum."""
    shift = tl.where(top == -float("inf"), 0.0, top)
    tl.store(largest + n * TILES + tile, top, mask=n < rows)
    tl.store(sums + n * TILES + tile, tl.sum(exp_of_few(logits - shift[:, None], INTERPRETED), axis=1), mask=n < rows)


@triton.jit
def log_sum_exp(largest, sums, row, TILES: tl.constexpr, TILES_PADDED: tl.constexpr):
    """Of one row, from all its tiles; NaN where log_softmax would be NaN."""
    i = tl.arange(0, TILES_PADDED)
    tops = tl.load(largest + row * TILES + i, mask=i < TILES, other=-float("inf"))
    parts = tl.load(sums + row * TILES + i, mask=i < TILES, other=0.0)
    top = tl.max(tops, axis=0)
    parts = tl.where(tops == -float("inf"), parts, parts * tl.exp(tops - top))  # a part of NaN stays
    total = top + tl.log(tl.sum(parts, axis=0))
    return tl.where(total == -float("inf"), float("nan"), total)


@triton.jit
def ordered_bits(value):
    """An int32 that is larger for a larger value; not for NaN."""
    bits = tl.where(value == 0.0, 0.0, value).to(tl.int32, bitcast=True)  # -0 and 0 are equal
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def sort_key(value, word):
    """An int64 that is larger for a larger value, and of equal values for a lower word; not for NaN."""
    return (ordered_bits(value).to(tl.int64) << 32) | (~word & 0x7FFFFFFF).to(tl.int64)


@triton.jit
def key_value(key):
    """The value of a sort key."""
    ordered = (key >> 32).to(tl.int32)
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def key_word(key):
    """The word of a sort key."""
    return (~key & 0x7FFFFFFF).to(tl.int32)
