"""`vocab_topk` for more candidates than its kernel keeps: all logits and a stable sort, in PyTorch on the device."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F


def sorted_topk(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    suppressed: Tensor | None,
    banned: Tensor | None,
    k: int,
    active: Tensor | None = None,
    *,
    vocab_logits: Callable[..., Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """As `plain.vocab_topk` for any k up to V; bans cost no memory of N * M * V. `vocab_logits`: what runs that op."""
    logits = vocab_logits(hidden, weight, bias)
    total = logits.logsumexp(dim=-1)
    best, ids = without(logits, suppressed, banned).sort(dim=-1, descending=True, stable=True)
    log_probs = torch.where(torch.isfinite(total)[:, None], best[:, :k] - total[:, None], torch.nan)
    return log_probs, ids[:, :k].int(), total


def without(values: Tensor, suppressed: Tensor | None, banned: Tensor | None) -> Tensor:
    """Values [N, V] of words, those that may not come at -inf; bans as in `vocab_topk`."""
    if suppressed is not None:
        values = values.masked_fill(suppressed != 0, -inf)
    if banned is None:
        return values
    one_more = F.pad(values, (0, 1))  # a word that -1 bans
    words = torch.where(banned < 0, values.shape[1], banned).long()
    return one_more.scatter(1, words, -inf)[:, :-1]
