"""Gate fusion (eq. 24-27) in one pass: neither [M ; M~] nor the gate, 2C wide, is written to memory."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mime_fast.kernels.tiles import INTERPRETED, Tiles, blocks, linear_tile, multiply_add, narrow, padded


def gate_fusion_tiles(dtype: torch.dtype, hidden: int) -> Tiles:
    """The default tiles; a program holds all C columns of its rows' results."""
    if dtype == torch.float32:
        return Tiles(rows=16, columns=16, depth=16, warps=8 if hidden > 128 else 4, stages=2)
    return Tiles(rows=64, columns=64, depth=64, warps=8 if hidden > 128 else 4, stages=3)


@triton.jit(do_not_specialize=["rows"])
def gate_fusion_kernel(
    mimic,
    other,
    contrib_weight,
    contrib_bias,
    fused_weight,
    fused_bias,
    fused,
    mimic_share,
    rows,
    C: tl.constexpr,
    C_PADDED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_J: tl.constexpr,
    BLOCK_K: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    dtype = mimic.dtype.element_ty
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    c = tl.arange(0, C_PADDED)
    out = tl.zeros([BLOCK_N, C_PADDED], tl.float32)
    sum_mimic = tl.zeros([BLOCK_N], tl.float32)
    sum_other = tl.zeros([BLOCK_N], tl.float32)
    for half in tl.static_range(2):  # of the gate's columns; C need not be a multiple of a block
        for start in range(0, C, BLOCK_J):
            j = start + tl.arange(0, BLOCK_J)
            row = contrib_weight + half * C * 2 * C
            gate = tl.zeros([BLOCK_N, BLOCK_J], tl.float32)
            gate = linear_tile(mimic, row, n, j, gate, rows, C, C, C, 2 * C, BLOCK_K, INTERPRETED)
            gate = linear_tile(other, row + C, n, j, gate, rows, C, C, C, 2 * C, BLOCK_K, INTERPRETED)
            gate += tl.load(contrib_bias + half * C + j, mask=j < C, other=0.0).to(tl.float32)[None, :]
            gate = tl.where((j < C)[None, :], tl.sigmoid(gate), 0.0)  # eq. 25
            here = n[:, None] * C + j[None, :]
            inside = (n < rows)[:, None] & (j < C)[None, :]
            if half == 0:
                sum_mimic += tl.sum(gate, axis=1)
                both = tl.load(mimic + here, mask=inside, other=0.0)
            else:
                sum_other += tl.sum(gate, axis=1)
                both = tl.load(other + here, mask=inside, other=0.0)
            gated = narrow(gate * both.to(tl.float32), dtype, INTERPRETED)  # eq. 26
            weight = tl.load(
                fused_weight + c[None, :] * (2 * C) + half * C + j[:, None],
                mask=(c < C)[None, :] & (j < C)[:, None],
                other=0.0,
            )
            out = multiply_add(gated, weight, out, INTERPRETED)
    out += tl.load(fused_bias + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    tl.store(
        fused + n[:, None] * C + c[None, :],
        narrow(out, dtype, INTERPRETED),
        mask=(n < rows)[:, None] & (c < C)[None, :],
    )
    total = sum_mimic + sum_other
    tl.store(mimic_share + n, tl.where(total == 0, 0.5, sum_mimic / total), mask=n < rows)


def gate_fusion(
    mimic: Tensor,
    other: Tensor,
    contrib_weight: Tensor,
    contrib_bias: Tensor,
    fused_weight: Tensor,
    fused_bias: Tensor,
    *,
    tiles: Tiles | None = None,
) -> tuple[Tensor, Tensor]:
    """Contract of `plain.gate_fusion`, in float32, float16 or bfloat16; sums are float32."""
    rows, size = mimic.shape
    fused = torch.empty_like(mimic)
    mimic_share = torch.empty(rows, dtype=torch.float32, device=mimic.device)
    cut = tiles or gate_fusion_tiles(mimic.dtype, size)
    if rows:
        gate_fusion_kernel[(blocks(rows, cut.rows),)](
            mimic,
            other,
            contrib_weight,
            contrib_bias,
            fused_weight,
            fused_bias,
            fused,
            mimic_share,
            rows,
            C=size,
            C_PADDED=padded(size),
            BLOCK_N=cut.rows,
            BLOCK_J=cut.columns,
            BLOCK_K=cut.depth,
            INTERPRETED=INTERPRETED,
            **cut.launch,
        )
    return fused, mimic_share
