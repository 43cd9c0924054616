"""Weights of encoders in the layout that the kernel reads, packed once.

E encoders of L layers in one array per kind; C hidden, C' the columns of matrices that C columns go into, 0 beyond C.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.config.model import ModelConfig
from mime_fast.kernels.weights import CHANNEL_TILE, Tensors, positions, wide


@dataclass(frozen=True)
class EncoderWeights:
    """TR_ctx_enc or TR_resp_enc after the projection. Norms, biases and positions are wide, matrices [out, in]."""

    positions: Tensor  # E_P, [max_positions, C]
    norm1_weight: Tensor  # before attention, [E, L, C]
    norm1_bias: Tensor
    matrices: Tensor  # queries, keys, values, [E, L, 3, H * D, C']
    output: Tensor  # [E, L, C, H * D]
    norm2_weight: Tensor  # before the convolutions
    norm2_bias: Tensor
    conv1: Tensor  # a matrix a tap, the position before first, [E, L, 3, channels, C']
    conv1_bias: Tensor  # [E, L, channels]
    conv2: Tensor  # [E, L, 3, C, channels'], 0 beyond the channels
    conv2_bias: Tensor  # [E, L, C]
    norm_weight: Tensor  # the last norm, [E, C]
    norm_bias: Tensor
    onward: Tensor | None  # what the last norm's rows are multiplied by, [columns, C']
    heads: int
    unbiased_norm: bool  # the released code's LayerNorm
    final_relu: bool

    @classmethod
    def pack(
        cls,
        tensors: Tensors,
        config: ModelConfig,
        encoders: Sequence[str],
        num_layers: int,
        dtype: torch.dtype,
        device: torch.device | str,
        columns: int | None = None,
        onward: Tensor | None = None,
    ) -> EncoderWeights:
        """From a model's `state_dict`: `encoders` are names in it; `onward` is [columns, C] in any dtype.

        `columns`: C'; None: C, and nothing is padded.
        """
        depth, channels = config.hidden_size, config.ffn_channels
        if columns is not None:
            depth, channels = columns, -(-channels // CHANNEL_TILE) * CHANNEL_TILE
        full = wide(dtype)

        def put(x: Tensor, to: torch.dtype, width: int) -> Tensor:
            padded = F.pad(x.detach(), (0, width - x.shape[-1]))
            return padded.to(device=device, dtype=to).contiguous()

        def last(name: str) -> Tensor:
            return put(torch.stack([tensors[f"{each}.norm.{name}"] for each in encoders]), full, config.hidden_size)

        def stack(name: str) -> Tensor:
            return torch.stack(
                [torch.stack([tensors[f"{each}.layers.{i}.{name}"] for i in range(num_layers)]) for each in encoders]
            )

        def vector(name: str) -> Tensor:
            return put(stack(name), full, stack(name).shape[-1])

        def taps(name: str, width: int) -> Tensor:
            return put(stack(name).movedim(-1, 2), dtype, width)

        parts = [stack(f"attention.{name}.weight") for name in ("query", "key", "value")]
        return cls(
            positions(config, full, device),
            vector("norm_attention.weight"),
            vector("norm_attention.bias"),
            put(torch.stack(parts, dim=2), dtype, depth),
            put(stack("attention.output.weight"), dtype, config.attention_depth),
            vector("norm_ffn.weight"),
            vector("norm_ffn.bias"),
            taps("ffn.conv1.weight", depth),
            vector("ffn.conv1.bias"),
            taps("ffn.conv2.weight", channels),
            vector("ffn.conv2.bias"),
            last("weight"),
            last("bias"),
            None if onward is None else put(onward, dtype, depth),
            config.num_heads,
            config.unbiased_norm,
            config.final_relu,
        )
