"""MoEL (Lin et al., 2019; section 4.2): a listener for each emotion, and a meta listener that reads their mixture.

Dimensions: B batch, S source, T response, N hypotheses, C hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import mime_fast.needs_torch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mime_fast.config.model import MoelConfig
from mime_fast.emotions import LABELS
from mime_fast.reference.decoder import Decoder, DecoderLayer, DecoderState, LayerCache, Memory, unseen
from mime_fast.reference.dialogue_model import Context, DialogueModel


@dataclass(frozen=True)
class MoelMemory(Memory):
    """H, and who listens to it."""

    weights: Tensor  # p, of each emotion's listener, 0 for those that are not used, [B, 32]


@dataclass(frozen=True)
class MoelState(DecoderState):
    """`layers` has the shared listener's cache, those of the 32 emotions and the meta listener's."""

    weights: Tensor  # p, [N, 32]

    def select(self, rows: Tensor) -> MoelState:
        selected = super().select(rows)
        return MoelState(selected.layers, selected.masked, selected.memory_masked, self.weights.index_select(0, rows))


class MoelDecoder(Decoder):
    """All listeners read the same words x; the meta listener, `layers`, reads shared(x) + sum_i p_i listener_i(x).

    A listener that no dialogue uses is not run.
    """

    def __init__(self, config: MoelConfig) -> None:
        super().__init__(config)
        self.shared_listener = DecoderLayer(config)
        self.listeners = nn.ModuleList(DecoderLayer(config) for _ in LABELS)

    def forward(self, embedded: Tensor, ids: Tensor, memory: Memory) -> Tensor:
        assert isinstance(memory, MoelMemory)
        x = self.dropout(self._placed(embedded))
        masked, memory_masked = unseen(ids), ~memory.real[:, None, None]
        combined = torch.zeros_like(x)
        for listener, weights in zip(self.listeners, memory.weights.unbind(dim=1), strict=True):
            rows = weights.nonzero()[:, 0]
            if len(rows):
                said = listener(x[rows], masked[rows], memory.fused[rows], memory_masked[rows])
                combined = combined.index_add(0, rows, weights[rows, None, None] * said)
        combined = combined + self.shared_listener(x, masked, memory.fused, memory_masked)
        return self.refine(combined, masked, memory)

    def start(self, memory: Memory) -> MoelState:
        assert isinstance(memory, MoelMemory)
        meta = super().start(memory)
        listeners = (layer.start(memory.fused) for layer in (self.shared_listener, *self.listeners))
        return MoelState((*listeners, *meta.layers), meta.masked, meta.memory_masked, memory.weights)

    def step(self, embedded: Tensor, ids: Tensor, state: DecoderState) -> tuple[Tensor, MoelState]:
        assert isinstance(state, MoelState)
        x, masked = self._next(embedded, ids, state)
        count = 1 + len(self.listeners)
        caches: list[LayerCache] = list(state.layers[:count])
        combined = torch.zeros_like(x)
        for i, (listener, weights) in enumerate(zip(self.listeners, state.weights.unbind(dim=1), strict=True), 1):
            if weights.any():
                said, caches[i] = listener.step(x, masked, state.memory_masked, caches[i])  # type: ignore[operator]
                combined = combined + torch.where(weights[:, None, None] > 0, weights[:, None, None] * said, 0.0)
        shared, caches[0] = self.shared_listener.step(x, masked, state.memory_masked, caches[0])
        meta = DecoderState(state.layers[count:], state.masked, state.memory_masked)
        out, meta = self.refine_next(combined + shared, masked, meta)
        return out, MoelState((*caches, *meta.layers), meta.masked, meta.memory_masked, state.weights)


class Moel(DialogueModel):
    """The classifier's likeliest emotions say whose listeners are used, and how much; no noise, no mimicry."""

    config: MoelConfig
    decoder: MoelDecoder

    def __init__(self, config: MoelConfig) -> None:
        super().__init__(config)
        self.emotion_key = nn.Linear(config.hidden_size, len(LABELS), bias=False)
        self.add_output(MoelDecoder(config))
        if config.preset == "released":
            self.unused = UnusedMoelTensors(config.hidden_size)

    def emotion_logits(self, c: Tensor) -> Tensor:
        logits: Tensor = self.emotion_key(c)
        return logits

    def decoder_memory(self, context: Context, emotion: Tensor, noise: Tensor | None) -> tuple[MoelMemory, None]:
        return self.listen(context, self.listener_weights(context.emotion_logits)), None

    def listen(self, context: Context, weights: Tensor) -> MoelMemory:
        """The decoder's memory for listeners of these weights, [B, 32]."""
        return MoelMemory(context.hidden, context.real, weights)

    def listener_weights(self, emotion_logits: Tensor) -> Tensor:
        """p: the softmax over the `top_listeners` largest logits (equal ones by lowest index), 0 elsewhere; [B, 32]."""
        order = emotion_logits.sort(dim=1, descending=True, stable=True).indices
        likeliest = order[:, : self.config.top_listeners]
        weights = torch.zeros_like(emotion_logits).scatter(
            1, likeliest, emotion_logits.gather(1, likeliest).softmax(dim=1)
        )
        if self.training:
            return weights
        return weights.masked_fill(weights <= self.config.min_listener_weight, 0.0)

    def gold_weights(self, emotion: Tensor) -> Tensor:
        """p of training with given emotions [B]: only that listener; [B, 32]."""
        return F.one_hot(emotion, len(LABELS)).to(self.fc_decode.weight.dtype)


class UnusedMoelTensors(nn.Module):
    """Tensors of the released model that no computation reads; its checkpoints lack `emoji_embedding`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.p_gen = nn.Linear(size, 1)
        self.emoji_embedding = nn.Linear(64, size, bias=False)
