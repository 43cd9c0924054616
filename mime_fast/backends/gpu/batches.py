"""Dialogues as tensors of few shapes: contexts one after the other, responses as padded rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mime_fast.backends.gpu.model import Dialogues, FlatContexts
from mime_fast.backends.gpu.session import ladder
from mime_fast.backends.protocol import Contexts, Ids, Offsets, Requests
from mime_fast.text.special import PAD_ID

BUCKET = 16  # lengths of responses are rounded up to a multiple of it; the fewest rows
TOGETHER = 256  # dialogues of a batch, and the top of the ladder of their numbers
ROWS = 1 << 14  # positions of a batch's contexts; the CPU's tensors are as large as if each context was the longest
CELLS = 1 << 16  # dialogues times positions of the longest


def buckets(offsets: Offsets, longest: int) -> npt.NDArray[np.int64]:
    """What each length is rounded up to."""
    widths: npt.NDArray[np.int64] = np.minimum(-(-np.diff(offsets) // BUCKET) * BUCKET, longest)
    return widths


def longest_first(offsets: Offsets) -> npt.NDArray[np.int64]:
    """Places of dialogues, those of equal length in order."""
    order: npt.NDArray[np.int64] = np.argsort(-np.diff(offsets), kind="stable")
    return order


def batches(order: Sequence[int], offsets: Offsets, alike: npt.NDArray[np.int64], most: int) -> Iterator[list[int]]:
    """Runs of `order` for which `alike` [N] is equal and that are no larger than a batch may be; one dialogue always.

    Args:
        offsets: of the contexts, the longest of each run first.
        most: dialogues.
    """
    lengths = np.diff(offsets)
    batch: list[int] = []
    rows = 0
    for i in order:
        count, more = len(batch) + 1, rows + int(lengths[i])
        full = count > min(most, TOGETHER) or more > ROWS or count * int(lengths[(batch or [i])[0]]) > CELLS
        if batch and (full or alike[i] != alike[batch[0]]):
            yield batch
            batch, more = [], int(lengths[i])
        batch.append(i)
        rows = more
    if batch:
        yield batch


def rung(rows: int) -> int:
    """What a number of rows is rounded up to: a multiple of 16, of few that are less than a quarter apart."""
    step = max(BUCKET, 1 << max(0, (rows - 1).bit_length() - 3))
    return -(-rows // step) * step


def padded(flat: Ids, offsets: Offsets, which: Sequence[int], width: int) -> Tensor:
    """Rows of ids as int64 [B, width], padded with PAD on the right, then rows of PAD up to a B of the ladder; on the
    host."""
    starts, ends = offsets[which][:, None], offsets[np.asarray(which) + 1][:, None]
    at = starts + np.arange(width)
    rows = np.full((_dialogues(which), width), PAD_ID, np.int64)
    rows[: len(which)] = np.where(at < ends, flat[np.minimum(at, len(flat) - 1)], PAD_ID)
    return torch.from_numpy(rows)


def flattened(contexts: Contexts, which: Sequence[int]) -> FlatContexts:
    """Contexts, on the host."""
    starts, ends = contexts.offsets[which], contexts.offsets[np.asarray(which) + 1]
    sums = np.cumsum([0, *(ends - starts)])
    places = np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])
    bounds = np.full((2, _dialogues(which)), sums[-1], np.int32)
    bounds[:, : len(which)] = sums[:-1], sums[1:]
    arrays = np.full((2, rung(len(places))), PAD_ID, np.int32)
    arrays[:, : len(places)] = contexts.token_ids[places], contexts.state_ids[places]
    longest = max(BUCKET, 1 << int((ends - starts).max() - 1).bit_length())
    ids, states, firsts, afters = map(torch.from_numpy, (*arrays, *bounds))
    return FlatContexts(ids, states, firsts, afters, longest)


def dialogues_of(contexts: Contexts, requests: Requests, which: list[int]) -> Dialogues:
    """Dialogues, on the host."""
    requested = requests.emotions, requests.seeds.view(np.int64), requests.request_ids.view(np.int64)
    emotions, seeds, request_ids = (torch.from_numpy(np.resize(x[which], _dialogues(which))) for x in requested)
    return Dialogues(flattened(contexts, which), emotions, seeds, request_ids, requests.stochastic)


def _dialogues(which: Sequence[int]) -> int:
    return min(size for size in ladder(TOGETHER) if size >= len(which))
