"""An encoder (eq. 2, 22-23), all its layers, in one launch: a program takes a sequence through them, rows by blocks.

What a block's rows are, and what they give to others, goes through memory of the sequence's own rows: a barrier is
between writing and reading it. So nothing is padded but the last block of a sequence, and nothing depends on others.
"""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mime_fast.kernels.encoder_parts import add, attend, convolve, norm_into
from mime_fast.kernels.encoder_weights import EncoderWeights
from mime_fast.kernels.plain_encoder import Sequences
from mime_fast.kernels.tiles import INTERPRETED, Tiles, linear_tile, narrow, padded, relu

POSITIONS = {torch.float32: 16, torch.float16: 64, torch.bfloat16: 64}  # of a block of keys


def encoder_tiles(dtype: torch.dtype) -> Tiles:
    """The default tiles; `rows` are those of a sequence that are in registers at a time."""
    if dtype == torch.float32:
        return Tiles(rows=16, columns=32, depth=16, warps=8, stages=2)
    return Tiles(rows=64, columns=64, depth=64, warps=4, stages=3)


@triton.jit(do_not_specialize=["rows", "sequences"])
def encoder_kernel(
    first,
    first_rows,
    second,
    second_rows,
    positions,
    starts,
    ends,
    seen,
    norm1_weight,
    norm1_bias,
    matrices,
    output,
    norm2_weight,
    norm2_bias,
    conv1,
    conv1_bias,
    conv2,
    conv2_bias,
    norm_weight,
    norm_bias,
    onward,
    x,  # float32 [G, N, C]
    scratch,  # [G, N, STRIDE]: normed rows; queries, keys, values; heads; hidden channels
    found,  # [G, N, C], or [G, N, ONWARD]
    vectors,  # float32 [G, B, C]
    rows,
    sequences,
    ENCODERS: tl.constexpr,
    LAYERS: tl.constexpr,
    SCALE: tl.constexpr,
    C: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    CHANNELS: tl.constexpr,
    DEEP: tl.constexpr,  # CHANNELS, and the zeros after them
    UNBIASED: tl.constexpr,
    FINAL_RELU: tl.constexpr,
    COLUMNS: tl.constexpr,  # C', of matrices that C columns go into, and of the normed rows: 0 beyond C
    ONWARD: tl.constexpr,  # 0: nothing
    D_PADDED: tl.constexpr,
    DEEP_PADDED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_J: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_T: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    dtype = scratch.dtype.element_ty
    HD: tl.constexpr = H * D
    STRIDE: tl.constexpr = COLUMNS + 4 * HD + DEEP
    sequence, g = tl.program_id(0), tl.program_id(1)
    start, end = tl.load(starts + sequence), tl.load(ends + sequence)
    x += g * rows * C
    scratch += g * rows * STRIDE
    queries, heads, hidden = scratch + COLUMNS, scratch + COLUMNS + 3 * HD, scratch + COLUMNS + 4 * HD
    d, h = tl.arange(0, D_PADDED), tl.arange(0, DEEP_PADDED)
    for block in range(start, end, BLOCK_N):
        n = block + tl.arange(0, BLOCK_N)
        a = tl.load(first_rows + g * rows + n, mask=n < end, other=0)
        b = tl.load(second_rows + g * rows + n, mask=n < end, other=0)
        for at in range(0, C, BLOCK_J):
            j = at + tl.arange(0, BLOCK_J)
            inside = (n < end)[:, None] & (j < C)[None, :]
            stream = tl.load(first + a[:, None] * C + j[None, :], mask=inside, other=0.0).to(tl.float32)
            stream += tl.load(second + b[:, None] * C + j[None, :], mask=inside, other=0.0).to(tl.float32)
            stream += tl.load(positions + (n - start)[:, None] * C + j[None, :], mask=inside, other=0.0)
            tl.store(x + n[:, None] * C + j[None, :], stream, mask=inside)
    tl.debug_barrier()
    for layer in range(LAYERS):
        w = g % ENCODERS * LAYERS + layer
        for block in range(start, end, BLOCK_N):
            n = block + tl.arange(0, BLOCK_N)
            norm_into(
                x, norm1_weight + w * C, norm1_bias + w * C, n < end, scratch, n, end,
                C, COLUMNS, STRIDE, UNBIASED, BLOCK_N, BLOCK_J, INTERPRETED,
            )  # fmt: skip
            tl.debug_barrier()
            for at in range(0, 3 * HD, BLOCK_J):
                j = at + tl.arange(0, BLOCK_J)
                y = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
                y = linear_tile(
                    scratch, matrices + w * (3 * HD * COLUMNS), n, j, y, end, 3 * HD, COLUMNS, STRIDE, COLUMNS, BLOCK_K,
                    INTERPRETED,
                )  # fmt: skip
                inside = (n < end)[:, None] & (j < 3 * HD)[None, :]
                tl.store(queries + n[:, None] * STRIDE + j[None, :], narrow(y, dtype, INTERPRETED), mask=inside)
        tl.debug_barrier()
        for block in range(start, end, BLOCK_N):
            n = block + tl.arange(0, BLOCK_N)
            for head in range(H):
                own = n[:, None] * STRIDE + head * D + d[None, :]
                inside = (n < end)[:, None] & (d < D)[None, :]
                query = tl.load(queries + own, mask=inside, other=0.0)
                out = attend(
                    query, queries + HD + head * D, queries + 2 * HD + head * D, seen, start, end, d,
                    SCALE, D, STRIDE, BLOCK_N, BLOCK_T, D_PADDED, INTERPRETED,
                )  # fmt: skip
                tl.store(heads + own, narrow(out, dtype, INTERPRETED), mask=inside)
            tl.debug_barrier()
            for at in range(0, C, BLOCK_J):
                j = at + tl.arange(0, BLOCK_J)
                y = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
                y = linear_tile(heads, output + w * (C * HD), n, j, y, end, C, HD, STRIDE, HD, BLOCK_K, INTERPRETED)
                add(x, y, n, j, end, C)
            tl.debug_barrier()
            visible = tl.load(seen + n, mask=n < end, other=0) != 0
            norm_into(
                x, norm2_weight + w * C, norm2_bias + w * C, visible, scratch, n, end,
                C, COLUMNS, STRIDE, UNBIASED, BLOCK_N, BLOCK_J, INTERPRETED,
            )  # fmt: skip
        tl.debug_barrier()
        for block in range(start, end, BLOCK_N):
            n = block + tl.arange(0, BLOCK_N)
            y = tl.zeros([BLOCK_N, DEEP_PADDED], tl.float32)
            y = convolve(
                scratch, conv1 + w * (3 * CHANNELS * COLUMNS), n, h, y, start, end, CHANNELS, COLUMNS, STRIDE,
                CHANNELS * COLUMNS, BLOCK_K, INTERPRETED,
            )  # fmt: skip
            y += tl.load(conv1_bias + w * CHANNELS + h, mask=h < CHANNELS, other=0.0)[None, :]
            visible = tl.load(seen + n, mask=n < end, other=0) != 0
            tl.store(
                hidden + n[:, None] * STRIDE + h[None, :],
                narrow(tl.where(visible[:, None], relu(y), 0.0), dtype, INTERPRETED),
                mask=(n < end)[:, None] & (h < DEEP)[None, :],
            )
        tl.debug_barrier()
        for block in range(start, end, BLOCK_N):
            n = block + tl.arange(0, BLOCK_N)
            for at in range(0, C, BLOCK_J):
                j = at + tl.arange(0, BLOCK_J)
                y = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
                y = convolve(
                    hidden, conv2 + w * (3 * C * DEEP), n, j, y, start, end, C, DEEP, STRIDE, C * DEEP, BLOCK_K,
                    INTERPRETED,
                )  # fmt: skip
                y += tl.load(conv2_bias + w * C + j, mask=j < C, other=0.0)[None, :]
                if FINAL_RELU:
                    y = relu(y)
                add(x, y, n, j, end, C)
        tl.debug_barrier()
    e = g % ENCODERS
    one = start + tl.arange(0, 16)  # the least that `norm_into` takes
    vector = vectors + (g * sequences + sequence - start) * C
    norm_into(
        x, norm_weight + e * C, norm_bias + e * C, one < end, vector, one, tl.minimum(start + 1, end),
        C, C, C, UNBIASED, 16, BLOCK_J, INTERPRETED,
    )  # fmt: skip
    for block in range(start, end, BLOCK_N):
        n = block + tl.arange(0, BLOCK_N)
        if ONWARD == 0:
            norm_into(
                x, norm_weight + e * C, norm_bias + e * C, n < end, found + g * rows * C, n, end,
                C, C, C, UNBIASED, BLOCK_N, BLOCK_J, INTERPRETED,
            )  # fmt: skip
        else:
            norm_into(
                x, norm_weight + e * C, norm_bias + e * C, n < end, scratch, n, end,
                C, COLUMNS, STRIDE, UNBIASED, BLOCK_N, BLOCK_J, INTERPRETED,
            )  # fmt: skip
            tl.debug_barrier()
            for at in range(0, ONWARD, BLOCK_J):
                j = at + tl.arange(0, BLOCK_J)
                y = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
                y = linear_tile(scratch, onward, n, j, y, end, ONWARD, COLUMNS, STRIDE, COLUMNS, BLOCK_K, INTERPRETED)
                inside = (n < end)[:, None] & (j < ONWARD)[None, :]
                here = found + (g * rows + n)[:, None] * ONWARD + j[None, :]
                tl.store(here, narrow(y, dtype, INTERPRETED), mask=inside)


def encoder(
    first: Tensor,
    first_rows: Tensor,
    second: Tensor,
    second_rows: Tensor,
    sequences: Sequences,
    weights: EncoderWeights,
    *,
    tiles: Tiles | None = None,
) -> tuple[Tensor, Tensor]:
    """Contract of `plain.encoder`, in float32, float16 or bfloat16; sums, norms and the residual are float32."""
    streams, rows = first_rows.shape
    encoders, layers, _, width, columns = weights.matrices.shape
    size, heads, channels, deep = first.shape[1], weights.heads, weights.conv1.shape[3], weights.conv2.shape[-1]
    cut = tiles or encoder_tiles(weights.matrices.dtype)
    like = weights.matrices
    onward = 0 if weights.onward is None else len(weights.onward)
    scratch = like.new_empty((streams, rows, columns + 4 * width + deep))
    assert scratch.numel() < 2**31, "offsets are 32 bits wide"
    found = like.new_zeros((streams, rows, onward or size))
    vectors = torch.zeros((streams, len(sequences.starts), size), dtype=torch.float32, device=like.device)
    encoder_kernel[(len(sequences.starts), streams)](
        first,
        first_rows,
        second,
        second_rows,
        weights.positions,
        sequences.starts,
        sequences.ends,
        sequences.seen,
        weights.norm1_weight,
        weights.norm1_bias,
        weights.matrices,
        weights.output,
        weights.norm2_weight,
        weights.norm2_bias,
        weights.conv1,
        weights.conv1_bias,
        weights.conv2,
        weights.conv2_bias,
        weights.norm_weight,
        weights.norm_bias,
        weights.matrices if weights.onward is None else weights.onward,
        torch.empty((streams, rows, size), dtype=torch.float32, device=like.device),
        scratch,
        found,
        vectors,
        rows,
        len(sequences.starts),
        ENCODERS=encoders,
        LAYERS=layers,
        SCALE=(width // heads) ** -0.5,
        C=size,
        H=heads,
        D=width // heads,
        CHANNELS=channels,
        DEEP=deep,
        UNBIASED=weights.unbiased_norm,
        FINAL_RELU=weights.final_relu,
        COLUMNS=columns,
        ONWARD=onward,
        D_PADDED=padded(width // heads),
        DEEP_PADDED=padded(deep),
        BLOCK_N=cut.rows,
        BLOCK_J=cut.columns,
        BLOCK_K=cut.depth,
        BLOCK_T=POSITIONS[like.dtype],
        INTERPRETED=INTERPRETED,
        **cut.launch,
    )
    return found, vectors
