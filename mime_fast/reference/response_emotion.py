"""Response-emotion sampling (eq. 7-15, 17) and the mixture of emotion embeddings (eq. 9-10)."""

from __future__ import annotations

from dataclasses import dataclass

import mime_fast.needs_torch

import torch
from torch import Tensor, nn

from mime_fast.config.model import MimeConfig
from mime_fast.emotions import LABELS, NEGATIVE_IDS, POSITIVE_IDS

GROUPS: dict[str, tuple[int, ...]] = {
    "positive": POSITIVE_IDS,
    "negative": NEGATIVE_IDS,
    "all": tuple(range(len(LABELS))),  # without emotion grouping
}


def group_names(config: MimeConfig) -> tuple[str, ...]:
    """The groups g that a model samples, in the order of its noise."""
    return ("positive", "negative") if config.emotion_grouping else ("all",)


@dataclass(frozen=True)
class Gaussian:
    """A diagonal normal distribution over z_g."""

    mean: Tensor  # [B, C]
    log_variance: Tensor  # [B, C]

    def sample(self, noise: Tensor | None) -> Tensor:
        """Eq. 15 with r = noise [B, C]; the mean without noise (the paper's "w/o STC")."""
        return self.mean if noise is None else self.mean + noise * torch.exp(0.5 * self.log_variance)


@dataclass(frozen=True)
class Mixture:
    """The sampled emotion of each group."""

    weights: dict[str, Tensor]  # d_g, [B, n_g]
    emotions: dict[str, Tensor]  # e_g, [B, C]


class ResponseEmotionPrior(nn.Module):
    """P(z_g | C), eq. 11-13, and FC_d of eq. 9."""

    def __init__(self, config: MimeConfig) -> None:
        super().__init__()
        size = config.hidden_size
        groups = group_names(config)
        self.separate_sigma = config.separate_sigma
        self.fc_sample = nn.Linear(size, size)
        self.fc_mu = nn.ModuleDict({g: nn.Linear(size, size) for g in groups})
        self.fc_sigma = nn.ModuleDict({g: nn.Linear(size, size) for g in groups})
        self.fc_d = nn.ModuleDict({g: nn.Linear(size, len(GROUPS[g])) for g in groups})

    def forward(self, c: Tensor) -> dict[str, Gaussian]:
        """Eq. 11-13 for the context vector c [B, C]."""
        hidden = self.fc_sample(c).relu()  # c', eq. 11
        groups = list(self.fc_mu)
        sigma_of = {g: g if self.separate_sigma else groups[0] for g in groups}
        return {g: Gaussian(self.fc_mu[g](hidden), self.fc_sigma[sigma_of[g]](hidden)) for g in groups}

    def mix(self, z: dict[str, Tensor], emotion_embeddings: Tensor) -> Mixture:
        """Eq. 9 and 10 for z_g [B, C] and E_E [32, C]."""
        weights = {g: self.fc_d[g](z[g]).softmax(dim=-1) for g in z}
        emotions = {g: weights[g] @ emotion_embeddings[list(GROUPS[g])] for g in z}
        return Mixture(weights, emotions)


class ResponseEmotionPosterior(nn.Module):
    """Q(z_g | e_g, C), eq. 17; only training uses it. Each group has layers of its own, as in the released code."""

    def __init__(self, config: MimeConfig) -> None:
        super().__init__()
        size = config.hidden_size
        groups = group_names(config)
        self.separate_sigma = config.separate_sigma
        self.fc_sample = nn.ModuleDict({g: nn.Linear(2 * size, size) for g in groups})
        self.fc_mu = nn.ModuleDict({g: nn.Linear(size, size) for g in groups})
        self.fc_sigma = nn.ModuleDict({g: nn.Linear(size, size) for g in groups})

    def forward(self, c: Tensor, observed: dict[str, Tensor]) -> dict[str, Gaussian]:
        """c [B, C] and, for each group, e_g (or the mean refined context of the released code) [B, C]."""
        hidden = {g: self.fc_sample[g](torch.cat([c, observed[g]], dim=-1)).relu() for g in observed}
        first = next(iter(observed))
        sigma_of = {g: g if self.separate_sigma else first for g in observed}
        return {
            g: Gaussian(self.fc_mu[g](hidden[g]), self.fc_sigma[sigma_of[g]](hidden[sigma_of[g]])) for g in observed
        }
