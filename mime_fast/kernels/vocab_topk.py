"""The most probable words (eq. 29) without logits in memory: tiles with lists of their best, then a merge."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from mime_fast.kernels.tiles import FUSED, INTERPRETED, Tiles, active_rows, blocks
from mime_fast.kernels.vocab_tiles import (
    NO_KEY,
    NO_WORD,
    key_value,
    key_word,
    log_sum_exp,
    logits_tile,
    sort_key,
    store_sums,
    vocab_tiles,
)

MAX_K = 32
AT_ONCE = 264  # programs that an H100 runs at a time, two on each multiprocessor
WARM_UP = 4  # what a program's first tile costs more than later ones, in tiles: k rounds, or a bound by k maxima


@lru_cache(maxsize=256)
def tiles_a_program(row_blocks: int, tiles: int) -> int:
    """How many tiles one program goes through with one list of best words, so that all are done soonest.

    More of them enter fewer words, fewer keep all of the device busy. What is found is the same: keys are all
    different, and sums are made tile by tile.
    """
    return min(
        (blocks(tiles, programs) for programs in range(1, tiles + 1)),
        key=lambda each: blocks(row_blocks * blocks(tiles, each), AT_ONCE) * (each + WARM_UP),
    )


@triton.jit
def count_columns(banned, n, rows, BANNED: tl.constexpr):
    """How many columns of `banned` [rows, BANNED] have a word for any of the rows n: none come after them."""
    last = tl.zeros_like(n).to(tl.int32)
    for i in range(BANNED):
        last = tl.where(tl.load(banned + n * BANNED + i, mask=n < rows, other=-1) >= 0, i + 1, last)
    return tl.max(last, axis=0)


@triton.jit
def lower_bound(logits, best, first, last, banned, bans, n, rows, K: tl.constexpr, BANNED: tl.constexpr):
    """What no row's K-th best word lies below: the K-th largest of the different logits of words `first` to `last` - 1.

    Words that the row may not take are among them: with each it is the next one.
    """
    count = tl.zeros_like(best).to(tl.int32) + K
    for i in range(bans):
        word = tl.load(banned + n * BANNED + i, mask=n < rows, other=-1)
        count += ((word >= first) & (word < last)).to(tl.int32)
    bound = best
    for i in range(1, tl.max(count, axis=0)):
        logits = tl.where(logits == best[:, None], -float("inf"), logits)
        best = tl.max(logits, axis=1)
        bound = tl.where(i < count, best, bound)
    return bound


@triton.jit
def enter_best(logits, best, keys, floor, threshold, v, banned, bans, n, rows, BANNED: tl.constexpr):
    """Lists of keys [N, K padded], the least of each, and thresholds [N] after a tile [N, BLOCK_V] of words v.

    One word per row and round, until no row has one above its threshold: the value of the list's least key, or more.
    Words v are beyond the list's, so that an equal one that comes later has the higher id. Only a word that would enter
    is looked for among the row's bans.
    """
    wanted = best > threshold
    while tl.max(wanted.to(tl.int32), axis=0) > 0:
        word = tl.min(tl.where(logits == best[:, None], v[None, :], NO_WORD), axis=1)
        for i in range(bans):
            wanted = wanted & (tl.load(banned + n * BANNED + i, mask=n < rows, other=-1) != word)
        keys = tl.where(wanted[:, None] & (keys == floor[:, None]), sort_key(best, word)[:, None], keys)
        logits = tl.where(v[None, :] == word[:, None], -float("inf"), logits)
        floor = tl.min(keys, axis=1)
        threshold = tl.maximum(threshold, key_value(floor))
        best = tl.max(logits, axis=1)
        wanted = best > threshold
    return keys, floor, threshold


@triton.jit(do_not_specialize=["rows", "tiles_a_program", "beams"])
def vocab_topk_kernel(
    hidden,
    weight,
    bias,
    suppressed,
    banned,
    active,
    largest,  # [rows, TILES]
    sums,  # [rows, TILES]
    candidates,  # int64 keys, [rows, programs, K]
    rows,
    tiles_a_program,
    beams,
    C: tl.constexpr,
    V: tl.constexpr,
    K: tl.constexpr,
    BANNED: tl.constexpr,  # columns of `banned`
    SUPPRESSED: tl.constexpr,
    EVERY: tl.constexpr,  # row counts, and `active` is not there
    TILES: tl.constexpr,
    K_PADDED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_K: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    counts = active_rows(n, rows, active, beams, EVERY)
    if tl.max(counts.to(tl.int32), axis=0) == 0:
        return
    lane = tl.arange(0, K_PADDED)
    nothing = tl.where(lane < K, NO_KEY + lane.to(tl.int64), 0x7FFFFFFFFFFFFFFF)  # all different; no room beyond K
    keys = tl.zeros([BLOCK_N, K_PADDED], tl.int64) + nothing[None, :]
    floor = tl.min(keys, axis=1)
    threshold = tl.where(counts, -float("inf"), float("inf"))
    bans = count_columns(banned, n, rows, BANNED)
    first = tl.program_id(1) * tiles_a_program
    begin = tl.where((first > 0) & (tiles_a_program > 1), first - 1, first)
    for step in range(begin, min(first + tiles_a_program, TILES)):
        tile = tl.where(step < first, 0, step)
        v = tile * BLOCK_V + tl.arange(0, BLOCK_V)
        logits = logits_tile(hidden, weight, bias, n, v, rows, C, V, BLOCK_N, BLOCK_V, BLOCK_K, INTERPRETED)
        best = tl.max(logits, axis=1)
        if step >= first:
            store_sums(logits, best, largest, sums, n, tile, rows, TILES, INTERPRETED)
        if tl.max((best > threshold).to(tl.int32), axis=0) > 0:
            if SUPPRESSED:
                away = tl.load(suppressed + v, mask=v < V, other=0) != 0
                logits = tl.where(away[None, :], -float("inf"), logits)
                best = tl.max(logits, axis=1)
            if step < first:
                bound = lower_bound(logits, best, 0, BLOCK_V, banned, bans, n, rows, K, BANNED)
                threshold = tl.maximum(threshold, bound)
            else:
                keys, floor, threshold = enter_best(
                    logits, best, keys, floor, threshold, v, banned, bans, n, rows, BANNED
                )
    here = (n * tl.num_programs(1) + tl.program_id(1))[:, None] * K + lane[None, :]
    tl.store(candidates + here, keys, mask=(n < rows)[:, None] & (lane < K)[None, :])


@triton.jit(do_not_specialize=["count", "beams"])
def merge_kernel(
    largest,
    sums,
    candidates,
    active,
    log_probs,
    ids,
    totals,
    count,  # of the row's candidates
    beams,
    K: tl.constexpr,
    EVERY: tl.constexpr,
    TILES: tl.constexpr,
    TILES_PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The K best of each row's candidates, whose keys differ: each time the largest below the last one."""
    row = tl.program_id(0).to(tl.int64)
    if active_rows(row, row + 1, active, beams, EVERY).to(tl.int32) == 0:
        return
    total = log_sum_exp(largest, sums, row, TILES, TILES_PADDED)
    tl.store(totals + row, total)
    i = tl.arange(0, BLOCK)
    mine = candidates + row * count
    first = tl.load(mine + i, mask=i < count, other=NO_KEY)
    last = tl.zeros([], tl.int64) + 0x7FFFFFFFFFFFFFFF
    for k in range(K):
        best = tl.max(tl.where(first < last, first, NO_KEY), axis=0)
        for start in range(BLOCK, count, BLOCK):
            more = tl.load(mine + start + i, mask=start + i < count, other=NO_KEY)
            best = tl.maximum(best, tl.max(tl.where(more < last, more, NO_KEY), axis=0))
        log_prob = key_value(best) - total
        tl.store(log_probs + row * K + k, log_prob)
        tl.store(ids + row * K + k, tl.where(log_prob > -float("inf"), key_word(best), 0))
        last = best


