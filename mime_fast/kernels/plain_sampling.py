"""A sampled token for each row (docs/search.md, "Sampling"), in plain PyTorch on all V log-probs, in float64.

The twin of `sample_tokens`; N rows, T positions, V words.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.kernels.plain_decoder import History
from mime_fast.kernels.plain_noise import gumbel
from mime_fast.kernels.sorted_topk import without


@dataclass(frozen=True)
class Draws:
    """What the Gumbel numbers of each row depend on, int64 [N]; seeds and request ids by their bits."""

    seeds: Tensor
    request_ids: Tensor
    sequences: Tensor

    @classmethod
    def empty(cls, rows: int, device: torch.device | str) -> Draws:
        return cls(*(torch.zeros(rows, dtype=torch.int64, device=device) for _ in range(3)))


def sample_tokens(
    logits: Tensor,
    draws: Draws,
    history: History,
    options: GenerationConfig,
    suppressed: Tensor | None,
    banned: Tensor | None,
    forced: Tensor | None,
    active: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One token per row; nothing is read back.

    Args:
        logits: wide [N, V].
        history: the tokens so far, which a repetition penalty is about; their number is a draw's step.
        suppressed, banned, active: as in `vocab_topk`, of N slots. forced: int32 [N], the only token, or -1.

    Returns:
        Log-probs, wide [N, 1], and tokens, int32 [N, 1]; -inf where no token is left, NaN where the model broke.
    """
    log_probs = logits.log_softmax(dim=-1)
    values = log_probs
    if options.repetition_penalty != 1.0:
        values = penalise(logits, said_words(history, logits.shape[1]), options.repetition_penalty)
    allowed = without(values, suppressed, banned)
    noise = gumbel(draws.seeds, draws.request_ids, draws.sequences, history.positions.long(), logits.shape[1])
    chosen = (kept_logits(allowed, options) + noise).argmax(dim=-1, keepdim=True)
    found = log_probs.gather(1, chosen).masked_fill(allowed.gather(1, chosen) == -inf, -inf)
    if forced is not None:
        only = forced.long()[:, None]
        chosen = torch.where(only < 0, chosen, only)
        found = torch.where(only < 0, found, log_probs.gather(1, only.clamp(min=0)))
    broken = log_probs.isnan().any(dim=-1, keepdim=True)
    return found.masked_fill(broken, torch.nan), chosen.int()


def said_words(history: History, size: int) -> Tensor:
    """Which words each row has been fed, SOS among them, bool [N, size]."""
    fed = torch.arange(history.words.shape[1], device=history.words.device) <= history.positions[:, None]
    said = fed.new_zeros(len(fed), size + 1)
    said_at = torch.where(fed, history.words, size)
    return said.scatter(1, said_at.long(), True)[:, :-1]


def penalise(values: Tensor, said: Tensor, penalty: float) -> Tensor:
    """`reference.candidates.penalise` by a mask: `values` and `said` [N, V]."""
    divisor = torch.full_like(values[:1, :1], penalty)
    return torch.where(said, torch.where(values < 0, values * divisor, values / divisor), values)


def kept_logits(values: Tensor, options: GenerationConfig) -> Tensor:
    """`values` [N, V] in float64 by the temperature; what top_k, and then top_p, leave out at -inf."""
    logits = values.double() / options.temperature
    ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
    if options.top_k:
        least = ordered[:, min(options.top_k, ordered.shape[1]) - 1, None]
        ordered = ordered.masked_fill(ordered < least, -inf)
    if options.top_p < 1.0:
        sums = ordered.softmax(dim=-1).cumsum(dim=-1)
        before = torch.cat([torch.zeros_like(sums[:, :1]), sums[:, :-1]], dim=-1)
        ordered = ordered.masked_fill(before >= options.top_p, -inf)
    return torch.empty_like(logits).scatter(-1, ids, ordered)
