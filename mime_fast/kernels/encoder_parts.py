"""What the encoder's program does to a block of rows: attention, a convolution, sums and norms."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from mime_fast.kernels.tiles import multiply_add, narrow
from mime_fast.kernels.weights import MASKED_SCORE

MASKED = tl.constexpr(MASKED_SCORE)


@triton.jit
def attend(
    query,  # [n, d]
    keys,
    values,
    seen,
    start,
    end,
    d,
    SCALE: tl.constexpr,
    D: tl.constexpr,
    STRIDE: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_T: tl.constexpr,
    D_PADDED: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """Heads' output [n, d] of the rows from `start` to `end`, a block of them at a time with a running maximum."""
    dtype = keys.dtype.element_ty
    largest = tl.full([BLOCK_N], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK_N], tl.float32)
    out = tl.zeros([BLOCK_N, D_PADDED], tl.float32)
    for first in range(start, end, BLOCK_T):
        t = first + tl.arange(0, BLOCK_T)
        inside = t < end
        k = tl.load(keys + t[None, :] * STRIDE + d[:, None], mask=inside[None, :] & (d < D)[:, None], other=0.0)
        scores = multiply_add(query, k, tl.zeros([BLOCK_N, BLOCK_T], tl.float32), INTERPRETED) * SCALE
        visible = tl.load(seen + t, mask=inside, other=0) != 0
        scores = tl.where(visible[None, :], scores, tl.where(inside, MASKED, -float("inf"))[None, :])
        top = tl.maximum(largest, tl.max(scores, axis=1))
        shares = tl.exp(scores - top[:, None])
        fading = tl.exp(largest - top)
        v = tl.load(values + t[:, None] * STRIDE + d[None, :], mask=inside[:, None] & (d < D)[None, :], other=0.0)
        total = total * fading + tl.sum(shares, axis=1)
        out = multiply_add(narrow(shares, dtype, INTERPRETED), v, out * fading[:, None], INTERPRETED)
        largest = top
    return out / total[:, None]


@triton.jit
def convolve(
    source,
    taps,  # a matrix [columns, DEPTH] a tap
    n,
    j,
    out,
    start,
    end,
    columns,
    DEPTH: tl.constexpr,
    STRIDE: tl.constexpr,
    TAP: tl.constexpr,
    BLOCK_K: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """out + a convolution of width 3 over the rows from `start` to `end`, columns j of it: centred, 0 beyond them."""
    STEPS: tl.constexpr = (DEPTH + BLOCK_K - 1) // BLOCK_K
    for step in range(3 * STEPS):
        tap = step // STEPS
        k = step % STEPS * BLOCK_K + tl.arange(0, BLOCK_K)
        at = n + tap - 1
        inside, there = ((at >= start) & (at < end))[:, None], (j < columns)[None, :]
        if DEPTH % BLOCK_K != 0:
            inside, there = inside & (k < DEPTH)[None, :], there & (k < DEPTH)[:, None]
        a = tl.load(source + at[:, None] * STRIDE + k[None, :], mask=inside, other=0.0)
        b = tl.load(taps + tap * TAP + j[None, :] * DEPTH + k[:, None], mask=there, other=0.0)
        out = multiply_add(a, b, out, INTERPRETED)
    return out


@triton.jit
def add(x, y, n, j, end, C: tl.constexpr):
    """Columns j of rows n of x, up to `end`, and y."""
    here, inside = x + n[:, None] * C + j[None, :], (n < end)[:, None] & (j < C)[None, :]
    tl.store(here, tl.load(here, mask=inside, other=0.0) + y, mask=inside)


@triton.jit
def norm_into(
    x,
    weight,
    bias,
    kept,
    to,
    n,
    end,
    C: tl.constexpr,
    COLUMNS: tl.constexpr,
    STRIDE: tl.constexpr,
    UNBIASED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_J: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """PyTorch's LayerNorm of rows n of x, or the released code's: to `to`, 0 beyond C, and where not `kept` [n]."""
    live = (n < end)[:, None]
    total = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
    for at in range(0, C, BLOCK_J):
        c = at + tl.arange(0, BLOCK_J)
        total += tl.load(x + n[:, None] * C + c[None, :], mask=live & (c < C)[None, :], other=0.0)
    mean = (tl.sum(total, axis=1) / C)[:, None]
    total = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
    for at in range(0, C, BLOCK_J):
        c = at + tl.arange(0, BLOCK_J)
        inside = live & (c < C)[None, :]
        centred = tl.where(inside, tl.load(x + n[:, None] * C + c[None, :], mask=inside, other=0.0) - mean, 0.0)
        total += centred * centred
    squares = tl.sum(total, axis=1)
    scale = 1.0 / (tl.sqrt_rn(squares / (C - 1)) + 1e-6) if UNBIASED else 1.0 / tl.sqrt_rn(squares / C + 1e-5)
    for at in range(0, COLUMNS, BLOCK_J):
        c = at + tl.arange(0, BLOCK_J)
        there = (c < C)[None, :]
        row = tl.load(x + n[:, None] * C + c[None, :], mask=live & there, other=0.0)
        w, b = tl.load(weight + c, mask=c < C, other=0.0), tl.load(bias + c, mask=c < C, other=0.0)
        y = tl.where(there & kept[:, None], (row - mean) * scale[:, None] * w[None, :] + b[None, :], 0.0)
        tl.store(
            to + n[:, None] * STRIDE + c[None, :],
            narrow(y, to.dtype.element_ty, INTERPRETED),
            mask=live & (c < COLUMNS)[None, :],
        )