def vocab_topk(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    suppressed: Tensor | None,
    banned: Tensor | None,
    k: int,
    active: Tensor | None = None,
    *,
    tiles: Tiles | None = None,
    programs: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Contract of `plain.vocab_topk`, in float32, float16 or bfloat16; logits and sums are float32.

    `programs`, how many share the words of one block of rows, changes no result.
    """
    assert 1 <= k <= MAX_K
    rows, size = hidden.shape
    words = len(weight)
    cut = tiles or vocab_tiles(hidden.dtype)
    number = blocks(words, cut.columns)
    a_program = blocks(number, programs) if programs else tiles_a_program(blocks(rows, cut.rows), number)
    programs = blocks(number, a_program)
    beams = 1 if active is None else rows // len(active)
    largest, sums = (torch.empty((rows, number), dtype=torch.float32, device=hidden.device) for _ in range(2))
    candidates = torch.empty((rows, programs, k), dtype=torch.int64, device=hidden.device)
    log_probs = torch.empty((rows, k), dtype=torch.float32, device=hidden.device)
    totals = torch.empty(rows, dtype=torch.float32, device=hidden.device)
    ids = torch.empty((rows, k), dtype=torch.int32, device=hidden.device)
    if rows:
        vocab_topk_kernel[(blocks(rows, cut.rows), programs)](
            hidden,
            weight,
            bias,
            weight if suppressed is None else suppressed,
            weight if banned is None else banned,
            weight if active is None else active,
            largest,
            sums,
            candidates,
            rows,
            a_program,
            beams,
            C=size,
            V=words,
            K=k,
            BANNED=0 if banned is None else banned.shape[1],
            SUPPRESSED=suppressed is not None,
            EVERY=active is None,
            TILES=number,
            K_PADDED=triton.next_power_of_2(k),
            BLOCK_N=cut.rows,
            BLOCK_V=cut.columns,
            BLOCK_K=cut.depth,
            INTERPRETED=INTERPRETED,
            **cut.launch,
        )
        merge_kernel[(rows,)](
            largest,
            sums,
            candidates,
            candidates if active is None else active,
            log_probs,
            ids,
            totals,
            programs * k,
            beams,
            K=k,
            EVERY=active is None,
            TILES=number,
            TILES_PADDED=triton.next_power_of_2(number),
            BLOCK=256 if programs * k <= 256 else 1024,
            num_warps=1 if programs * k <= 256 else 4,
            **FUSED,
        )
    return log_probs, ids, totals
