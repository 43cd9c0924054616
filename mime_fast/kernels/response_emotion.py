"""Response emotions (eq. 7-15, 18-19) of a whole batch in one launch, the random numbers included."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mime_fast.kernels.philox import philox4x32
from mime_fast.kernels.tiles import INTERPRETED, Tiles, blocks, linear_tile, multiply_add, narrow, relu
from mime_fast.kernels.weights import PriorWeights


def response_emotion_tiles(dtype: torch.dtype) -> Tiles:
    """The default tiles."""
    if dtype == torch.float32:
        return Tiles(rows=16, columns=32, depth=16, warps=4, stages=2)
    return Tiles(rows=16, columns=64, depth=64, warps=4, stages=3)


@triton.jit
def box_muller(a, b):
    """Two normals of two words; float32 holds u and 2 pi u closely enough, and `log` is exact near 1."""
    radius = tl.sqrt(-2.0 * tl.log(((a >> 9).to(tl.float32) + 0.5) * (1.0 / 8388608.0)))
    angle = 6.283185307179586 * (((b >> 9).to(tl.float32) + 0.5) * (1.0 / 8388608.0))
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def normal_tile(seed, request, purpose, first_block, BLOCK_B: tl.constexpr, BLOCK_J: tl.constexpr):
    """Normals 4 * first_block and on of requests whose keys are the int64 [BLOCK_B], [BLOCK_B, BLOCK_J]."""
    quarter: tl.constexpr = BLOCK_J // 4
    zero = tl.zeros([BLOCK_B, quarter], tl.uint32)
    block = (first_block + tl.arange(0, quarter)).to(tl.uint32)
    x0, x1, x2, x3 = philox4x32(
        zero + block[None, :],
        zero + purpose.to(tl.uint32),
        zero + request.to(tl.uint32)[:, None],
        zero + (request >> 32).to(tl.uint32)[:, None],
        zero + seed.to(tl.uint32)[:, None],
        zero + (seed >> 32).to(tl.uint32)[:, None],
    )
    n0, n1 = box_muller(x0, x1)
    n2, n3 = box_muller(x2, x3)
    return tl.reshape(tl.join(tl.join(n0, n2), tl.join(n1, n3)), [BLOCK_B, BLOCK_J])


@triton.jit(do_not_specialize=["rows"])
def response_emotion_kernel(
    c,
    seeds,
    request_ids,
    mimicked,
    sample_weight,
    sample_bias,
    mu_weight,
    mu_bias,
    sigma_weight,
    sigma_bias,
    d_weight,
    d_bias,
    emotions,
    group,
    hidden,  # c' of eq. 11, room for [groups, rows, C]: written and read by one program
    d,
    m,  # m and m~, [2, rows, C]
    rows,
    C: tl.constexpr,
    GROUPS: tl.constexpr,
    MIMICRY: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_J: tl.constexpr,
    BLOCK_K: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    dtype = c.dtype.element_ty
    g = tl.program_id(1)
    n = tl.program_id(0).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    hidden += g * rows.to(tl.int64) * C
    nothing = tl.zeros([BLOCK_B, BLOCK_J], tl.float32)
    for start in range(0, C, BLOCK_J):
        j = start + tl.arange(0, BLOCK_J)
        out = linear_tile(c, sample_weight, n, j, nothing, rows, C, C, C, C, BLOCK_K, INTERPRETED)
        out += tl.load(sample_bias + j, mask=j < C, other=0.0).to(tl.float32)[None, :]
        inside = (n < rows)[:, None] & (j < C)[None, :]
        tl.store(hidden + n[:, None] * C + j[None, :], narrow(relu(out), dtype, INTERPRETED), mask=inside)
    tl.debug_barrier()  # each thread of the program reads what others wrote
    seed = tl.load(seeds + n, mask=n < rows, other=0)
    request = tl.load(request_ids + n, mask=n < rows, other=0)
    i = tl.arange(0, 32)
    member = (tl.load(group + i) == g)[None, :]
    logits = tl.zeros([BLOCK_B, 32], tl.float32)
    for start in range(0, C, BLOCK_J):
        j = start + tl.arange(0, BLOCK_J)
        at = g * C + j
        z = linear_tile(hidden, mu_weight + g * C * C, n, j, nothing, rows, C, C, C, C, BLOCK_K, INTERPRETED)
        z += tl.load(mu_bias + at, mask=j < C, other=0.0).to(tl.float32)[None, :]
        if STOCHASTIC:
            spread = linear_tile(
                hidden, sigma_weight + g * C * C, n, j, nothing, rows, C, C, C, C, BLOCK_K, INTERPRETED
            )
            spread += tl.load(sigma_bias + at, mask=j < C, other=0.0).to(tl.float32)[None, :]
            z += normal_tile(seed, request, g, start // 4, BLOCK_B, BLOCK_J) * tl.exp(0.5 * spread)  # eq. 14-15
        weight = tl.load(d_weight + i[None, :] * C + j[:, None], mask=(j < C)[:, None], other=0.0)
        logits = multiply_add(
            narrow(tl.where((j < C)[None, :], z, 0.0), dtype, INTERPRETED), weight, logits, INTERPRETED
        )
    logits = tl.where(member, logits + tl.load(d_bias + i).to(tl.float32)[None, :], -float("inf"))
    shares = tl.exp(logits - tl.max(logits, axis=1)[:, None])
    shares = shares / tl.sum(shares, axis=1)[:, None]  # eq. 9
    tl.store(d + n[:, None] * 32 + i[None, :], shares, mask=(n < rows)[:, None] & member)
    user = tl.load(mimicked + n, mask=n < rows, other=0)
    second = tl.zeros([BLOCK_B], tl.int64) + g
    if MIMICRY:  # eq. 18-19: the user's own group gives m
        second = tl.where(tl.load(group + user) == g, 0, 1).to(tl.int64)
    for start in range(0, C, BLOCK_J):
        j = start + tl.arange(0, BLOCK_J)
        weight = tl.load(emotions + i[:, None] * C + j[None, :], mask=(j < C)[None, :], other=0.0)
        e = narrow(multiply_add(narrow(shares, dtype, INTERPRETED), weight, nothing, INTERPRETED), dtype, INTERPRETED)
        inside = (n < rows)[:, None] & (j < C)[None, :]  # eq. 10
        tl.store(m + (second * rows + n)[:, None] * C + j[None, :], e, mask=inside)
        if GROUPS == 1:
            tl.store(m + (rows + n)[:, None] * C + j[None, :], e, mask=inside)


def response_emotion(
    c: Tensor,
    seeds: Tensor,
    request_ids: Tensor,
    mimicked: Tensor,
    prior: PriorWeights,
    stochastic: bool,
    *,
    tiles: Tiles | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Contract of `plain.response_emotion`, in float32, float16 or bfloat16; sums and normals are float32."""
    rows, size = c.shape
    hidden = c.new_empty((prior.groups, rows, size))
    d = torch.empty((rows, 32), dtype=torch.float32, device=c.device)
    m = c.new_empty((2, rows, size))
    cut = tiles or response_emotion_tiles(c.dtype)
    if rows:
        response_emotion_kernel[(blocks(rows, cut.rows), prior.groups)](
            c,
            seeds,
            request_ids,
            mimicked,
            prior.sample_weight,
            prior.sample_bias,
            prior.mu_weight,
            prior.mu_bias,
            prior.sigma_weight,
            prior.sigma_bias,
            prior.d_weight,
            prior.d_bias,
            prior.emotions,
            prior.group,
            hidden,
            d,
            m,
            rows,
            C=size,
            GROUPS=prior.groups,
            MIMICRY=prior.mimicry,
            STOCHASTIC=stochastic,
            BLOCK_B=cut.rows,
            BLOCK_J=cut.columns,
            BLOCK_K=cut.depth,
            INTERPRETED=INTERPRETED,
            **cut.launch,
        )
    return d, m[0], m[1]
