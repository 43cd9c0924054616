"""The normals r of eq. 14 for a batch of requests."""

from __future__ import annotations

from collections.abc import Sequence

import mime_fast.needs_torch

import numpy as np
import torch
from torch import Tensor

from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.philox import Purpose, standard_normal

PRIOR = (Purpose.PRIOR_POSITIVE, Purpose.PRIOR_NEGATIVE)
POSTERIOR = (Purpose.POSTERIOR_POSITIVE, Purpose.POSTERIOR_NEGATIVE)


def prior_noise(model: DialogueModel, seeds: Sequence[int], request_ids: Sequence[int], step: int = 0) -> Tensor:
    """Noise of the prior's groups, [B, G, C], in the model's dtype and on its device."""
    return _noise(model, PRIOR[: model.noise_groups], seeds, request_ids, step)


def training_noise(model: DialogueModel, seed: int, request_ids: Sequence[int], epoch: int) -> Tensor:
    """Noise of the prior's and then the posterior's groups, [B, 2 G, C], new in each epoch."""
    groups = model.noise_groups
    return _noise(model, (*PRIOR[:groups], *POSTERIOR[:groups]), [seed] * len(request_ids), request_ids, epoch)


def _noise(
    model: DialogueModel, purposes: Sequence[Purpose], seeds: Sequence[int], request_ids: Sequence[int], step: int
) -> Tensor:
    size = model.config.hidden_size
    noise = np.zeros((len(seeds), len(purposes), size))
    for i, purpose in enumerate(purposes):
        noise[:, i] = standard_normal(seeds, request_ids, purpose, size, step=step)
    weight = model.fc_decode.weight
    return torch.from_numpy(noise).to(device=weight.device, dtype=weight.dtype)
