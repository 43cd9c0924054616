"""The response decoder (eq. 28), whole prefixes at once or one position at a time with a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import mime_fast.needs_torch

import torch
from torch import Tensor, nn

from mime_fast.config.model import ModelConfig
from mime_fast.reference.layers import Attention, FeedForward, Positions, layer_norm
from mime_fast.text.special import PAD_ID


@dataclass(frozen=True)
class Memory:
    """What the decoder reads."""

    fused: Tensor  # M_fused; H in a model that fuses nothing; [B, S, C]
    real: Tensor  # bool [B, S]

    def select(self, rows: Tensor) -> Self:
        """The given dialogues; they may repeat, drop out or change places."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class LayerCache:
    """What one decoder layer keeps between positions, a row a hypothesis."""

    keys: Tensor  # [N, H, t, D]
    values: Tensor  # [N, H, t, D]
    memory_keys: Tensor  # [N, H, S, D]
    memory_values: Tensor  # [N, H, S, D]
    ffn_inputs: Tensor  # [N, 2, C], the last two inputs of the first convolution
    ffn_hiddens: Tensor  # [N, 2, channels], the last two inputs of the second

    def select(self, rows: Tensor) -> LayerCache:
        return LayerCache(*(getattr(self, name).index_select(0, rows) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class DecoderState:
    """Everything the next position needs."""

    layers: tuple[LayerCache, ...]
    masked: Tensor  # bool [N, t], generated PADs: never seen as keys
    memory_masked: Tensor  # bool [N, S]

    def select(self, rows: Tensor) -> DecoderState:
        """The given rows; they may repeat, drop out or change places."""
        layers = tuple(layer.select(rows) for layer in self.layers)
        return DecoderState(layers, self.masked.index_select(0, rows), self.memory_masked.index_select(0, rows))


class DecoderLayer(nn.Module):
    """Pre-norm causal self-attention, attention to the memory, causal feed-forward, each around a residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm_self_attention = layer_norm(config)
        self.self_attention = Attention(config)
        self.norm_memory_attention = layer_norm(config)
        self.memory_attention = Attention(config)
        self.norm_ffn = layer_norm(config)
        self.ffn = FeedForward(config, causal=True)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, masked: Tensor, memory: Tensor, memory_masked: Tensor) -> Tensor:
        """x [B, T, C], masked [B, 1, T, T], memory [B, S, C], memory_masked [B, 1, 1, S]."""
        normed = self.norm_self_attention(x)
        x = x + self.dropout(self.self_attention(normed, *self.self_attention.project(normed), masked))
        keys, values = self.memory_attention.project(memory)
        x = x + self.dropout(self.memory_attention(self.norm_memory_attention(x), keys, values, memory_masked))
        out: Tensor = x + self.dropout(self.ffn(self.norm_ffn(x)))
        return out

    def start(self, memory: Tensor) -> LayerCache:
        """The cache before the first position, memory [N, S, C]."""
        keys, values = self.memory_attention.project(memory)
        empty = keys[:, :, :0]
        inputs = memory.new_zeros(len(memory), 2, memory.shape[-1])
        return LayerCache(
            empty, empty, keys, values, inputs, inputs.new_zeros(len(memory), 2, self.ffn.conv1.out_channels)
        )

    def step(self, x: Tensor, masked: Tensor, memory_masked: Tensor, cache: LayerCache) -> tuple[Tensor, LayerCache]:
        """The next position, x [N, 1, C]; masked [N, t + 1] with the new position."""
        normed = self.norm_self_attention(x)
        new_keys, new_values = self.self_attention.project(normed)
        keys = torch.cat([cache.keys, new_keys], dim=2)
        values = torch.cat([cache.values, new_values], dim=2)
        x = x + self.self_attention(normed, keys, values, masked[:, None, None])
        query = self.norm_memory_attention(x)
        x = x + self.memory_attention(query, cache.memory_keys, cache.memory_values, memory_masked[:, None, None])
        out, inputs, hiddens = self.ffn.step(self.norm_ffn(x)[:, 0], cache.ffn_inputs, cache.ffn_hiddens)
        return x + out[:, None], LayerCache(keys, values, cache.memory_keys, cache.memory_values, inputs, hiddens)


class Decoder(nn.Module):
    """TR_resp_Dec over embedded response words."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.positions = Positions(config)
        self.projection = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = layer_norm(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, embedded: Tensor, ids: Tensor, memory: Memory) -> Tensor:
        """O of eq. 28 for whole prefixes.

        Args:
            embedded: E_W of the prefixes, [B, T, C]; ids: the same as ids, [B, T] (a PAD is never seen as a key).
            memory: of B dialogues.
        """
        return self.refine(self.dropout(self._placed(embedded)), unseen(ids), memory)

    def refine(self, x: Tensor, masked: Tensor, memory: Memory) -> Tensor:
        """All layers and the last norm: x [B, T, C], masked [B, 1, T, T]."""
        for layer in self.layers:
            x = layer(x, masked, memory.fused, ~memory.real[:, None, None])
        out: Tensor = self.norm(x)
        return out

    def start(self, memory: Memory) -> DecoderState:
        """The state before the first position, a row a dialogue."""
        layers = tuple(layer.start(memory.fused) for layer in self.layers)  # type: ignore[operator]
        return DecoderState(layers, memory.real.new_zeros(len(memory.real), 0), ~memory.real)

    def step(self, embedded: Tensor, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """O of the next position: embedded [N, C] and ids [N] of the last words -> [N, C] and the state after them."""
        return self.refine_next(*self._next(embedded, ids, state), state)

    def refine_next(self, x: Tensor, masked: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """`refine` for the next position: x [N, 1, C], masked [N, t + 1] with the new position."""
        caches = []
        for layer, cache in zip(self.layers, state.layers, strict=True):
            x, cache = layer.step(x, masked, state.memory_masked, cache)  # type: ignore[operator]  # noqa: PLW2901
            caches.append(cache)
        return self.norm(x)[:, 0], DecoderState(tuple(caches), masked, state.memory_masked)

    def _next(self, embedded: Tensor, ids: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        masked = torch.cat([state.masked, (ids == PAD_ID)[:, None]], dim=1)
        return self._placed(embedded[:, None], start=masked.shape[1] - 1), masked

    def _placed(self, embedded: Tensor, start: int = 0) -> Tensor:
        """Projected words [B, T, C] with their positions from `start` on."""
        placed: Tensor = self.positions(self.projection(embedded), start)
        return placed


def unseen(ids: Tensor) -> Tensor:
    """What each position of prefixes [B, T] does not see, its future and PADs: bool [B, 1, T, T]."""
    future = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).triu(1)
    return (future | (ids == PAD_ID)[:, None])[:, None]
