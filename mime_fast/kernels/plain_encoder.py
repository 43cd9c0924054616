"""Encoders (eq. 2, 22-23) of sequences that lie one after the other, without padding: the twin in plain PyTorch.

Dimensions: N rows (positions of all sequences), B sequences, G streams (of m, of m~), E encoders, H heads, D head
width, C hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.kernels.encoder_weights import EncoderWeights
from mime_fast.kernels.plain_decoder import norm
from mime_fast.kernels.weights import MASKED_SCORE, wide


@dataclass(frozen=True)
class Sequences:
    """Where each is among N rows. There may be rows of none, before, between and after them; ends do not fall."""

    starts: Tensor  # int32 [B], its first row
    ends: Tensor  # int32 [B], the row after its last one
    seen: Tensor  # uint8 [N], 0: a row that attention does not see, and that convolutions take for zeros
    longest: int  # no sequence has more rows; one of few numbers, since shapes depend on it

    def places(self) -> tuple[Tensor, Tensor]:
        """The rows of each sequence, int64 [B, longest], in range; and which of them are its own, bool."""
        times = torch.arange(self.longest, device=self.starts.device)
        rows = self.starts[:, None] + times
        return rows.clamp(max=len(self.seen) - 1), rows < self.ends[:, None]

    def owners(self) -> tuple[Tensor, Tensor]:
        """The sequence of each row, int64 [N], in range; and which place there it has, -1 where it is of none."""
        rows = torch.arange(len(self.seen), device=self.starts.device)
        owner = torch.searchsorted(self.ends, rows.int(), right=True).clamp(max=len(self.ends) - 1)
        place = rows - self.starts[owner]
        return owner, torch.where((place >= 0) & (rows < self.ends[owner]), place, -1)


def encoder(
    first: Tensor,
    first_rows: Tensor,
    second: Tensor,
    second_rows: Tensor,
    sequences: Sequences,
    weights: EncoderWeights,
) -> tuple[Tensor, Tensor]:
    """All layers of G encoders; stream g is that of encoder g modulo E.

    A row begins as first[first_rows] + second[second_rows] + E_P of its place in its sequence.

    Args:
        first, second: tables of width C, in any floating dtype.
        first_rows, second_rows: int32 [G, N], in range for all rows of sequences.

    Returns:
        The last norm's rows, or what they are `onward`, [G, N, columns] in the dtype of the matrices, 0 in rows of no
        sequence; and the last norm's first row of each sequence, wide [G, B, C], 0 where it has none.
    """
    streams = [
        _stream(first[a.long()], second[b.long()], sequences, weights, g % len(weights.matrices))
        for g, (a, b) in enumerate(zip(first_rows, second_rows, strict=True))
    ]
    found, vectors = zip(*streams, strict=True)
    return torch.stack(found), torch.stack(vectors)


def _stream(
    first: Tensor, second: Tensor, sequences: Sequences, weights: EncoderWeights, e: int
) -> tuple[Tensor, Tensor]:
    dtype = weights.matrices.dtype
    full, unbiased = wide(dtype), weights.unbiased_norm
    owner, place = sequences.owners()
    x = first.to(full) + second.to(full) + weights.positions[place.clamp(min=0)]
    seen = (sequences.seen != 0) & (place >= 0)
    for i in range(weights.matrices.shape[1]):
        normed = norm(x, weights.norm1_weight[e, i], weights.norm1_bias[e, i], unbiased).to(dtype)
        query, key, value = (
            _product(normed, matrix).view(len(x), weights.heads, -1) for matrix in weights.matrices[e, i]
        )
        heads = attention(query, key, value, sequences)[owner, place.clamp(min=0)]
        x = x + F.linear(heads.flatten(1), weights.output[e, i])
        normed = norm(x, weights.norm2_weight[e, i], weights.norm2_bias[e, i], unbiased).to(dtype)
        hidden = _convolve(normed, seen, place, weights.conv1[e, i]).to(full) + weights.conv1_bias[e, i]
        out = _convolve(hidden.relu().to(dtype), seen, place, weights.conv2[e, i]).to(full) + weights.conv2_bias[e, i]
        x = x + (out.relu() if weights.final_relu else out)
    x = norm(x, weights.norm_weight[e], weights.norm_bias[e], unbiased)
    vectors = x[sequences.starts.clamp(max=len(x) - 1).long()]
    vectors = torch.where((sequences.starts < sequences.ends)[:, None], vectors, 0)
    out = torch.where((place >= 0)[:, None], x, 0).to(dtype)
    return out if weights.onward is None else _product(out, weights.onward), vectors


def attention(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences) -> Tensor:
    """Of each sequence to itself: [N, H, D] each -> [B, longest, H, D], not defined beyond a sequence's end."""
    rows, inside = sequences.places()
    scores = torch.einsum("bthd,bshd->bhts", query[rows] * query.shape[-1] ** -0.5, key[rows])
    unseen = (sequences.seen[rows] == 0)[:, None, None]
    scores = scores.masked_fill(unseen, max(MASKED_SCORE, torch.finfo(scores.dtype).min))
    shares = scores.masked_fill(~inside[:, None, None], -inf).softmax(dim=-1)
    return torch.einsum("bhts,bshd->bthd", shares, torch.where(inside[..., None, None], value[rows], 0))


def _convolve(x: Tensor, seen: Tensor, place: Tensor, taps: Tensor) -> Tensor:
    """Width 3, centred: x [N, in] and a matrix [out, in'] a tap, as one product without the matrices' padding."""
    x = torch.where(seen[:, None], x, 0)
    before = torch.where((place > 0)[:, None], x.roll(1, 0), 0)
    after = torch.where((place.roll(-1) > 0)[:, None], x.roll(-1, 0), 0)
    return F.linear(torch.cat([before, x, after], dim=1), torch.cat([tap[:, : x.shape[1]] for tap in taps], dim=1))


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """x weight^T without the weight's padding."""
    return F.linear(x, weight[:, : x.shape[1]])
