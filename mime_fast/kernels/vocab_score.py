"""Log-probs of given words (eq. 29) without logits in memory."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mime_fast.kernels.tiles import FUSED, INTERPRETED, Tiles, blocks
from mime_fast.kernels.vocab_tiles import log_sum_exp, logits_tile, store_sums, vocab_tiles


@triton.jit(do_not_specialize=["rows"])
def vocab_score_kernel(
    hidden,
    weight,
    bias,
    targets,
    largest,  # [rows, TILES]
    sums,  # [rows, TILES]
    chosen,  # the targets' logits, [rows]
    rows,
    C: tl.constexpr,
    V: tl.constexpr,
    TILES: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_K: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    tile = tl.program_id(1)
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    v = tile * BLOCK_V + tl.arange(0, BLOCK_V)
    logits = logits_tile(hidden, weight, bias, n, v, rows, C, V, BLOCK_N, BLOCK_V, BLOCK_K, INTERPRETED)
    store_sums(logits, tl.max(logits, axis=1), largest, sums, n, tile, rows, TILES, INTERPRETED)
    target = tl.load(targets + n, mask=n < rows, other=-1)
    mine = (target >= tile * BLOCK_V) & (target < tile * BLOCK_V + BLOCK_V)
    logit = tl.sum(tl.where(v[None, :] == target[:, None], logits, 0.0), axis=1)
    tl.store(chosen + n, logit, mask=mine & (n < rows))


@triton.jit
def finish_kernel(largest, sums, chosen, log_probs, TILES: tl.constexpr, TILES_PADDED: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    total = log_sum_exp(largest, sums, row, TILES, TILES_PADDED)
    tl.store(log_probs + row, tl.load(chosen + row) - total)


def vocab_score(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, *, tiles: Tiles | None = None) -> Tensor:
    """Contract of `plain.vocab_score`, in float32, float16 or bfloat16; logits and sums are float32."""
    rows, size = hidden.shape
    cut = tiles or vocab_tiles(hidden.dtype)
    number = blocks(len(weight), cut.columns)
    largest, sums = (torch.empty((rows, number), dtype=torch.float32, device=hidden.device) for _ in range(2))
    chosen, log_probs = (torch.empty(rows, dtype=torch.float32, device=hidden.device) for _ in range(2))
    if rows:
        vocab_score_kernel[(blocks(rows, cut.rows), number)](
            hidden,
            weight,
            bias,
            targets,
            largest,
            sums,
            chosen,
            rows,
            C=size,
            V=len(weight),
            TILES=number,
            BLOCK_N=cut.rows,
            BLOCK_V=cut.columns,
            BLOCK_K=cut.depth,
            INTERPRETED=INTERPRETED,
            **cut.launch,
        )
        padded = triton.next_power_of_2(number)
        finish_kernel[(rows,)](
            largest, sums, chosen, log_probs, TILES=number, TILES_PADDED=padded, num_warps=1, **FUSED
        )
    return log_probs
