"""More to learn from the same data: pairs beside the listener's, and contexts with words left out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import torch

from mime_fast.data.batches import Batch
from mime_fast.data.empathetic_dialogues import Pair, Style, read_pairs
from mime_fast.data.reading.options import Reading
from mime_fast.text.special import CLS_ID, PAD_ID, UNK_ID
from mime_fast.training.recipe import ExtraPairs


def extra_pairs(
    kind: ExtraPairs,
    data: str | os.PathLike[str],
    train_pairs: Sequence[Pair],
    style: Style,
    reading: Reading | None = None,
) -> list[Pair]:
    """Pairs of the train split that are no listener's turn in its dialogue.

    Args:
        kind: "speaker_turns": the speaker's turns after the first; "situations": the situation as the context of the
            listener's first response.
        data, reading: as in `read_pairs`.
        train_pairs: the listener's pairs.
    """
    if kind == "speaker_turns":
        return read_pairs(data, "train", style, responder="speaker", reading=reading)
    return [dataclasses.replace(pair, context=[pair.situation]) for pair in train_pairs if len(pair.context) == 1]


def drop_words(batch: Batch, share: float) -> Batch:
    """The batch with this share of its context words read as UNK; PyTorch's own generator draws them on the CPU."""
    if share == 0:
        return batch
    ids = batch.context_ids
    drawn = (torch.rand(ids.shape) < share).to(ids.device)
    return dataclasses.replace(batch, context_ids=ids.masked_fill(drawn & (ids != PAD_ID) & (ids != CLS_ID), UNK_ID))
