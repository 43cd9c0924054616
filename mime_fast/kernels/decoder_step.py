"""One decoding step (eq. 28), one launch a layer: a program takes 16 rows through norms, attentions and convolutions.

A block's residual stream stays in registers, in float32. What its products read goes through a scratch buffer of the
program's own rows: a barrier is between writing and reading it.
"""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mime_fast.kernels.decoder_attention import attend_history, attend_memory
from mime_fast.kernels.decoder_rows import feed_forward, norm_rows, project_rows
from mime_fast.kernels.plain_decoder import History
from mime_fast.kernels.tiles import INTERPRETED, Tiles, active_rows, blocks, linear_tile, narrow, padded
from mime_fast.kernels.weights import DecoderCache, DecoderLayerWeights, DecoderWeights

POSITIONS = 16  # of a block of keys
NARROW = 16  # depth of the products that have all C columns


def decoder_step_tiles(dtype: torch.dtype) -> Tiles:
    """The default tiles; a program holds all C columns of its rows."""
    if dtype == torch.float32:
        return Tiles(rows=16, columns=32, depth=16, warps=8, stages=2)
    return Tiles(rows=16, columns=128, depth=32, warps=8, stages=3)


@triton.jit(do_not_specialize=["rows", "capacity", "cache_rows", "source", "beams"])
def decoder_layer_kernel(
    x,  # float32 [N, C], between layers
    words,
    ancestry,
    positions,
    active,
    memory_masked,
    memory_lengths,
    word_table,
    position_table,
    norm1_weight,
    norm1_bias,
    self_matrices,
    self_output,
    norm2_weight,
    norm2_bias,
    memory_query,
    memory_output,
    norm3_weight,
    norm3_bias,
    conv1,
    conv1_bias,
    conv2,
    conv2_bias,
    norm_weight,
    norm_bias,
    keys,
    values,
    taps,
    hiddens,
    memory_keys,
    memory_values,
    scratch,  # [N, SCRATCH]: normed rows, queries, heads
    newest,  # float32 [N, CHANNELS]
    hidden,  # O, [N, COLUMNS], 0 beyond C
    rows,
    capacity,
    cache_rows,
    source,
    beams,
    SCALE: tl.constexpr,
    C: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    CHANNELS: tl.constexpr,
    CONV2_DEPTH: tl.constexpr,  # CHANNELS, and the zeros after them
    UNBIASED: tl.constexpr,
    FINAL_RELU: tl.constexpr,
    EVERY: tl.constexpr,
    FIRST: tl.constexpr,
    LAST: tl.constexpr,
    COLUMNS: tl.constexpr,  # C', of matrices that C columns go into, and of the normed rows: 0 beyond C
    C_PADDED: tl.constexpr,
    D_PADDED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_J: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_T: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    dtype = scratch.dtype.element_ty
    HD: tl.constexpr = H * D
    SCRATCH: tl.constexpr = COLUMNS + 2 * HD
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    if tl.max(active_rows(n, rows, active, beams, EVERY).to(tl.int32), axis=0) == 0:
        return
    c, d = tl.arange(0, C_PADDED), tl.arange(0, D_PADDED)
    live = (n < rows)[:, None]
    whole, deep = live & (c < C)[None, :], live & (c < COLUMNS)[None, :]
    position = tl.load(positions + n, mask=n < rows, other=0)
    if FIRST:
        word = tl.load(words + n * capacity + position, mask=n < rows, other=0)
        stream = tl.load(word_table + word[:, None] * C + c[None, :], mask=whole, other=0.0)
        stream += tl.load(position_table + position[:, None] * C + c[None, :], mask=whole, other=0.0)
    else:
        stream = tl.load(x + n[:, None] * C + c[None, :], mask=whole, other=0.0)
    normed = scratch + n[:, None] * SCRATCH + c[None, :]
    queries, heads = scratch + COLUMNS, scratch + COLUMNS + HD
    tl.store(normed, narrow(norm_rows(stream, norm1_weight, norm1_bias, c, C, UNBIASED), dtype, INTERPRETED), mask=deep)
    tl.debug_barrier()
    slot = ((position * cache_rows + n) * HD)[:, None]
    for start in range(0, 3 * HD, BLOCK_J):
        j = (start + tl.arange(0, BLOCK_J))[None, :]
        y = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
        at = start + tl.arange(0, BLOCK_J)
        y = linear_tile(scratch, self_matrices, n, at, y, rows, 3 * HD, COLUMNS, SCRATCH, COLUMNS, BLOCK_K, INTERPRETED)
        y = narrow(y, dtype, INTERPRETED)
        tl.store(queries + n[:, None] * SCRATCH + j, y, mask=live & (j < HD))
        tl.store(keys + slot + (j - HD), y, mask=live & (j >= HD) & (j < 2 * HD))
        tl.store(values + slot + (j - 2 * HD), y, mask=live & (j >= 2 * HD) & (j < 3 * HD))
    tl.debug_barrier()
    for head in range(H):
        own = n[:, None] * SCRATCH + head * D + d[None, :]
        inside = live & (d < D)[None, :]
        q = tl.load(queries + own, mask=inside, other=0.0).to(tl.float32) * SCALE
        out = attend_history(
            q, keys, values, words, ancestry, n, position, rows, capacity, cache_rows, beams, head,
            H, D, BLOCK_N, BLOCK_T, D_PADDED,
        )  # fmt: skip
        tl.store(heads + own, narrow(out, dtype, INTERPRETED), mask=inside)
    tl.debug_barrier()
    stream = project_rows(heads, self_output, n, c, stream, rows, HD, SCRATCH, C, BLOCK_D, INTERPRETED)
    tl.store(normed, narrow(norm_rows(stream, norm2_weight, norm2_bias, c, C, UNBIASED), dtype, INTERPRETED), mask=deep)
    tl.debug_barrier()
    for start in range(0, HD, BLOCK_J):
        at = start + tl.arange(0, BLOCK_J)
        y = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
        y = linear_tile(scratch, memory_query, n, at, y, rows, HD, COLUMNS, SCRATCH, COLUMNS, BLOCK_K, INTERPRETED)
        tl.store(
            queries + n[:, None] * SCRATCH + at[None, :], narrow(y, dtype, INTERPRETED), mask=live & (at < HD)[None, :]
        )
    tl.debug_barrier()
    for head in range(H):
        own = n[:, None] * SCRATCH + head * D + d[None, :]
        inside = live & (d < D)[None, :]
        q = tl.load(queries + own, mask=inside, other=0.0).to(tl.float32) * SCALE
        out = attend_memory(
            q, memory_keys, memory_values, memory_masked, memory_lengths, n, rows, source, beams, head,
            H, D, BLOCK_N, BLOCK_T, D_PADDED,
        )  # fmt: skip
        tl.store(heads + own, narrow(out, dtype, INTERPRETED), mask=inside)
    tl.debug_barrier()
    stream = project_rows(heads, memory_output, n, c, stream, rows, HD, SCRATCH, C, BLOCK_D, INTERPRETED)
    tl.store(normed, narrow(norm_rows(stream, norm3_weight, norm3_bias, c, C, UNBIASED), dtype, INTERPRETED), mask=deep)
    tl.debug_barrier()
    stream = feed_forward(
        scratch, newest, stream, conv1, conv1_bias, conv2, conv2_bias, taps, hiddens, ancestry, n, c, position, rows,
        capacity, cache_rows, beams, C, COLUMNS, CHANNELS, CONV2_DEPTH, SCRATCH, FINAL_RELU, BLOCK_N, BLOCK_J, BLOCK_K,
        BLOCK_D, C_PADDED, INTERPRETED,
    )  # fmt: skip
    if LAST:
        stream = norm_rows(stream, norm_weight, norm_bias, c, C, UNBIASED)
        tl.store(hidden + n[:, None] * COLUMNS + c[None, :], narrow(stream, dtype, INTERPRETED), mask=deep)
    else:
        tl.store(x + n[:, None] * C + c[None, :], stream, mask=whole)


def decoder_step(
    history: History,
    memory_masked: Tensor,
    memory_lengths: Tensor,
    weights: DecoderWeights,
    caches: tuple[DecoderCache, ...],
    active: Tensor | None = None,
    *,
    tiles: Tiles | None = None,
) -> Tensor:
    """Contract of `plain.decoder_step`, in float32, float16 or bfloat16; sums, norms and the residual are float32."""
    rows, size = len(history.positions), weights.words.shape[1]
    like = caches[0].keys
    x = torch.empty((rows, size), dtype=torch.float32, device=like.device)
    hidden = like.new_empty((rows, weights.columns))
    cut = tiles or decoder_step_tiles(like.dtype)
    for i, (layer, cache) in enumerate(zip(weights.layers, caches, strict=True)):
        if rows:
            first, last = i == 0, i == len(caches) - 1
            _launch(x, hidden, history, active, memory_masked, memory_lengths, weights, layer, cache, first, last, cut)
    return hidden


def _launch(
    x: Tensor,
    hidden: Tensor,
    history: History,
    active: Tensor | None,
    memory_masked: Tensor,
    memory_lengths: Tensor,
    weights: DecoderWeights,
    layer: DecoderLayerWeights,
    cache: DecoderCache,
    first: bool,
    last: bool,
    cut: Tiles,
) -> None:
    rows, size = x.shape
    _, _, heads, depth = cache.keys.shape
    channels = cache.hiddens.shape[-1]
    cache_rows = cache.keys.stride(0) // (heads * depth)
    widths = {"keys": heads * depth, "values": heads * depth, "taps": 2 * channels, "hiddens": channels}
    assert all(getattr(cache, name).stride(0) == cache_rows * width for name, width in widths.items())
    assert len(cache.keys) * cache.keys.stride(0) < 2**31, "offsets into a cache are 32 bits wide"
    scratch = cache.keys.new_empty((rows, weights.columns + 2 * heads * depth))
    newest = torch.empty((rows, channels), dtype=torch.float32, device=x.device)
    decoder_layer_kernel[(blocks(rows, cut.rows),)](
        x,
        history.words,
        history.ancestry,
        history.positions,
        history.positions if active is None else active,
        memory_masked,
        memory_lengths,
        weights.words,
        weights.positions,
        layer.norm1_weight,
        layer.norm1_bias,
        layer.self_matrices,
        layer.output,
        layer.norm2_weight,
        layer.norm2_bias,
        layer.memory_query,
        layer.memory_output,
        layer.norm3_weight,
        layer.norm3_bias,
        layer.conv1,
        layer.conv1_bias,
        layer.conv2,
        layer.conv2_bias,
        weights.norm_weight,
        weights.norm_bias,
        cache.keys,
        cache.values,
        cache.taps,
        cache.hiddens,
        cache.memory_keys,
        cache.memory_values,
        scratch,
        newest,
        hidden,
        rows,
        history.words.shape[1],
        cache_rows,
        cache.memory_keys.shape[1],
        rows // len(cache.memory_keys),
        SCALE=depth**-0.5,
        C=size,
        H=heads,
        D=depth,
        CHANNELS=channels,
        CONV2_DEPTH=layer.conv2.shape[2],
        UNBIASED=weights.unbiased_norm,
        FINAL_RELU=weights.final_relu,
        EVERY=active is None,
        FIRST=first,
        LAST=last,
        COLUMNS=weights.columns,
        C_PADDED=padded(max(size, weights.columns)),
        D_PADDED=triton.next_power_of_2(depth),
        BLOCK_N=cut.rows,
        BLOCK_J=cut.columns,
        BLOCK_K=cut.depth,
        BLOCK_D=NARROW,
        BLOCK_T=POSITIONS,
        INTERPRETED=INTERPRETED,
        **cut.launch,
    )
