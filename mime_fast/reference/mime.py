"""MIME in plain PyTorch: the definition that every faster implementation is tested against.

Dimensions: B batch, S context length with CTX, k = S - 1, T response length, C hidden size, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import mime_fast.needs_torch

import torch
from torch import Tensor, nn

from mime_fast.config.model import MimeConfig
from mime_fast.emotions import LABELS, POSITIVE_IDS
from mime_fast.reference.decoder import Decoder, Memory
from mime_fast.reference.dialogue_model import Context, DialogueModel
from mime_fast.reference.layers import Encoder
from mime_fast.reference.response_emotion import (
    Mixture,
    ResponseEmotionPosterior,
    ResponseEmotionPrior,
)


@dataclass(frozen=True)
class Refined:
    """The refined contexts of eq. 22-23; S is k where CTX is dropped."""

    mimic: Tensor  # M, [B, S, C]
    other: Tensor  # M~, [B, S, C]
    real: Tensor  # bool [B, S]


@dataclass(frozen=True)
class FusedMemory(Memory):
    """The fused contexts, and how the gate shared them."""

    mimic_share: Tensor  # mean(g[:C]) / (mean(g[:C]) + mean(g[C:])) of the gate g, [B, S]; 0.5 where g is 0


class GateFusion(nn.Module):
    """Response-emotion-refined context fusion (eq. 24-27)."""

    def __init__(self, config: MimeConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.fc_contrib = nn.Linear(2 * size, 2 * size)
        self.fc_fused = nn.Linear(2 * size, size)

    def forward(self, mimic: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """M and M~ [B, S, C] -> M_fused [B, S, C] and the gate M_contrib [B, S, 2C]."""
        both = torch.cat([mimic, other], dim=-1)  # M', eq. 24
        gate = self.fc_contrib(both).sigmoid()  # eq. 25
        return self.fc_fused(gate * both), gate  # eq. 26-27


class Mime(DialogueModel):
    """The model; `config` chooses between the paper's equations and the released code's (see `MimeConfig`)."""

    config: MimeConfig
    is_positive: Tensor  # bool [32]

    def __init__(self, config: MimeConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.emotion_query = nn.Linear(size, size, bias=False)  # W_E, eq. 4
        self.emotion_embedding = nn.Embedding(len(LABELS), size)  # E_E, eq. 4 and 10
        self.prior = ResponseEmotionPrior(config)
        self.posterior = ResponseEmotionPosterior(config)
        num_encoders = 1 if config.shared_response_encoder else 2
        self.response_encoders = nn.ModuleList(
            Encoder(config, 2 * size, config.num_layers) for _ in range(num_encoders)
        )
        self.fusion = GateFusion(config)
        self.add_output(Decoder(config))
        if config.preset == "released":
            self.unused = UnusedTensors(size)
        self.register_buffer(
            "is_positive", torch.tensor([i in POSITIVE_IDS for i in range(len(LABELS))]), persistent=False
        )

    def emotion_logits(self, c: Tensor) -> Tensor:
        """s of eq. 4, [B, 32]."""
        logits: Tensor = self.emotion_query(c) @ self.emotion_embedding.weight.T
        return logits

    def decoder_memory(self, context: Context, emotion: Tensor, noise: Tensor | None) -> tuple[FusedMemory, Mixture]:
        """Eq. 7-27."""
        mixture = self.sample(context.c, noise)
        return self.remember(context, mixture, emotion), mixture

    def sample(self, c: Tensor, noise: Tensor | None) -> Mixture:
        """Eq. 7-15 from the prior.

        Args:
            c: context vectors, [B, C].
            noise: standard normals, [B, G, C], G = 2 (the positive group's first) or 1 without grouping; None: z = mu.
        """
        gaussians = self.prior(c)
        z = {
            g: gaussian.sample(None if noise is None else noise[:, i])
            for i, (g, gaussian) in enumerate(gaussians.items())
        }
        return self.prior.mix(z, self.emotion_embedding.weight)

    def mimicry(self, mixture: Mixture, emotion: Tensor) -> tuple[Tensor, Tensor]:
        """m and m~ (eq. 18-19), each [B, C], for user emotions [B] (indices)."""
        if not self.config.emotion_grouping:
            return mixture.emotions["all"], mixture.emotions["all"]
        positive, negative = mixture.emotions["positive"], mixture.emotions["negative"]
        if not self.config.emotion_mimicry:
            return positive, negative
        user_positive = self.is_positive[emotion][:, None]
        return torch.where(user_positive, positive, negative), torch.where(user_positive, negative, positive)

    def refine(self, context: Context, m: Tensor, m_other: Tensor) -> Refined:
        """Eq. 20-23 for m and m~ [B, C]."""
        first = 1 if self.config.drop_ctx else 0
        hidden, real = context.hidden[:, first:], context.real[:, first:]
        mimic = self.response_encoders[0](_append(hidden, m), real)
        other = self.response_encoders[-1](_append(hidden, m_other), real)
        return Refined(mimic, other, real)

    def fuse(self, refined: Refined) -> FusedMemory:
        """Eq. 24-27."""
        fused, gate = self.fusion(refined.mimic, refined.other)
        return FusedMemory(fused, refined.real, _mimic_share(gate.unflatten(-1, (2, -1)).mean(dim=-1)))

    def remember(self, context: Context, mixture: Mixture, emotion: Tensor) -> FusedMemory:
        """Eq. 18-27: the decoder's memory for user emotions [B] (indices)."""
        return self.fuse(self.refine(context, *self.mimicry(mixture, emotion)))


class UnusedTensors(nn.Module):
    """Tensors of a released checkpoint that no computation reads; kept so that conversion loses nothing."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.decoder_key = nn.Linear(size, len(LABELS), bias=False)
        self.e_weight = nn.Linear(size, size)
        self.p_gen = nn.Linear(size, 1)
        self.posterior_fc_d_positive = nn.Linear(size, len(POSITIVE_IDS))
        self.posterior_fc_d_negative = nn.Linear(size, len(LABELS) - len(POSITIVE_IDS))


def _mimic_share(both: Tensor) -> Tensor:
    """M's share of what the gate gives M and M~, [..., 2]: [...]; half where it gives neither anything."""
    total = both.sum(dim=-1)
    return (both[..., 0] / total).masked_fill(total == 0, 0.5)


def _append(hidden: Tensor, emotion: Tensor) -> Tensor:
    """[H_i ; m] at every position, eq. 20-21: [B, S, 2C]."""
    return torch.cat([hidden, emotion[:, None].expand_as(hidden)], dim=-1)
