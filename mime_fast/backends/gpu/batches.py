"""Dialogues as padded tensors: batches whose padding each dialogue's own length decides, so that no other one does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mime_fast.backends.gpu.model import PaddedContexts
from mime_fast.backends.protocol import Contexts, Ids, Offsets, Requests
from mime_fast.text.special import PAD_ID

BUCKET = 16  # lengths are rounded up to a multiple of it
MAX_SCORES = 1 << 22  # attention scores of a head in one batch


def buckets(offsets: Offsets, longest: int) -> npt.NDArray[np.int64]:
    """What each length is padded to."""
    widths: npt.NDArray[np.int64] = np.minimum(-(-np.diff(offsets) // BUCKET) * BUCKET, longest)
    return widths


def longest_first(offsets: Offsets) -> npt.NDArray[np.int64]:
    """Places of dialogues, those of equal length in order."""
    order: npt.NDArray[np.int64] = np.argsort(-np.diff(offsets), kind="stable")
    return order


def batches(order: Sequence[int], widths: npt.NDArray[np.int64], most: int) -> Iterator[tuple[list[int], list[int]]]:
    """Runs of `order` whose `widths` [N, n] are equal, with them; at most so many dialogues each."""
    batch: list[int] = []
    for i in order:
        full = len(batch) == most or (len(batch) + 1) * int(widths[i].max()) ** 2 > MAX_SCORES
        if batch and (full or (widths[i] != widths[batch[0]]).any()):
            yield batch, widths[batch[0]].tolist()
            batch = []
        batch.append(i)
    if batch:
        yield batch, widths[batch[0]].tolist()


def padded(flat: Ids, offsets: Offsets, which: Sequence[int], width: int) -> Tensor:
    """Rows of ids as int64 [B, width], padded with PAD on the right; on the host."""
    places = np.asarray(which)
    starts, ends = offsets[places][:, None], offsets[places + 1][:, None]
    at = starts + np.arange(width)
    rows = np.where(at < ends, flat[np.minimum(at, len(flat) - 1)], PAD_ID)
    return torch.from_numpy(rows.astype(np.int64))


def batch_of(contexts: Contexts, requests: Requests, which: list[int], width: int) -> PaddedContexts:
    """Dialogues, on the host."""
    ids, states = (padded(x, contexts.offsets, which, width) for x in (contexts.token_ids, contexts.state_ids))
    emotions = torch.from_numpy(requests.emotions[which].astype(np.int32))
    seeds, request_ids = (torch.from_numpy(x[which].view(np.int64)) for x in (requests.seeds, requests.request_ids))
    return PaddedContexts(ids, states, emotions, seeds, request_ids, requests.stochastic)
