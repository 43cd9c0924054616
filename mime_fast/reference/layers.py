"""The layers that encoders and decoder are made of.

Dimensions: B batch, S source, T target, H heads, D head width, C hidden.

The released code gives only convolutions for a feed-forward layer, 20 features a head and sines before cosines; the
paper is silent on all three, so both presets have them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import mime_fast.needs_torch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mime_fast.config.model import ModelConfig

MASKED_SCORE = -1e18  # replaces a masked attention score; a row with nothing but masked keys becomes uniform


@lru_cache(maxsize=16)
def sinusoidal_positions(rows: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """E_P [rows, size]: columns sin(p w_j), then cos(p w_j), w_j = exp(-j ln(10000) / (size/2 - 1)), j < size/2."""
    half = size // 2
    rate = torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(10000.0) / (half - 1)))
    angle = torch.arange(rows, dtype=torch.float64)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(device=device, dtype=dtype)


class Positions(nn.Module):
    """x + E_P[start : start + T], x [B, T, C]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.rows = config.max_positions

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return x + self.table(x)[start : start + x.shape[1]]

    def table(self, like: Tensor) -> Tensor:
        """E_P of the size, dtype and device of `like` [..., C]."""
        return sinusoidal_positions(self.rows, like.shape[-1], like.dtype, like.device)


class UnbiasedLayerNorm(nn.Module):
    """The released code's norm: weight * (x - mean) / (s + 1e-6) + bias, s the deviation with n - 1 in the divisor."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        deviation = x.std(dim=-1, keepdim=True)
        return self.weight * (x - x.mean(dim=-1, keepdim=True)) / (deviation + 1e-6) + self.bias


def layer_norm(config: ModelConfig) -> nn.Module:
    """The preset's LayerNorm over the hidden size."""
    return UnbiasedLayerNorm(config.hidden_size) if config.unbiased_norm else nn.LayerNorm(config.hidden_size)


class Attention(nn.Module):
    """Multi-head attention without biases; keys and values can be projected once and kept."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.scale = (config.attention_depth // config.num_heads) ** -0.5
        self.query = nn.Linear(config.hidden_size, config.attention_depth, bias=False)
        self.key = nn.Linear(config.hidden_size, config.attention_depth, bias=False)
        self.value = nn.Linear(config.hidden_size, config.attention_depth, bias=False)
        self.output = nn.Linear(config.attention_depth, config.hidden_size, bias=False)

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of memory [B, S, C], each [B, H, S, D]."""
        return self._split(self.key(memory)), self._split(self.value(memory))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, masked: Tensor) -> Tensor:
        """Attend from x [B, T, C]; masked (bool, broadcast to [B, H, T, S]) marks keys that are not to be seen."""
        query = self._split(self.query(x) * self.scale)
        scores = query @ keys.transpose(-1, -2)  # [B, H, T, S]
        scores = scores.masked_fill(masked, max(MASKED_SCORE, torch.finfo(scores.dtype).min))
        heads = scores.softmax(dim=-1) @ values  # [B, H, T, D]
        merged: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return merged

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Two convolutions of width 3 over positions: C -> channels -> C, centred in encoders, causal in the decoder."""

    def __init__(self, config: ModelConfig, *, causal: bool) -> None:
        super().__init__()
        self.pad = (2, 0) if causal else (1, 1)
        self.final_relu = config.final_relu
        self.conv1 = nn.Conv1d(config.hidden_size, config.ffn_channels, 3)
        self.conv2 = nn.Conv1d(config.ffn_channels, config.hidden_size, 3)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """x [B, T, C]; positions where real [B, T] is false count as the zeros beyond the end."""
        hidden = self._convolve(self.conv1, x, real).relu()
        return self._finish(self._convolve(self.conv2, hidden, real))

    def step(self, x: Tensor, inputs: Tensor, hiddens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One position of the causal form: x [B, C], the last two inputs [B, 2, C] and hiddens [B, 2, channels]."""
        window = torch.cat([inputs, x[:, None]], dim=1)  # [B, 3, C]
        hidden = self.conv1(window.transpose(1, 2)).transpose(1, 2).relu()
        hidden_window = torch.cat([hiddens, hidden], dim=1)
        out = self.conv2(hidden_window.transpose(1, 2))[:, :, 0]
        return self._finish(out), window[:, 1:], hidden_window[:, 1:]

    def _convolve(self, conv: nn.Module, x: Tensor, real: Tensor | None) -> Tensor:
        if real is not None:
            x = x * real[..., None]
        out: Tensor = conv(F.pad(x.transpose(1, 2), self.pad)).transpose(1, 2)
        return out

    def _finish(self, x: Tensor) -> Tensor:
        return x.relu() if self.final_relu else x


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and feed-forward, each around a residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm_attention = layer_norm(config)
        self.attention = Attention(config)
        self.norm_ffn = layer_norm(config)
        self.ffn = FeedForward(config, causal=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        normed = self.norm_attention(x)
        keys, values = self.attention.project(normed)
        x = x + self.dropout(self.attention(normed, keys, values, ~real[:, None, None, :]))
        out: Tensor = x + self.dropout(self.ffn(self.norm_ffn(x), real))
        return out


class Encoder(nn.Module):
    """TR_Enc: projection to C, positions, layers, a last norm."""

    def __init__(self, config: ModelConfig, input_size: int, num_layers: int) -> None:
        super().__init__()
        self.positions = Positions(config)
        self.projection = nn.Linear(input_size, config.hidden_size, bias=False)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(num_layers))
        self.norm = layer_norm(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x [B, S, input_size], real [B, S] (false at padding) -> [B, S, C]."""
        x = self.dropout(self.positions(self.projection(x)))
        for layer in self.layers:
            x = layer(x, real)
        out: Tensor = self.norm(x)
        return out
