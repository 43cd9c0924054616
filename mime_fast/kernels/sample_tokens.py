"""A sampled token for each row (docs/search.md, "Sampling"): one program has all words of its row in registers.

What top_k and top_p keep is found by bisection: the least key whose greater ones are too few, or too improbable. Then
all words draw in float32, and those that are as good as the best within its error draw again in float64.
"""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.kernels import plain_noise
from mime_fast.kernels.philox import philox4x32
from mime_fast.kernels.plain_decoder import History
from mime_fast.kernels.plain_sampling import Draws
from mime_fast.kernels.tiles import FUSED, INTERPRETED, active_rows, exp_of_few
from mime_fast.kernels.vocab_tiles import NO_WORD, ordered_bits

WHOLE = 1 << 30  # the shares of all words
VALUES_A_THREAD = 16
MAX_INVERSE = 1e30  # of a temperature; what is below the best word by a float32's last digit has no chance there
STEP_SHIFT = tl.constexpr(plain_noise.STEP_SHIFT)
SEQUENCE_SHIFT = tl.constexpr(plain_noise.SEQUENCE_SHIFT)
PURPOSE = tl.constexpr(plain_noise.TOKEN)


@triton.jit
def least_key(keys, shares, limit):
    """The least of the keys of words with a share such that the shares of all greater keys come to less than `limit`.

    Keys and shares are int32 [V]; no share: 0. Keys of words without one must not be above all others.
    """
    high = tl.max(keys, axis=0)
    low = tl.min(tl.where(shares > 0, keys, high), axis=0).to(tl.int64)
    high = high.to(tl.int64)
    while low < high:
        middle = (low + high) >> 1
        above = tl.sum(tl.where(keys > middle.to(tl.int32), shares, 0), axis=0)
        low = tl.where(above < limit, low, middle + 1)
        high = tl.where(above < limit, middle, high)
    return low.to(tl.int32)


@triton.jit
def keep_probable(value, v, top, inverse, limit, INTERPRETED: tl.constexpr):
    """Which words top_p keeps. Shares are whole numbers, so that sums do not depend on their order."""
    weight = exp_of_few(tl.where(value == -float("inf"), value, (value - top) * inverse), INTERPRETED)
    shares = (weight * (1073741824.0 / tl.sum(weight, axis=0)) + 0.5).to(tl.int32)
    keys = ordered_bits(value)
    least = least_key(keys, shares, limit)
    left = limit - tl.sum(tl.where(keys > least, shares, 0), axis=0)
    equal = keys == least  # of these the lowest words
    last = -least_key(tl.where(equal, -v, -NO_WORD), tl.where(equal, shares, 0), left)
    return (value > -float("inf")) & ((keys > least) | (equal & (v <= last)))


@triton.jit
def gumbel_words(block, step, sequence, seed, request):
    """The four words of blocks uint32 at one step of one request, whose keys are int64."""
    zero = block & 0
    return philox4x32(
        (step.to(tl.uint32) << STEP_SHIFT) | block,
        zero + ((sequence.to(tl.uint32) << SEQUENCE_SHIFT) | PURPOSE),
        zero + request.to(tl.uint32),
        zero + (request >> 32).to(tl.uint32),
        zero + seed.to(tl.uint32),
        zero + (seed >> 32).to(tl.uint32),
    )


@triton.jit
def gumbel(word, dtype: tl.constexpr):
    """The Gumbel number of a 32-bit word."""
    return -tl.log(-tl.log(((word >> 9).to(dtype) + 0.5) * (1.0 / 8388608.0)))


