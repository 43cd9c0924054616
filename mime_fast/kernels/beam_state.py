"""What a beam search keeps on the device between two steps; csrc/include/mime_fast/beam_step.h has the same names.

B slots have a dialogue each, slot b the rows b R to b R + R - 1 of N = B R. T = max_new_tokens + 1 positions: position
0 is SOS, position i + 1 has token i. Greedy search and a sampled sequence are a slot of one row with one candidate.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.text.special import EOS_ID, SOS_ID


@dataclass(frozen=True)
class BeamSizes:
    """Everything that a step's shapes and rules depend on."""

    beams: int  # R
    candidates: int  # k, of a row
    positions: int  # T
    bans: int  # M, of a row: 0, 1 (EOS), or T (EOS and n-grams)
    eos: int
    min_new_tokens: int
    no_repeat_ngram_size: int
    mime: bool

    @classmethod
    def of(cls, options: GenerationConfig, vocab_size: int, eos: int = EOS_ID) -> BeamSizes:
        """A sampled sequence is a search of its own."""
        beams, positions, mime = options.num_beams, options.max_new_tokens + 1, options.search == "mime"
        ngram = min(options.no_repeat_ngram_size, positions)
        candidates = beams if mime else 2 * beams if beams > 1 else 1
        return cls(
            beams=beams,
            candidates=min(candidates, vocab_size),
            positions=positions,
            bans=positions if ngram else int(options.min_new_tokens > 0),
            eos=eos,
            min_new_tokens=options.min_new_tokens,
            no_repeat_ngram_size=ngram,
            mime=mime,
        )


@dataclass(frozen=True)
class BeamState:
    """The arrays; every method stays on the device."""

    sizes: BeamSizes
    divisors: Tensor  # float64 [T], count ** length_penalty
    prefixes: Tensor | None  # int32 [B, T], the tokens that a response begins with, then -1

    live_count: Tensor  # [1], slots with `active` set; all are int32 where nothing is said
    active: Tensor  # [B], 1 while the slot's search goes on
    broken_at: Tensor  # [B], the step at which the model gave NaN, or -1
    live: Tensor  # [B], live beams, the first rows of the slot, best first
    positions: Tensor  # [N], of the token that is fed now
    sums: Tensor  # float32 [N], S
    words: Tensor  # [N, T], tokens fed
    word_log_probs: Tensor  # float32 [N, T]
    ancestry: Tensor  # [N, T], the slot's row that keeps each position's keys and values
    banned: Tensor  # [N, M], tokens that may not come next; -1: none
    forced: Tensor  # [N], the only token that may come next, or -1

    pool_sizes: Tensor  # [B], finished hypotheses, best first
    pool_counts: Tensor  # [B, R], their tokens, EOS included
    pool_sums: Tensor  # float32 [B, R]
    pool_scores: Tensor  # float64 [B, R]
    pool_words: Tensor  # [B, R, T], without SOS
    pool_log_probs: Tensor  # float32 [B, R, T]

    @classmethod
    def empty(
        cls, sizes: BeamSizes, slots: int, length_penalty: float, device: torch.device | str, *, prefixes: bool = False
    ) -> BeamState:
        """With no search in any slot."""
        rows, beams, length = slots * sizes.beams, sizes.beams, sizes.positions
        powers = [1.0, *(float(count) ** (0.0 if sizes.mime else length_penalty) for count in range(1, length))]

        def ints(*shape: int, fill: int = 0) -> Tensor:
            return torch.full(shape, fill, dtype=torch.int32, device=device)

        def reals(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        return cls(
            sizes=sizes,
            divisors=torch.tensor(powers, dtype=torch.float64, device=device),
            prefixes=ints(slots, length, fill=-1) if prefixes else None,
            live_count=ints(1),
            active=ints(slots),
            broken_at=ints(slots, fill=-1),
            live=ints(slots),
            positions=ints(rows),
            sums=reals(rows),
            words=ints(rows, length),
            word_log_probs=reals(rows, length),
            ancestry=ints(rows, length),
            banned=ints(rows, sizes.bans, fill=-1),
            forced=ints(rows, fill=-1),
            pool_sizes=ints(slots),
            pool_counts=ints(slots, beams),
            pool_sums=reals(slots, beams),
            pool_scores=reals(slots, beams, dtype=torch.float64),
            pool_words=ints(slots, beams, length),
            pool_log_probs=reals(slots, beams, length),
        )

    def by_slot(self) -> list[Tensor]:
        """Views [B, ...] of all that belongs to a slot."""
        own = (getattr(self, field.name) for field in fields(self) if field.name not in ("sizes", "divisors"))
        slots = len(self.active)
        return [x.view(slots, -1) for x in own if x is not None and x is not self.live_count and x.numel()]

    def start(self, slots: Tensor, prefixes: Tensor | None = None) -> None:
        """Begin searches in these free slots, int64 [m]; prefixes, int32 [m, T], where the state has them."""
        beams = self.sizes.beams
        rows = (slots[:, None] * beams + torch.arange(beams, device=slots.device)).flatten()
        _fill(slots, (self.active, 1), (self.broken_at, -1), (self.live, 1), (self.pool_sizes, 0))
        _fill(rows, (self.positions, 0), (self.sums, 0.0), (self.words[:, 0], SOS_ID))
        self.ancestry[rows, 0] = (rows % beams).int()
        if self.sizes.bans:
            _fill(rows, (self.banned, -1), (self.banned[:, 0], self.sizes.eos if self.sizes.min_new_tokens else -1))
        if self.prefixes is not None:
            assert prefixes is not None
            self.prefixes[slots] = prefixes
            self.forced[rows] = prefixes[:, 0].repeat_interleave(beams)
        self.live_count.add_(len(slots))

    def move(self, order: Tensor) -> None:
        """Put the slots `order`, int64 [m], into the first m places; what lay there and is not among them is lost."""
        for x in self.by_slot():
            x[: len(order)] = x[order]
        self.active[len(order) :] = 0


def _fill(places: Tensor, *columns: tuple[Tensor, float]) -> None:
    """Numbers at some places of each; `x[places] = 1` would copy the 1 to the device, and wait for it."""
    for x, value in columns:
        x.index_fill_(0, places, value)


def addresses(state: BeamState) -> tuple[dict[str, Any], dict[str, int], dict[str, Tensor]]:
    """Sizes, pointers and the room to work in of the compiled beam step; the caller keeps all tensors alive."""
    sizes, device = state.sizes, state.active.device
    rows, slots = len(state.positions), len(state.active)

    def ints(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32, device=device)

    room = {
        "sorted_sums": ints(rows, sizes.candidates).float(),
        "sorted": ints(rows, sizes.candidates),
        "counts": ints(rows),
        "chosen": ints(rows, 4),
        "plan": ints(slots, 4 + 5 * sizes.beams),
        "moved_words": ints(rows, sizes.positions),
        "moved_log_probs": ints(rows, sizes.positions).float(),
        "moved_rows": ints(rows, sizes.positions),
    }
    tensors = {field.name: getattr(state, field.name) for field in fields(state) if field.name != "sizes"} | room
    return asdict(sizes), {name: 0 if x is None else x.data_ptr() for name, x in tensors.items()}, room
