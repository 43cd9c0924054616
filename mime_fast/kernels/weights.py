"""Weights and caches in the layout that the kernels read, packed once.

Dimensions: B dialogues, N rows (hypotheses), T positions, S memory positions, H heads, D head width, C hidden, V words.
"Wide" is float32, or float64 where the weights are float64: what sums, norms, biases and tables are kept in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.config.model import MimeConfig, ModelConfig
from mime_fast.emotions import LABELS, NEGATIVE_IDS, POSITIVE_IDS
from mime_fast.reference import layers

Tensors = Mapping[str, Tensor]
MASKED_SCORE = layers.MASKED_SCORE  # of a masked key: low, but not -inf


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype of sums."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def positions(config: ModelConfig, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """E_P, [max_positions, C]."""
    return layers.sinusoidal_positions(config.max_positions, config.hidden_size, dtype, torch.device(device))


VOCAB_TILES = {torch.float32: (16, 64), torch.float16: (64, 128), torch.bfloat16: (64, 128)}  # depth, words
CHANNEL_TILE = 16  # of the second convolution's depth


def pack_vocab(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """FC_decode (eq. 29) in whole tiles: [V', C'] with zeros beyond V and C, and float32 [V'] with -inf beyond V.

    So a kernel reads it without masks, 16 bytes at a time, and words beyond V are never found nor add to a sum.
    """
    depth, words = VOCAB_TILES[dtype]
    more = -len(weight) % words
    padded = F.pad(weight.detach(), (0, -weight.shape[1] % depth, 0, more))
    return padded.to(dtype).contiguous(), F.pad(bias.detach().float(), (0, more), value=-math.inf)


@dataclass(frozen=True)
class PriorWeights:
    """Eq. 7-15 and 18-19 with all switches resolved. G groups: positive and negative, or one of all 32 emotions."""

    sample_weight: Tensor  # FC_sample, [C, C]
    sample_bias: Tensor  # [C]
    mu_weight: Tensor  # [G, C, C]
    mu_bias: Tensor  # [G, C]
    sigma_weight: Tensor  # of the group that the sigma is taken from, [G, C, C]
    sigma_bias: Tensor  # [G, C]
    d_weight: Tensor  # FC_d by emotion id, whatever the group, [32, C]
    d_bias: Tensor  # [32]
    emotions: Tensor  # E_E, [32, C]
    group: Tensor  # int32 [32], each emotion's group
    mimicry: bool  # eq. 18-19; False: m = e_pos and m~ = e_neg, or both the one e

    @property
    def groups(self) -> int:
        """G."""
        return len(self.mu_bias)

    @classmethod
    def pack(cls, tensors: Tensors, config: MimeConfig, dtype: torch.dtype, device: torch.device | str) -> PriorWeights:
        """From a model's `state_dict`."""
        names = ("positive", "negative") if config.emotion_grouping else ("all",)
        sigmas = names if config.separate_sigma else (names[0],) * len(names)
        ids = [*POSITIVE_IDS, *NEGATIVE_IDS] if config.emotion_grouping else list(range(len(LABELS)))
        by_id = torch.tensor(ids).argsort()  # FC_d's rows are in the groups' own order

        def stack(layer: str, groups: tuple[str, ...], kind: str) -> Tensor:
            return put(torch.stack([tensors[f"prior.{layer}.{group}.{kind}"] for group in groups]))

        def put(tensor: Tensor) -> Tensor:
            return tensor.detach().to(device=device, dtype=dtype).contiguous()

        def rows(kind: str) -> Tensor:
            return put(torch.cat([tensors[f"prior.fc_d.{group}.{kind}"] for group in names]).cpu()[by_id])

        return cls(
            put(tensors["prior.fc_sample.weight"]),
            put(tensors["prior.fc_sample.bias"]),
            stack("fc_mu", names, "weight"),
            stack("fc_mu", names, "bias"),
            stack("fc_sigma", sigmas, "weight"),
            stack("fc_sigma", sigmas, "bias"),
            rows("weight"),
            rows("bias"),
            put(tensors["emotion_embedding.weight"]),
            torch.tensor(
                [int(config.emotion_grouping and i in NEGATIVE_IDS) for i in range(len(LABELS))],
                dtype=torch.int32,
                device=device,
            ),
            config.emotion_mimicry,
        )


@dataclass(frozen=True)
class DecoderLayerWeights:
    """One layer of TR_resp_Dec. Norms and biases are wide, matrices [out, in]; C' and channels' end in zeros."""

    norm1_weight: Tensor  # before self-attention, [C]
    norm1_bias: Tensor
    self_matrices: Tensor  # queries, keys, values, [3, H * D, C']
    output: Tensor  # [C, H * D]
    norm2_weight: Tensor  # before attention to the memory
    norm2_bias: Tensor
    memory_query: Tensor  # [H * D, C']
    memory_output: Tensor  # [C, H * D]
    norm3_weight: Tensor  # before the convolutions
    norm3_bias: Tensor
    conv1: Tensor  # a matrix a tap, oldest position first, [3, channels, C']
    conv1_bias: Tensor  # [channels]
    conv2: Tensor  # [3, C, channels']
    conv2_bias: Tensor  # [C]


@dataclass(frozen=True)
class DecoderWeights:
    """TR_resp_Dec (eq. 28)."""

    words: Tensor  # E_W of every word, scaled and projected, wide [V, C]
    positions: Tensor  # E_P, wide [max_positions, C]
    layers: tuple[DecoderLayerWeights, ...]
    norm_weight: Tensor  # the last norm, wide [C]
    norm_bias: Tensor
    heads: int
    unbiased_norm: bool  # the released code's LayerNorm
    final_relu: bool
    columns: int  # C', of what the decoder gives: C, then zeros

    @classmethod
    def pack(
        cls,
        tensors: Tensors,
        config: MimeConfig,
        dtype: torch.dtype,
        device: torch.device | str,
        columns: int | None = None,
    ) -> DecoderWeights:
        """From a model's `state_dict`; the table of words is computed in the state's own dtype, float32 or float64.

        `columns`: C', those that `pack_vocab` gave the vocabulary; None: C, and nothing is padded.
        """

        def put(name: str, to: torch.dtype = dtype) -> Tensor:
            return tensors[f"decoder.{name}"].detach().to(device=device, dtype=to).contiguous()

        def deep(matrix: Tensor, depth: int) -> Tensor:
            return F.pad(matrix, (0, depth - matrix.shape[-1])).contiguous()

        def taps(name: str, depth: int) -> Tensor:
            return deep(put(name).permute(2, 0, 1), depth)

        depth, channels = config.hidden_size, config.ffn_channels
        if columns is not None:
            depth, channels = columns, -(-channels // CHANNEL_TILE) * CHANNEL_TILE

        full = wide(dtype)
        scaled = tensors["word_embedding.weight"].detach() * math.sqrt(config.hidden_size)
        words = scaled @ tensors["decoder.projection.weight"].detach().T
        stack = []
        for i in range(config.num_layers):
            at = f"layers.{i}."
            stack.append(
                DecoderLayerWeights(
                    put(f"{at}norm_self_attention.weight", full),
                    put(f"{at}norm_self_attention.bias", full),
                    deep(
                        torch.stack([put(f"{at}self_attention.{name}.weight") for name in ("query", "key", "value")]),
                        depth,
                    ),
                    put(f"{at}self_attention.output.weight"),
                    put(f"{at}norm_memory_attention.weight", full),
                    put(f"{at}norm_memory_attention.bias", full),
                    deep(put(f"{at}memory_attention.query.weight"), depth),
                    put(f"{at}memory_attention.output.weight"),
                    put(f"{at}norm_ffn.weight", full),
                    put(f"{at}norm_ffn.bias", full),
                    taps(f"{at}ffn.conv1.weight", depth),
                    put(f"{at}ffn.conv1.bias", full),
                    taps(f"{at}ffn.conv2.weight", channels),
                    put(f"{at}ffn.conv2.bias", full),
                )
            )
        return cls(
            words.to(device=device, dtype=full).contiguous(),
            positions(config, full, device),
            tuple(stack),
            put("norm.weight", full),
            put("norm.bias", full),
            config.num_heads,
            config.unbiased_norm,
            config.final_relu,
            depth,
        )


@dataclass(frozen=True)
class DecoderCache:
    """What one decoder layer keeps. A position's entries lie at the row that its hypothesis had at that step.

    Nothing moves when beams part or die: `plain_decoder.History` says which row to read. A view of the first N rows of
    a larger cache will do.
    """

    keys: Tensor  # [T, N, H, D]
    values: Tensor  # [T, N, H, D]
    taps: Tensor  # the first convolution's products with its two older taps, wide [3, N, 2, channels], t modulo 3
    hiddens: Tensor  # the second convolution's inputs, [3, N, channels], t modulo 3
    memory_keys: Tensor  # [B, S, H, D], row n reads dialogue n div (N / B)
    memory_values: Tensor  # [B, S, H, D]

    @classmethod
    def empty(
        cls, config: MimeConfig, rows: int, length: int, dialogues: int, source: int, like: Tensor
    ) -> DecoderCache:
        """Room for N `rows`, T `length`, B `dialogues` and S `source`, in the dtype and on the device of `like`.

        Raises:
            torch.cuda.OutOfMemoryError: too large for the kernels' 32-bit offsets, or for the device.
        """
        depth, channels = config.attention_depth // config.num_heads, config.ffn_channels
        own, memory = (length, rows, config.num_heads, depth), (dialogues, source, config.num_heads, depth)
        largest = max(math.prod(own), math.prod(memory))
        if largest >= 2**31:  # less memory is asked for next, as where there is too little of it
            raise torch.cuda.OutOfMemoryError(f"a cache of {largest:,} numbers; kernels reach 2^31")
        return cls(
            like.new_zeros(own),
            like.new_zeros(own),
            like.new_zeros((3, rows, 2, channels), dtype=wide(like.dtype)),
            like.new_zeros((3, rows, channels)),
            like.new_zeros(memory),
            like.new_zeros(memory),
        )
