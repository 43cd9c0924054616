"""A call of `generate` on the device: what its searches are, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mime_fast.backends.gpu.batches import batch_of, batches, buckets, longest_first, to_device, to_host
from mime_fast.backends.gpu.model import DeviceModel, PaddedContexts, Understood
from mime_fast.backends.gpu.session import Session
from mime_fast.backends.gpu.shapes import TOGETHER
from mime_fast.backends.hypotheses import Hypotheses
from mime_fast.backends.protocol import Contexts, EmotionOutputs, Requests
from mime_fast.config.generation import GenerationConfig
from mime_fast.emotions import LABELS
from mime_fast.errors import BackendError
from mime_fast.reference.search_checks import no_response
from mime_fast.text.special import EOS_ID


@dataclass
class Work:
    """A call of `generate`: its items are dialogues, or each sampled sequence of each, longest contexts first."""

    model: DeviceModel
    understand: Callable[[PaddedContexts], Understood]
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
        self.widths = buckets(self.contexts.offsets, self.model.config.max_positions)[:, None]
        self.source = int(self.widths.max()) - int(self.model.config.drop_ctx)
        self.emotions = EmotionBuffers(len(self.contexts), self.model.device)

    def admit(self, session: Session, slots: Tensor, begin: int, end: int) -> None:
        """Encode the items' dialogues, and begin their searches."""
        device, first = self.model.device, begin
        unique = list(dict.fromkeys(self.order[begin:end].tolist()))
        for which, (width,) in batches(unique, self.widths, TOGETHER):
            understood = self.understand(batch_of(self.contexts, self.requests, which, width, device))
            self.emotions.take(which, understood)
            row_of = {dialogue: row for row, dialogue in enumerate(which)}
            last = first + sum(dialogue in row_of for dialogue in self.order[first:end].tolist())
            rows = np.array([row_of[dialogue] for dialogue in self.order[first:last].tolist()])
            session.remember(slots[first - begin : last - begin], understood, to_device(rows, device))
            first = last
        items = to_device(np.arange(begin, end), device)
        session.begin(slots, items, self._begun(begin, end), self._keys(begin, end))

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

    def _begun(self, first: int, last: int) -> Tensor | None:
        if self.prefixes is None:
            return None
        rows = np.full((last - first, self.options.max_new_tokens + 1), -1, np.int32)
        for row, dialogue in zip(rows, self.order[first:last], strict=True):
            prefix = self.prefixes[dialogue]
            row[: len(prefix)] = prefix
        return to_device(rows, self.model.device)

    def _keys(self, first: int, last: int) -> tuple[Tensor, Tensor, Tensor]:
        dialogues = self.order[first:last]
        columns = (
            self.requests.seeds[dialogues].view(np.int64),
            self.requests.request_ids[dialogues].view(np.int64),
            np.arange(first, last) % self.sequences,
        )
        return tuple(to_device(column, self.model.device) for column in columns)  # type: ignore[return-value]


class EmotionBuffers:
    """`EmotionOutputs` as it comes, on the device."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.device = device
        self.logits = torch.zeros(count, len(LABELS), device=device)
        self.mimicked = torch.zeros(count, dtype=torch.int32, device=device)
        self.weights = torch.zeros(count, len(LABELS), device=device)
        self.mimic_share = torch.zeros(count, device=device)

    def take(self, which: list[int], understood: Understood) -> None:
        places = to_device(np.array(which), self.device)
        self.logits[places] = understood.emotion_logits
        self.mimicked[places] = understood.mimicked
        self.weights[places] = understood.weights
        self.mimic_share[places] = understood.mimic_share

    def outputs(self) -> EmotionOutputs:
        return EmotionOutputs(*to_host((self.logits, self.mimicked, self.weights, self.mimic_share)))
