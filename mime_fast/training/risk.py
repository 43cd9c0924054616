"""Minimum risk training (Shen et al. 2016): a model's own replies, weighed by what each is worth (training/gains.py).

Cross-entropy never sees what a search makes of a model, nor whether a reply answers. The expected gain over a few
candidates is a function of the weights, so it can be trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.data.batches import decoder_inputs
from mime_fast.reference.decoder import Memory
from mime_fast.reference.dialogue_model import DialogueModel

SHARPNESS = 10.0  # of the distribution over a context's candidates


@dataclass(frozen=True)
class CandidateBatch:
    """N candidates of B contexts."""

    ids: Tensor  # [N, T], padded on the right; an EOS at the end where the search found one
    sizes: Tensor  # [N], ids that are no padding
    rows: Tensor  # [N], the context of each
    gains: Tensor  # [N], what each is worth

    def to(self, device: torch.device) -> CandidateBatch:
        return CandidateBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def risk(
    model: DialogueModel,
    memory: Memory,
    candidates: CandidateBatch,
    bfloat16_projection: bool = False,
) -> Tensor:
    """The expected loss, summed over the contexts.

    A context's candidates have the probabilities softmax(10 mean log P(word)): the mean is what beams of length penalty
    1 are ranked by.

    Args:
        model: in training mode or not.
        memory: of the B contexts.
        bfloat16_projection: project on the vocabulary in bfloat16; the softmax is in float32.
    """
    ids, rows = candidates.ids, candidates.rows
    hidden = model.decode(decoder_inputs(ids), memory.select(rows))
    real = torch.arange(ids.shape[1], device=ids.device) < candidates.sizes[:, None]
    places, nodes = shared_prefixes(candidates)
    logits = vocabulary_logits(model, hidden[places[0], places[1]], bfloat16_projection)  # a row a prefix
    logs = (logits.float() if bfloat16_projection else logits).log_softmax(dim=-1)
    logprobs = logs.new_zeros(ids.shape)
    logprobs[real] = logs[nodes.to(ids.device)[real], ids[real]]
    scores = SHARPNESS * logprobs.sum(dim=1) / real.sum(dim=1)
    probs = _softmax_within(scores, rows, len(memory.real))
    return -(probs * candidates.gains.to(logs.dtype)).sum()


def vocabulary_logits(model: DialogueModel, hidden: Tensor, in_bfloat16: bool) -> Tensor:
    """The decoder's rows [P, H] projected on the vocabulary, [P, V]; in bfloat16 if asked for."""
    layer = model.fc_decode
    if not in_bfloat16:
        return F.linear(hidden, layer.weight, layer.bias)
    return F.linear(*(tensor.to(torch.bfloat16) for tensor in (hidden, layer.weight, layer.bias)))


def shared_prefixes(batch: CandidateBatch) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Where each prefix of a context's candidates comes first, and which prefix comes before each word.

    Candidates of one search share most of their words; the projection on the vocabulary, by far the largest part of the
    work, is done once a prefix.

    Returns:
        (candidates [P], positions [P]) of the P different prefixes; their numbers, [N, T].
    """
    known: dict[tuple[int, int], int] = {}  # (the prefix before, or -1 - the context; its last word, or -1)
    candidates: list[int] = []
    positions: list[int] = []
    nodes = np.zeros(batch.ids.shape, dtype=np.int64)
    several = zip(batch.rows.tolist(), batch.ids.tolist(), batch.sizes.tolist(), strict=True)
    for n, (row, words, size) in enumerate(several):
        node, last = -1 - row, -1
        for position, word in enumerate(words[:size]):
            before = node, last
            if before not in known:
                known[before] = len(candidates)
                candidates.append(n)
                positions.append(position)
            node, last = known[before], word
            nodes[n, position] = node
    return (torch.tensor(candidates), torch.tensor(positions)), torch.from_numpy(nodes)


def _softmax_within(scores: Tensor, rows: Tensor, count: int) -> Tensor:
    """Softmax over the scores [N] of each of `count` contexts; every context has one or more."""
    best = scores.detach().new_full((count,), -math.inf).scatter_reduce(0, rows, scores.detach(), "amax")
    exponents = (scores - best[rows]).exp()
    return exponents / exponents.new_zeros(count).index_add(0, rows, exponents)[rows]
