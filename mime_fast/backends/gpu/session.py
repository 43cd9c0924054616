"""One search on the device: its buffers, its step, and the step's CUDA graphs. Shapes never change after `Session`.

B slots, R rows of each (beams), N = B R, T positions, S positions of a memory, V words.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from math import inf

import torch
from torch import Tensor

from mime_fast.backends.gpu.graphs import Capture, Repeated
from mime_fast.backends.gpu.model import EMOTION_COLUMNS, DeviceModel, Understood, emotion_rows
from mime_fast.config.generation import GenerationConfig
from mime_fast.kernels.beam_state import BeamSizes, BeamState
from mime_fast.kernels.plain_decoder import History
from mime_fast.kernels.plain_sampling import Draws, penalise, said_words
from mime_fast.kernels.select import topk_of
from mime_fast.kernels.sorted_topk import without
from mime_fast.kernels.weights import DecoderCache


@dataclass(frozen=True)
class Shape:
    """What a session is made for; one of the same shape is used again."""

    options: GenerationConfig
    slots: int  # B
    source: int  # S
    prefixes: bool


def ladder(slots: int) -> list[int]:
    """The numbers of slots that a step is captured for, largest first."""
    sizes = {slots}
    size = 1
    while size < slots:
        sizes.add(size)
        size *= 2
    return sorted(sizes, reverse=True)


class Session:
    """Searches in slots. What is decoded lies in `state`, its pools are the results.

    Args:
        capture: what captures the step; None: the same step eagerly.
    """

    def __init__(self, model: DeviceModel, shape: Shape, capture: Capture | None) -> None:
        options, device = shape.options, model.device
        self.model = model
        self.shape = shape
        self.options = options
        self.sizes = BeamSizes.of(options, model.config.vocab_size)
        self.kept = min(options.num_return_sequences, self.sizes.beams)  # hypotheses of a search that are returned
        self.sampling = Draws.empty(shape.slots, device) if options.do_sample else None
        self.state = BeamState.empty(self.sizes, shape.slots, options.length_penalty, device, prefixes=shape.prefixes)
        rows = shape.slots * self.sizes.beams
        self.caches = tuple(
            DecoderCache.empty(model.config, rows, self.sizes.positions, shape.slots, shape.source, model.vocab_weight)
            for _ in model.decoder.layers
        )
        self.memory_masked = torch.ones(shape.slots, shape.source, dtype=torch.uint8, device=device)
        self.memory_lengths = torch.zeros(shape.slots, dtype=torch.int32, device=device)
        self.emotions = torch.zeros(shape.slots, EMOTION_COLUMNS, device=device)
        self.owner = torch.zeros(shape.slots, dtype=torch.int64, device=device)
        self.suppressed: Tensor | None = None
        if options.suppress_tokens:
            self.suppressed = torch.zeros(len(model.vocab_bias), dtype=torch.uint8, device=device)
            self.suppressed[list(options.suppress_tokens)] = 1
        self._advance = model.ops.beam_step(self.state)
        self._topk = topk_of(model.ops, self.sizes.candidates)
        self.capture = capture
        self._steps: dict[int, Repeated] = {}

    def run(self, slots: int) -> None:
        """One step of the first slots, a size of the ladder."""
        if slots not in self._steps:
            self._steps[slots] = Repeated(partial(self.step, slots), self.capture)
        self._steps[slots]()

    def step(self, slots: int) -> None:
        """The same without a graph; reads nothing back, allocates shapes that only `slots` decides."""
        state, model = self.state, self.model
        rows = slots * self.sizes.beams
        active = state.active[:slots]
        history = History(state.words[:rows], state.ancestry[:rows], state.positions[:rows])
        caches = tuple(_first(cache, rows, slots) for cache in self.caches)
        hidden = model.ops.decoder_step(
            history, self.memory_masked[:slots], self.memory_lengths[:slots], model.decoder, caches, active
        )
        banned = state.banned[:rows] if self.sizes.bans else None
        forced = state.forced[:rows] if self.shape.prefixes else None
        if self.sampling is not None:
            draws = Draws(*(getattr(self.sampling, field.name)[:slots] for field in fields(Draws)))
            logits = model.ops.vocab_logits(hidden, model.vocab_weight, model.vocab_bias, active)
            log_probs, ids = model.ops.sample_tokens(
                logits, draws, history, self.options, self.suppressed, banned, forced, active
            )
            self._advance(slots, log_probs, ids, log_probs)
            return
        penalised = self.options.repetition_penalty != 1.0
        found = self._penalised(hidden, banned, history) if penalised else self._best(hidden, banned, active)
        self._advance(slots, *(found[:3] if forced is None else self._forced(hidden, forced, *found)))

    def remember(self, slots: Tensor, understood: Understood, which: Tensor) -> None:
        """Give slots, int64 [m], the emotions and memories of these dialogues of `understood`, int64 [m]."""
        self.emotions[slots] = emotion_rows(understood)[which]
        memories = understood.memories
        places = torch.arange(self.shape.source, device=slots.device)
        rows = memories.starts[which][:, None] + places  # [m, S]
        there = rows < memories.ends[which][:, None]
        rows = rows.clamp(max=len(memories.seen) - 1)
        seen = there & (memories.seen[rows] != 0)
        self.memory_masked[slots] = (~seen).to(torch.uint8)
        self.memory_lengths[slots] = (seen * (places + 1)).amax(dim=1).int()  # after the last one that is seen
        for cache, (key, value) in zip(self.caches, self.model.memory(understood.fused), strict=True):
            cache.memory_keys[slots] = key[rows]
            cache.memory_values[slots] = value[rows]

    def begin(self, slots: Tensor, items: Tensor, prefixes: Tensor | None, draws: Draws) -> None:
        """Begin searches in free slots that have their memories.

        Args:
            slots: int64 [m]. items: what to call their results, int64 [m].
            prefixes: int32 [m, T] where the shape has them.
            draws: int64 [m]; only sampling looks at them.
        """
        self.owner[slots] = items
        if self.sampling is not None:
            for field in fields(Draws):
                getattr(self.sampling, field.name)[slots] = getattr(draws, field.name)
        self.state.start(slots, prefixes)

    def free(self, slots: int, count: int) -> Tensor:
        """`count` of the first slots that no search is in, int64; no fewer may be free."""
        return self.state.active[:slots].argsort(stable=True)[:count]

    def shrink(self, slots: int) -> None:
        """Put the searches, no more than `slots`, into the first slots."""
        order = self.state.active.argsort(descending=True, stable=True)[:slots]
        beams = self.sizes.beams
        rows = (order[:, None] * beams + torch.arange(beams, device=order.device)).flatten()
        self.state.move(order)
        for cache in self.caches:
            for x in (cache.keys, cache.values, cache.taps, cache.hiddens):
                x[:, : len(rows)] = x[:, rows]
            for x in (cache.memory_keys, cache.memory_values):
                x[:slots] = x[order]
        own = [self.owner, self.emotions, self.memory_masked, self.memory_lengths]
        if self.sampling is not None:
            own += [self.sampling.seeds, self.sampling.request_ids, self.sampling.sequences]
        for x in own:
            x[:slots] = x[order]

    def reset(self) -> None:
        """No search in any slot."""
        self.state.active.zero_()
        self.state.live_count.zero_()

    def _best(self, hidden: Tensor, banned: Tensor | None, active: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-probs, words and values of each row's best, [N, k], and log-sum-exps, [N]."""
        model = self.model
        log_probs, ids, total = self._topk(
            hidden, model.vocab_weight, model.vocab_bias, self.suppressed, banned, self.sizes.candidates, active
        )
        return log_probs, ids, log_probs, total

    def _penalised(
        self, hidden: Tensor, banned: Tensor | None, history: History
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same with the penalty: on all log-probs (beams) or logits (greedy search), by a stable sort."""
        model, options, k = self.model, self.options, self.sizes.candidates
        logits = model.ops.vocab_logits(hidden, model.vocab_weight, model.vocab_bias)
        total = logits.logsumexp(dim=-1)
        log_probs = torch.where(torch.isfinite(total)[:, None], logits - total[:, None], torch.nan)
        beams = options.num_beams > 1
        said = said_words(history, logits.shape[1])
        values = penalise(log_probs if beams else logits, said, options.repetition_penalty)
        values, ids = without(values, self.suppressed, banned).sort(dim=-1, descending=True, stable=True)
        values, ids = values[:, :k].contiguous(), ids[:, :k]
        best = log_probs.gather(1, ids).masked_fill(values == -inf, -inf)
        return best, ids.int(), values if beams else best, total

    def _forced(
        self, hidden: Tensor, forced: Tensor, log_probs: Tensor, ids: Tensor, values: Tensor, total: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is offered where some rows have a word that must come, int32 [N], or -1."""
        model, token = self.model, forced.clamp(min=0)
        weight = model.vocab_weight[token.long()].float()
        logit = (hidden.float() * weight).sum(dim=-1) + model.vocab_bias[token.long()].float()
        only = torch.full_like(log_probs, -inf)
        only[:, 0] = logit - total
        only = torch.where(log_probs.isnan(), log_probs, only)
        free = (forced < 0)[:, None]
        log_probs, values = (torch.where(free, x, only) for x in (log_probs, values))
        return log_probs, torch.where(free, ids, token[:, None]), values


def _first(cache: DecoderCache, rows: int, slots: int) -> DecoderCache:
    return replace(
        cache,
        keys=cache.keys[:, :rows],
        values=cache.values[:, :rows],
        taps=cache.taps[:, :rows],
        hiddens=cache.hiddens[:, :rows],
        memory_keys=cache.memory_keys[:slots],
        memory_values=cache.memory_values[:slots],
    )