@triton.jit(do_not_specialize=["temperature_bits", "inverse", "top_k", "top_p", "penalty"])
def sample_tokens_kernel(
    logits,  # [N, V]
    seeds,
    request_ids,
    sequences,
    words,  # [N, T]
    positions,
    suppressed,
    banned,
    forced,
    active,  # [N]
    log_probs,
    ids,
    temperature_bits,  # of its float64
    inverse,  # of the temperature
    top_k,
    top_p,  # a share
    penalty,
    V: tl.constexpr,
    T: tl.constexpr,
    BANNED: tl.constexpr,  # columns of `banned`
    SUPPRESSED: tl.constexpr,
    FORCED: tl.constexpr,
    EVERY: tl.constexpr,
    TOP_K: tl.constexpr,
    TOP_P: tl.constexpr,
    PENALTY: tl.constexpr,
    V_PADDED: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    if active_rows(row, row + 1, active, 1, EVERY).to(tl.int32) == 0:
        return
    v = tl.arange(0, V_PADDED)
    step = tl.load(positions + row)
    logit = tl.load(logits + row * V + v, mask=v < V, other=-float("inf"))
    top = tl.max(logit, axis=0)
    top = tl.where(top == -float("inf"), 0.0, top)
    total = top + tl.log(tl.sum(exp_of_few(logit - top, INTERPRETED), axis=0))
    broken = (total != total) | (total == -float("inf"))
    log_prob = logit - total
    value = log_prob
    if PENALTY:
        said = v < 0
        for i in range(T):
            if i <= step:
                said = said | (v == tl.load(words + row * T + i))
        penalised = tl.where(logit < 0.0, logit * penalty, tl.div_rn(logit, penalty + tl.zeros_like(logit)))
        value = tl.where(said, penalised, logit)
    if SUPPRESSED:
        value = tl.where(tl.load(suppressed + v, mask=v < V, other=1) != 0, -float("inf"), value)
    for i in range(BANNED):
        word = tl.load(banned + row * BANNED + i)
        if word >= 0:
            value = tl.where(v == word, -float("inf"), value)
    value = tl.where(broken, -float("inf"), value)
    top = tl.max(value, axis=0)
    if TOP_K:
        keys = ordered_bits(value)
        least = least_key(keys, (value > -float("inf")).to(tl.int32), top_k)
        value = tl.where(keys >= least, value, -float("inf"))
    if TOP_P:
        kept = keep_probable(value, v, tl.where(top == -float("inf"), 0.0, top), inverse, top_p, INTERPRETED)
        value = tl.where(kept, value, -float("inf"))
    seed, request, sequence = tl.load(seeds + row), tl.load(request_ids + row), tl.load(sequences + row)
    x0, x1, x2, x3 = gumbel_words(tl.arange(0, V_PADDED // 4).to(tl.uint32), step, sequence, seed, request)
    word = tl.reshape(tl.join(tl.join(x0, x2), tl.join(x1, x3)), [V_PADDED])
    there = value > -float("inf")
    score = tl.where(there, (value - top) * inverse + gumbel(word, tl.float32), -float("inf"))
    # what float32 loses, and what the float64 of the reference loses of a Gumbel number beside a large logit
    margin = 1e-4 + tl.abs(top) * inverse * 3.5527136788005009e-15
    finalist = there & (score >= tl.max(score, axis=0) - margin)
    temperature = temperature_bits.to(tl.float64, bitcast=True)
    best = tl.full([], -float("inf"), tl.float64)
    chosen = tl.full([], 0, tl.int32)
    word = tl.min(tl.where(finalist, v, NO_WORD), axis=0)
    while word < NO_WORD:
        y0, y1, y2, y3 = gumbel_words((word >> 2).to(tl.uint32), step, sequence, seed, request)
        lane = word & 3
        drawn = tl.where(lane < 2, tl.where(lane == 0, y0, y1), tl.where(lane == 2, y2, y3))
        mine = tl.sum(tl.where(v == word, value, 0.0), axis=0)
        score64 = mine.to(tl.float64) / temperature + gumbel(drawn, tl.float64)
        better = score64 > best
        best = tl.where(better, score64, best)
        chosen = tl.where(better, word, chosen)
        word = tl.min(tl.where(finalist & (v > word), v, NO_WORD), axis=0)
    if FORCED:
        only = tl.load(forced + row)
        best = tl.where(only < 0, best, 0.0)
        chosen = tl.where(only < 0, chosen, only)
    found = tl.where(best > -float("inf"), tl.sum(tl.where(v == chosen, log_prob, 0.0), axis=0), -float("inf"))
    tl.store(log_probs + row, tl.where(broken, float("nan"), found))
    tl.store(ids + row, chosen)


def sample_tokens(
    logits: Tensor,
    draws: Draws,
    history: History,
    options: GenerationConfig,
    suppressed: Tensor | None,
    banned: Tensor | None,
    forced: Tensor | None,
    active: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Contract of `plain_sampling.sample_tokens`, for float32 logits.

    Which words top_p keeps may differ by one where the sum of probabilities is as near to it as 1e-6.
    """
    rows, words = logits.shape
    found = torch.empty((rows, 1), dtype=torch.float32, device=logits.device)
    ids = torch.empty((rows, 1), dtype=torch.int32, device=logits.device)
    padded = triton.next_power_of_2(words)
    if rows:
        sample_tokens_kernel[(rows,)](
            logits,
            draws.seeds,
            draws.request_ids,
            draws.sequences,
            history.words,
            history.positions,
            logits if suppressed is None else suppressed,
            logits if banned is None else banned,
            logits if forced is None else forced,
            logits if active is None else active,
            found,
            ids,
            int(np.float64(options.temperature).view(np.int64)),
            min(1.0 / options.temperature, MAX_INVERSE),
            min(options.top_k, words),
            round(options.top_p * WHOLE),
            options.repetition_penalty,
            V=words,
            T=history.words.shape[1],
            BANNED=0 if banned is None else banned.shape[1],
            SUPPRESSED=suppressed is not None,
            FORCED=forced is not None,
            EVERY=active is None,
            TOP_K=0 < options.top_k < words,
            TOP_P=options.top_p < 1.0,
            PENALTY=options.repetition_penalty != 1.0,
            V_PADDED=padded,
            INTERPRETED=INTERPRETED,
            num_warps=min(32, max(1, padded // (32 * VALUES_A_THREAD))),
            **FUSED,
        )
    return found, ids
