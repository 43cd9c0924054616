"""A sampled token a row, on the device: docs/search.md, "Sampling". Plain PyTorch on all V log-probs, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.kernels.plain_noise import LOW, philox4x32
from mime_fast.kernels.sorted_topk import without
from mime_fast.reference.philox import BLOCK_BITS, PURPOSE_BITS, Purpose
from mime_fast.reference.search import filter_logits


@dataclass(frozen=True)
class Draws:
    """What the Gumbel numbers of each slot depend on, int64 [B]; seeds and request ids by their bits."""

    seeds: Tensor
    request_ids: Tensor
    sequences: Tensor

    @classmethod
    def empty(cls, slots: int, device: torch.device | str) -> Draws:
        return cls(*(torch.zeros(slots, dtype=torch.int64, device=device) for _ in range(3)))


def sample(
    logits: Tensor,
    draws: Draws,
    steps: Tensor,
    options: GenerationConfig,
    *,
    suppressed: Tensor | None,
    banned: Tensor | None,
    forced: Tensor | None,
    said: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """One token a row; nothing is read back.

    Args:
        logits: float32 [N, V]. suppressed, banned: as in `vocab_topk`. forced: int32 [N], the only token, or -1.
        said: bool [N, V], tokens that a repetition penalty is about; None: there is none.
        steps: tokens so far, int64 [N].

    Returns:
        Log-probs, float32 [N, 1], and tokens, int32 [N, 1]; -inf where no token is left, NaN where the model broke.
    """
    log_probs = logits.log_softmax(dim=-1)
    values = log_probs if said is None else penalise(logits, said, options.repetition_penalty)
    allowed = without(values, suppressed, banned)
    chosen = (filter_logits(allowed, options) + gumbel(draws, steps, logits.shape[1])).argmax(dim=-1, keepdim=True)
    found = log_probs.gather(1, chosen).masked_fill(allowed.gather(1, chosen) == -inf, -inf)
    if forced is not None:
        only = forced.long()[:, None]
        chosen = torch.where(only < 0, chosen, only)
        found = torch.where(only < 0, found, log_probs.gather(1, only.clamp(min=0)))
    broken = log_probs.isnan().any(dim=-1, keepdim=True)
    return found.masked_fill(broken, torch.nan), chosen.int()


def penalise(values: Tensor, said: Tensor, penalty: float) -> Tensor:
    """`reference.candidates.penalise` by a mask: `values` and `said` [N, V]."""
    divisor = torch.full_like(values[:1, :1], penalty)
    return torch.where(said, torch.where(values < 0, values * divisor, values / divisor), values)


def gumbel(draws: Draws, steps: Tensor, size: int) -> Tensor:
    """Gumbel numbers of the tokens 0 to size - 1, float64 [N, size]."""
    blocks = torch.arange(-(-size // 4), device=steps.device)[None]
    seeds, request_ids, sequences = (x[:, None] for x in (draws.seeds, draws.request_ids, draws.sequences))
    words = philox4x32(
        (
            (steps[:, None] << BLOCK_BITS) | blocks,
            (sequences << PURPOSE_BITS) | int(Purpose.TOKEN),
            request_ids & LOW,
            (request_ids >> 32) & LOW,
        ),
        (seeds & LOW, (seeds >> 32) & LOW),
    )
    uniforms = torch.stack([((word >> 9).double() + 0.5) * 2.0**-23 for word in words], dim=-1)  # [N, blocks, 4]
    return -torch.log(-torch.log(uniforms.flatten(1)[:, :size]))
