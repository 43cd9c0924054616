"""What `decoder_step` does to the rows of a program besides attention: norms, projections, causal convolutions."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from mime_fast.kernels.tiles import linear_tile, multiply_add, narrow, relu


@triton.jit
def norm_rows(x, weight, bias, c, C: tl.constexpr, UNBIASED: tl.constexpr):
    """PyTorch's LayerNorm of x [n, c], 0 beyond C, or the released code's."""
    centred = tl.where((c < C)[None, :], x - (tl.sum(x, axis=1) / C)[:, None], 0.0)
    squares = tl.sum(centred * centred, axis=1)
    if UNBIASED:
        scaled = centred / (tl.sqrt_rn(squares / (C - 1)) + 1e-6)[:, None]
    else:
        scaled = centred / tl.sqrt_rn(squares / C + 1e-5)[:, None]
    w = tl.load(weight + c, mask=c < C, other=0.0).to(tl.float32)
    b = tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)
    return scaled * w[None, :] + b[None, :]


@triton.jit
def project_rows(
    source,
    weight,
    n,
    c,
    x,
    rows,
    DEPTH: tl.constexpr,
    SOURCE_STRIDE: tl.constexpr,
    C: tl.constexpr,
    BLOCK_K: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """x + source[n, :DEPTH] weight[:, :DEPTH]^T over all C columns."""
    for start in range(0, DEPTH, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(
            source + n[:, None] * SOURCE_STRIDE + k[None, :],
            mask=(n < rows)[:, None] & (k < DEPTH)[None, :],
            other=0.0,
        )
        b = tl.load(weight + c[None, :] * DEPTH + k[:, None], mask=(c < C)[None, :] & (k < DEPTH)[:, None], other=0.0)
        x = multiply_add(a, b, x, INTERPRETED)
    return x


@triton.jit
def look_back(
    cache,
    columns,
    inside,
    n,
    position,
    ancestry,
    rows,
    capacity,
    cache_rows,
    beams,
    BACK: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """What the rows' histories have BACK positions ago in a cache [3, N, WIDTH]; 0 before the start."""
    seen = (position >= BACK) & (n < rows)
    before = tl.maximum(position - BACK, 0)
    beam = tl.load(ancestry + n * capacity + before, mask=seen, other=0)
    at = ((before % 3) * cache_rows + n // beams * beams + beam) * WIDTH
    return tl.load(cache + at[:, None] + columns[None, :], mask=seen[:, None] & inside[None, :], other=0.0)


@triton.jit
def feed_forward(
    normed,  # scratch, row stride SCRATCH
    newest,  # scratch for [rows, channels]
    x,
    conv1,
    conv1_bias,
    conv2,
    conv2_bias,
    taps,
    hiddens,
    ancestry,
    n,
    c,
    position,
    rows,
    capacity,
    cache_rows,
    beams,
    C: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    CONV2_DEPTH: tl.constexpr,
    SCRATCH: tl.constexpr,
    FINAL_RELU: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_J: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    C_PADDED: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """x + two causal convolutions of width 3; `taps` and `hiddens` get what the next two positions need."""
    dtype = normed.dtype.element_ty
    live = (n < rows)[:, None]
    slot = position % 3
    for start in range(0, 3 * CHANNELS, BLOCK_J):
        j = start + tl.arange(0, BLOCK_J)
        part = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
        part = linear_tile(
            normed, conv1, n, j, part, rows, 3 * CHANNELS, COLUMNS, SCRATCH, COLUMNS, BLOCK_K, INTERPRETED
        )
        kept = ((slot * cache_rows + n) * (2 * CHANNELS))[:, None] + j[None, :]
        tl.store(taps + kept, part, mask=live & (j < 2 * CHANNELS)[None, :])
        here = n[:, None] * CHANNELS + (j - 2 * CHANNELS)[None, :]
        tl.store(newest + here, part, mask=live & ((j >= 2 * CHANNELS) & (j < 3 * CHANNELS))[None, :])
    tl.debug_barrier()
    out = tl.zeros([BLOCK_N, C_PADDED], tl.float32)
    for start in range(0, CHANNELS, BLOCK_D):
        k = start + tl.arange(0, BLOCK_D)
        inside = k < CHANNELS
        older = look_back(taps, k, inside, n, position, ancestry, rows, capacity, cache_rows, beams, 2, 2 * CHANNELS)
        old = look_back(
            taps + CHANNELS, k, inside, n, position, ancestry, rows, capacity, cache_rows, beams, 1, 2 * CHANNELS
        )
        new = tl.load(newest + n[:, None] * CHANNELS + k[None, :], mask=live & inside[None, :], other=0.0)
        bias = tl.load(conv1_bias + k, mask=inside, other=0.0).to(tl.float32)[None, :]
        hidden = narrow(relu(new + old + older + bias), dtype, INTERPRETED)
        kept = ((slot * cache_rows + n) * CHANNELS)[:, None] + k[None, :]
        tl.store(hiddens + kept, hidden, mask=live & inside[None, :])
        for back in tl.static_range(3):
            if back > 0:
                hidden = look_back(
                    hiddens, k, inside, n, position, ancestry, rows, capacity, cache_rows, beams, back, CHANNELS
                )
            tap = conv2 + (2 - back) * C * CONV2_DEPTH + c[None, :] * CONV2_DEPTH + k[:, None]
            if CONV2_DEPTH % BLOCK_D == 0:
                weight = tl.load(tap, mask=(c < C)[None, :], other=0.0)
            else:
                weight = tl.load(tap, mask=(c < C)[None, :] & inside[:, None], other=0.0)
            out = multiply_add(hidden, weight, out, INTERPRETED)
    out += tl.load(conv2_bias + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    if FINAL_RELU:
        out = relu(out)
    return x + out
