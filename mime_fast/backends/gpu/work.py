"""A call of `generate` on the device: what its searches are, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mime_fast.backends.gpu.admission import Admission, Batch, begin
from mime_fast.backends.gpu.batches import batches, buckets, dialogues_of, longest_first
from mime_fast.backends.gpu.model import DeviceModel, Dialogues, Understood
from mime_fast.backends.gpu.packing import to_device
from mime_fast.backends.gpu.session import Session
from mime_fast.backends.hypotheses import Hypotheses
from mime_fast.backends.protocol import Contexts, EmotionOutputs, Requests
from mime_fast.config.generation import GenerationConfig
from mime_fast.emotions import LABELS
from mime_fast.errors import BackendError
from mime_fast.kernels.plain_sampling import Draws
from mime_fast.reference.search_checks import no_response
from mime_fast.text.special import EOS_ID


@dataclass
class Work:
    """A call of `generate`: its items are dialogues, or each sampled sequence of each, longest contexts first."""

    model: DeviceModel
    understand: Callable[[Dialogues], Understood]
    contexts: Contexts
    requests: Requests
    options: GenerationConfig
    prefixes: Sequence[Sequence[int]] | None

    def __post_init__(self) -> None:
        if self.prefixes is not None and not any(map(len, self.prefixes)):
            self.prefixes = None
        self.sequences = self.options.num_return_sequences if self.options.do_sample else 1
        self.order = np.repeat(longest_first(self.contexts.offsets), self.sequences)
        self.items = len(self.order)
        widths = buckets(self.contexts.offsets, self.model.config.max_positions)
        self.source = int(widths.max()) - int(self.model.config.drop_ctx)

    def admit(self, session: Session, slots: Tensor, first: int, last: int) -> None:
        """Begin the searches of items `first` to `last` - 1 in these slots."""
        begin(session, self.understand, to_device(self.admission(first, last), self.model.device), slots)

    def outputs(self, emotions: npt.NDArray[np.float32]) -> EmotionOutputs:
        """Of the dialogues; `emotions` as in `emotion_rows`, of all items."""
        one_each = np.unique(self.order, return_index=True)[1]
        return emotion_outputs(emotions[one_each])

    def results(self, *arrays: Any) -> Hypotheses:
        """Per dialogue its hypotheses.

        Raises:
            BackendError: the model produced NaN;
            ConfigError: a dialogue has no response.
        """
        sizes, broken_at, counts, sums, scores, words, log_probs = arrays
        broken = np.flatnonzero(broken_at[: self.items] >= 0)
        if len(broken):
            step = broken_at[broken].min()
            dialogues = sorted(set(self.order[broken[broken_at[broken] == step]].tolist()))
            raise BackendError(
                f"the model produced NaN at step {step} for dialogues {dialogues} of this batch; "
                "log-probs must not be NaN"
            ).about(self.order[broken])
        if self.options.repetition_penalty != 1.0:  # what was summed is not the model's
            within = np.arange(log_probs.shape[-1]) < counts[..., None]
            sums = np.cumsum(np.where(within, log_probs, np.float32(0)), axis=-1, dtype=np.float32)[..., -1]
        return self._in_order(sizes[: self.items], counts, words, log_probs, sums, scores)

    def _in_order(self, sizes: Any, *columns: Any) -> Hypotheses:
        """Of all items, `sizes` [M] hypotheses each, those of a dialogue together; `columns` are [M + 1, n, ...]."""
        items = np.argsort(self.order, kind="stable")
        rows, places = np.nonzero(np.arange(columns[0].shape[1]) < sizes[items, None])
        counts, words, log_probs, sums, scores = (column[items[rows], places] for column in columns)
        numbers = np.bincount(self.order, sizes, len(self.contexts)).astype(np.int64)
        if not numbers.all():
            raise no_response(np.flatnonzero(numbers == 0).tolist(), self.options)
        there = np.arange(words.shape[1]) < counts[:, None]
        ended = words[np.arange(len(words)), counts - 1] == EOS_ID
        return Hypotheses(numbers, counts.astype(np.int64), words[there], log_probs[there], sums, scores, ended)

    def admission(self, first: int, last: int) -> Admission:
        """What the searches of items `first` to `last` - 1 need, on the host; those of a dialogue lie together."""
        dialogues = self.order[first:last]
        numbers = np.cumsum(np.diff(dialogues, prepend=-1) != 0) - 1  # of each search, which dialogue of these
        found, begun = [], 0
        order, alike = list(dict.fromkeys(dialogues.tolist())), np.zeros(len(self.contexts), np.int64)
        for which in batches(order, self.contexts.offsets, alike, len(order)):
            start, stop = np.searchsorted(numbers, (begun, begun + len(which)))
            rows = torch.from_numpy(numbers[start:stop] - begun)
            found.append(Batch(dialogues_of(self.contexts, self.requests, which), rows))
            begun += len(which)
        keys = self.requests.seeds, self.requests.request_ids
        seeds, request_ids = (torch.from_numpy(x[dialogues].view(np.int64)) for x in keys)
        draws = Draws(seeds, request_ids, torch.arange(first, last) % self.sequences)
        return Admission(tuple(found), torch.arange(first, last), draws, self._begun(dialogues))

    def _begun(self, dialogues: npt.NDArray[np.int64]) -> Tensor | None:
        if self.prefixes is None:
            return None
        rows = np.full((len(dialogues), self.options.max_new_tokens + 1), -1, np.int32)
        for row, dialogue in zip(rows, dialogues, strict=True):
            prefix = self.prefixes[dialogue]
            row[: len(prefix)] = prefix
        return torch.from_numpy(rows)


def emotion_outputs(rows: npt.NDArray[np.float32]) -> EmotionOutputs:
    """What `emotion_rows` put together, apart again."""
    logits, mimicked, weights, share = np.split(rows, np.cumsum([len(LABELS), 1, len(LABELS)]), axis=1)
    logits, weights = np.ascontiguousarray(logits), np.ascontiguousarray(weights)
    return EmotionOutputs(logits, mimicked[:, 0].astype(np.int32), weights, share[:, 0].copy())
