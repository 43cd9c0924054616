"""The beam step in plain PyTorch, all slots at once: the twin of csrc/include/mime_fast/beam_step_core.h.

Dimensions: B slots, R beams, k candidates of a row, C = min(2 R, R k) candidates that can matter (R in `mime`), T
positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from mime_fast.kernels.beam_state import BeamSizes, BeamState


def beam_step(state: BeamState, slots: int, log_probs: Tensor, ids: Tensor, values: Tensor) -> None:
    """Take one step of the searches in the first slots; nothing is read back from the device.

    Args:
        state: changed in place.
        log_probs, ids: each row's best tokens, float32 and int32 [N, k]; -inf where there is none, NaN where the model
            broke.
        values: what sums grow by, float32 [N, k]: the log-probs, penalised ones of tokens that have been said.
    """
    sizes, beams = state.sizes, state.sizes.beams
    now = _Slots(state, slots)
    log_probs, values = log_probs.view(slots, beams, -1), values.view(slots, beams, -1)
    is_live = torch.arange(beams, device=ids.device) < state.live[:slots, None]  # [B, R]
    broken = now.active & ((log_probs + values).isnan().any(dim=-1) & is_live).any(dim=-1)
    sums = now.sums[:, :, None] + values.masked_fill(~is_live[:, :, None], -inf)
    best = _rank(sizes, sums, log_probs, ids.view(slots, beams, -1))
    going, entering, ending, over = (_mime if sizes.mime else _standard)(sizes, best, now)
    goes_on = now.active & ~broken & ~over
    _enter_pool(state, now, best, [entering, ending], now.active & ~broken)
    over = over | _pool_is_best(state, now, best, going)
    goes_on &= ~over
    state.broken_at[:slots] = torch.where(broken, now.step.int(), state.broken_at[:slots])
    state.live_count.sub_((now.active & ~goes_on).sum().int())
    state.active[:slots] = goes_on.int()
    _go_on(state, now, best, going, goes_on)


class _Slots:
    """Views of the first slots."""

    def __init__(self, state: BeamState, slots: int) -> None:
        rows = slots * state.sizes.beams
        self.count = slots
        self.active = state.active[:slots] != 0
        self.step = state.positions[:rows].view(slots, -1)[:, 0].long()  # [B], tokens so far
        self.sums = state.sums[:rows].view(slots, -1)  # [B, R]
        self.words = state.words[:rows].view(slots, state.sizes.beams, -1)  # [B, R, T]
        self.word_log_probs = state.word_log_probs[:rows].view_as(self.words)
        self.ancestry = state.ancestry[:rows].view_as(self.words)
        self.last_step = self.step + 2 == state.sizes.positions
        self.divisor = state.divisors[self.step + 1]


@dataclass(frozen=True)
class _Ranked:
    """The best candidates of each slot in their order, all [B, C]."""

    sums: Tensor
    exists: Tensor
    beams: Tensor
    tokens: Tensor
    log_probs: Tensor


def _rank(sizes: BeamSizes, sums: Tensor, log_probs: Tensor, ids: Tensor) -> _Ranked:
    """By sum, then beam, then token, as stable sorts: the last key first."""
    beams = torch.arange(sizes.beams, device=ids.device)[None, :, None]
    by_token = (beams * 2**31 + ids).flatten(1).argsort(dim=-1)
    by_sum = sums.flatten(1).gather(1, by_token).sort(dim=-1, descending=True, stable=True).indices
    order = by_token.gather(1, by_sum)[:, : sizes.beams if sizes.mime else 2 * sizes.beams]
    best = sums.flatten(1).gather(1, order)
    tokens, picked = (x.flatten(1).gather(1, order) for x in (ids, log_probs))
    return _Ranked(best, best > -inf, order // sizes.candidates, tokens, picked)


def _mime(sizes: BeamSizes, best: _Ranked, now: _Slots) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Who goes on, who enters the pool, who enters it after them, [B, C], and whether the search is over, [B]."""
    over = ~best.exists[:, 0] | (best.tokens[:, 0] == sizes.eos) | now.last_step
    nobody = torch.zeros_like(best.exists)
    return best.exists & ~over[:, None], best.exists & over[:, None], nobody, over


