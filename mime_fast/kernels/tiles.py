"""What the Triton kernels share: how sizes of tiles are written down, and products of tiles."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

INTERPRETED = bool(triton.knobs.runtime.interpret)  # Triton was imported with TRITON_INTERPRET=1
FUSED = {"enable_fp_fusion": True}  # Triton's default, which newer ones want to be said


@dataclass(frozen=True)
class Tiles:
    """How a kernel is cut up; a plain function of dtype and sizes of the model chooses, never the number of rows.

    `rows`, `columns` and `depth` are powers of two, 16 or more. What `columns` and `depth` are decides in which order
    sums are made, so another choice gives other last digits.
    """

    rows: int
    columns: int
    depth: int  # of a product's inner loop
    warps: int
    stages: int

    @property
    def launch(self) -> dict[str, int]:
        """Triton's own options."""
        return {"num_warps": self.warps, "num_stages": self.stages, **FUSED}


def padded(size: int) -> int:
    """The power of two that holds `size`, 16 at least: the smallest side of a product of tiles."""
    return max(16, 1 << (size - 1).bit_length())


def blocks(size: int, block: int) -> int:
    """How many blocks hold `size`."""
    return -(-size // block)


@triton.jit
def active_rows(n, rows, active, beams, EVERY: tl.constexpr):
    """Which of rows n are below `rows` and of active slots [B], `beams` rows each; EVERY: all slots are active."""
    if EVERY:
        return n < rows
    return tl.load(active + n.to(tl.int32) // beams, mask=n < rows, other=0) != 0


@triton.jit
def multiply_add(a, b, out, INTERPRETED: tl.constexpr):
    """out + a b in float32: [n, k], [k, j], [n, j]. Float32 factors are taken as they are, not cut to TF32."""
    if INTERPRETED:  # its bfloat16 products are wrong; in float32 they are the device's, exact before they are added
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, out, input_precision="ieee")


@triton.jit
def narrow(x, dtype: tl.constexpr, INTERPRETED: tl.constexpr):
    """float32 to `dtype`, to nearest."""
    if INTERPRETED and dtype == tl.bfloat16:  # the interpreter cuts the digits off
        bits = x.to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000
        x = bits.to(tl.float32, bitcast=True)
    return x.to(dtype)


@triton.jit
def relu(x):
    """max(x, 0) that keeps a NaN, as PyTorch's does."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def exp_of_few(x, INTERPRETED: tl.constexpr):
    """exp(x) of x <= 0, 0 where that is below 2^-126: nothing beside the 1 of a sum. Three instructions fewer."""
    if INTERPRETED:
        return tl.exp(x)
    return tl.inline_asm_elementwise(
        "ex2.approx.ftz.f32 $0, $1;", "=f,f", [x * 1.4426950408889634], dtype=tl.float32, is_pure=True, pack=1
    )


@triton.jit
def linear_tile(
    x,
    weight,
    n,
    j,
    out,
    rows,
    columns,
    DEPTH: tl.constexpr,
    X_STRIDE: tl.constexpr,
    WEIGHT_STRIDE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    INTERPRETED: tl.constexpr,
    WHOLE: tl.constexpr = False,
):
    """out + x[n, :DEPTH] weight[j, :DEPTH]^T: rows n (int64), rows j of the weight, 0 beyond `rows` and `columns`.

    WHOLE: all rows j are there. With a DEPTH of whole blocks, too, the weight is read without a mask.
    """
    for start in range(0, DEPTH, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        from_x = x + n[:, None] * X_STRIDE + k[None, :]
        from_weight = weight + j[None, :] * WEIGHT_STRIDE + k[:, None]
        if DEPTH % BLOCK_K == 0:
            a = tl.load(from_x, mask=(n < rows)[:, None], other=0.0)
            b = tl.load(from_weight) if WHOLE else tl.load(from_weight, mask=(j < columns)[None, :], other=0.0)
        else:
            inside = k < DEPTH
            a = tl.load(from_x, mask=(n < rows)[:, None] & inside[None, :], other=0.0)
            b = tl.load(from_weight, mask=(j < columns)[None, :] & inside[:, None], other=0.0)
        out = multiply_add(a, b, out, INTERPRETED)
    return out
