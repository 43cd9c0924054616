"""Pairs as id tensors: examples, padding, and the order of an epoch's batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import mime_fast.needs_torch

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import emotion_index
from mime_fast.text.special import EOS_ID, PAD_ID, SOS_ID
from mime_fast.text.tokenizer import Tokenizer

POOL_BATCHES = 50  # batches whose examples are sorted by length together


class Sized(Protocol):
    """What batches of similar length are made of."""

    @property
    def size(self) -> tuple[int, ...]:
        """How long its texts are, the one that costs most first."""
        ...


@dataclass(frozen=True)
class Example:
    """One context-response pair in ids."""

    context_ids: list[int]  # CTX and words
    state_ids: list[int]  # CTX, USR, SYS
    target_ids: list[int]  # words and EOS
    emotion: int
    teacher: npt.NDArray[np.float32] | None = None  # [32], what a teacher of L_cls says of the context

    @property
    def size(self) -> tuple[int, int]:
        return len(self.context_ids), len(self.target_ids)


@dataclass(frozen=True)
class Batch:
    """Right-padded ids of B examples."""

    context_ids: Tensor  # [B, S]
    state_ids: Tensor  # [B, S]
    target_ids: Tensor  # [B, T]
    emotion: Tensor  # [B]
    index: Tensor  # [B], each example's place in its split: the request id of its noise
    teacher: Tensor | None = None  # [B, 32], where all examples have it


def make_examples(pairs: Sequence[Pair], tokenizer: Tokenizer) -> list[Example]:
    """Tokenise and look up every pair; each distinct utterance once."""
    utterances = list(dict.fromkeys(text for pair in pairs for text in (*pair.context, pair.response)))
    tokens = dict(zip(utterances, tokenizer.tokenize_batch(utterances), strict=True))
    examples = []
    for pair in pairs:
        context_ids, state_ids = tokenizer.encode_context([tokens[text] for text in pair.context])
        target_ids = [*tokenizer.ids(tokens[pair.response]), EOS_ID]
        examples.append(Example(context_ids, state_ids, target_ids, emotion_index(pair.emotion)))
    return examples


def pad_rows(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Tensor:
    """Rows of ids as one tensor [B, longest], padded with PAD on the right."""
    padded = np.full((len(rows), max(map(len, rows), default=0)), PAD_ID, dtype=np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(padded).to(device)


def collate(examples: Sequence[Example], indices: Sequence[int], device: torch.device | str = "cpu") -> Batch:
    """The examples at `indices` as one batch."""
    chosen = [examples[i] for i in indices]
    taught = [example.teacher for example in chosen if example.teacher is not None]
    return Batch(
        pad_rows([example.context_ids for example in chosen], device),
        pad_rows([example.state_ids for example in chosen], device),
        pad_rows([example.target_ids for example in chosen], device),
        torch.tensor([example.emotion for example in chosen], device=device),
        torch.tensor(list(indices), device=device),
        torch.from_numpy(np.stack(taught)).to(device) if len(taught) == len(chosen) > 0 else None,
    )


def decoder_inputs(target_ids: Tensor) -> Tensor:
    """SOS and the target without its last id, [B, T]."""
    return F.pad(target_ids[:, :-1], (1, 0), value=SOS_ID)


def epoch_order(examples: Sequence[Sized], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Index lists of an epoch's batches: shuffled, of similar length inside a batch; a function of (seed, epoch)."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(examples))
    batches: list[list[int]] = []
    for start in range(0, len(order), POOL_BATCHES * batch_size):
        pool = sorted(order[start : start + POOL_BATCHES * batch_size].tolist(), key=lambda i: examples[i].size)
        batches += _cut(pool, batch_size)
    return [batches[i] for i in generator.permutation(len(batches))]


def length_order(examples: Sequence[Sized], batch_size: int) -> list[list[int]]:
    """Index lists that cover the examples once, longest first."""
    return list(_cut(sorted(range(len(examples)), key=lambda i: examples[i].size, reverse=True), batch_size))


def _cut(order: Sequence[int], batch_size: int) -> Iterable[list[int]]:
    return (list(order[start : start + batch_size]) for start in range(0, len(order), batch_size))