def _standard(sizes: BeamSizes, best: _Ranked, now: _Slots) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `_mime`."""
    ends = best.exists & (best.tokens == sizes.eos)
    goes = best.exists & ~ends
    goes = goes & (goes.cumsum(dim=-1) <= sizes.beams)
    ends = ends & (torch.arange(ends.shape[1], device=ends.device) < sizes.beams)
    return goes, ends, goes & now.last_step[:, None], now.last_step | ~goes.any(dim=-1)


def _enter_pool(state: BeamState, now: _Slots, best: _Ranked, entering: list[Tensor], running: Tensor) -> None:
    """One stable sort of the pool and what enters it."""
    beams, slots = state.sizes.beams, now.count
    scores = best.sums.double() / now.divisor[:, None]
    pool = torch.arange(beams, device=scores.device) < state.pool_sizes[:slots, None]
    there = torch.cat([pool, *entering], dim=1)
    every = torch.cat([state.pool_scores[:slots], scores, scores], dim=1).masked_fill(~there, -inf)
    order = every.sort(dim=-1, descending=True, stable=True).indices[:, :beams]
    keep = running[:, None]
    words, log_probs = _with_new(now, best)

    def enter(kept: Tensor, new: Tensor) -> None:
        index = order.view(*order.shape, *[1] * (kept.dim() - 2)).expand(-1, -1, *kept.shape[2:])
        sorted_in = torch.cat([kept[:slots], new, new], dim=1).gather(1, index)
        kept[:slots] = torch.where(keep.view(-1, *[1] * (kept.dim() - 1)), sorted_in, kept[:slots])

    counts = (now.step + 1).int()[:, None].expand_as(best.tokens)
    for kept, new in (
        (state.pool_counts, counts),
        (state.pool_sums, best.sums),
        (state.pool_scores, scores),
        (state.pool_words, words),
        (state.pool_log_probs, log_probs),
    ):
        enter(kept, new)
    size = there.sum(dim=-1).clamp(max=beams).int()
    state.pool_sizes[:slots] = torch.where(running, size, state.pool_sizes[:slots])


def _with_new(now: _Slots, best: _Ranked) -> tuple[Tensor, Tensor]:
    """Tokens and log-probs of each candidate's hypothesis, [B, C, T], without SOS."""
    index = best.beams[:, :, None].expand(-1, -1, now.words.shape[2])
    at = now.step[:, None, None].expand(-1, best.beams.shape[1], 1)
    words, log_probs = (x.gather(1, index).roll(-1, dims=2) for x in (now.words, now.word_log_probs))
    return words.scatter(2, at, best.tokens[:, :, None]), log_probs.scatter(2, at, best.log_probs[:, :, None])


def _pool_is_best(state: BeamState, now: _Slots, best: _Ranked, going: Tensor) -> Tensor:
    """Whether the pool is full and none of it scores less than the best beam would if it ended now, [B]."""
    if state.sizes.mime:
        return torch.zeros_like(now.active)
    first = going.int().argmax(dim=-1, keepdim=True)
    ending = best.sums.gather(1, first)[:, 0].double() / now.divisor
    full = state.pool_sizes[: now.count] == state.sizes.beams
    return full & (state.pool_scores[: now.count, -1] >= ending)


def _go_on(state: BeamState, now: _Slots, best: _Ranked, going: Tensor, goes_on: Tensor) -> None:
    sizes, slots = state.sizes, now.count
    places = going.int().sort(dim=-1, descending=True, stable=True).indices[:, : sizes.beams]  # [B, <= R]
    width = places.shape[1]
    parents = best.beams.gather(1, places)[:, :, None].expand(-1, -1, sizes.positions)
    next_at = (now.step + 1).clamp(max=sizes.positions - 1)[:, None, None].expand(-1, width, 1)
    moves = goes_on[:, None, None]
    own = torch.arange(width, device=places.device, dtype=torch.int32)[None, :, None].expand(slots, -1, 1)
    for x, new in (
        (now.words, best.tokens.gather(1, places)[:, :, None]),
        (now.word_log_probs, best.log_probs.gather(1, places)[:, :, None]),
        (now.ancestry, own),
    ):
        moved = x.gather(1, parents).scatter(2, next_at, new)
        x[:, :width] = torch.where(moves, moved, x[:, :width])
    sums = best.sums.gather(1, places)
    now.sums[:, :width] = torch.where(goes_on[:, None], sums, now.sums[:, :width])
    state.live[:slots] = torch.where(goes_on, going.sum(dim=-1).int(), state.live[:slots])
    positions = state.positions[: slots * sizes.beams].view(slots, -1)
    positions += goes_on[:, None].int()
    rows = slots * sizes.beams
    if state.prefixes is not None:
        coming = state.prefixes[:slots].gather(1, positions[:, :1].long()).expand(-1, sizes.beams)
        state.forced[:rows] = coming.flatten()
    if sizes.bans:
        state.banned[:rows] = _bans(sizes, now.words, positions[:, 0].long()).flatten(0, 1)


def _bans(sizes: BeamSizes, words: Tensor, count: Tensor) -> Tensor:
    """What may not follow each row's `count` [B] tokens, [B, R, M]: EOS in the first place, then n-grams' ends."""
    tokens, n = words[:, :, 1:], sizes.no_repeat_ngram_size  # [B, R, T - 1]
    eos = torch.where(count < sizes.min_new_tokens, sizes.eos, -1).int()
    first = eos[:, None, None].expand(-1, words.shape[1], 1)
    if not n:
        return first
    ends = torch.arange(tokens.shape[2], device=words.device)
    repeats = (ends >= n - 1) & (ends < count[:, None])  # [B, T - 1]
    repeats = repeats[:, None].expand_as(tokens)
    for i in range(1, n):
        tail = (count - i).clamp(min=0)[:, None, None].expand(-1, words.shape[1], 1)
        repeats = repeats & (tokens.roll(i, dims=2) == tokens.gather(2, tail))
    return torch.cat([first, torch.where(repeats, tokens, -1)], dim=2)
