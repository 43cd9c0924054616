"""All logits (eq. 29) in float32, for what looks at every word: sampling, penalties, more candidates than a list."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mime_fast.kernels.tiles import INTERPRETED, Tiles, active_rows, blocks
from mime_fast.kernels.vocab_tiles import logits_tile, vocab_tiles


@triton.jit(do_not_specialize=["rows", "beams"])
def vocab_logits_kernel(
    hidden,
    weight,
    bias,
    active,
    logits,  # [rows, V]
    rows,
    beams,
    C: tl.constexpr,
    V: tl.constexpr,
    EVERY: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_K: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    if tl.max(active_rows(n, rows, active, beams, EVERY).to(tl.int32), axis=0) == 0:
        return
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    tile = logits_tile(hidden, weight, bias, n, v, rows, C, V, BLOCK_N, BLOCK_V, BLOCK_K, INTERPRETED)
    tl.store(logits + n[:, None] * V + v[None, :], tile, mask=(n < rows)[:, None] & (v < V)[None, :])


def vocab_logits(
    hidden: Tensor, weight: Tensor, bias: Tensor, active: Tensor | None = None, *, tiles: Tiles | None = None
) -> Tensor:
    """Contract of `plain.vocab_logits`, in float32, float16 or bfloat16; logits and sums are float32."""
    rows, size = hidden.shape
    cut = tiles or vocab_tiles(hidden.dtype)
    logits = torch.empty((rows, len(weight)), dtype=torch.float32, device=hidden.device)
    if rows:
        vocab_logits_kernel[(blocks(rows, cut.rows), blocks(len(weight), cut.columns))](
            hidden,
            weight,
            bias,
            weight if active is None else active,
            logits,
            rows,
            1 if active is None else rows // len(active),
            C=size,
            V=len(weight),
            EVERY=active is None,
            BLOCK_N=cut.rows,
            BLOCK_V=cut.columns,
            BLOCK_K=cut.depth,
            INTERPRETED=INTERPRETED,
            **cut.launch,
        )
    return logits
