"""The reference as a back end: PyTorch on any of its devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mime_fast.needs_torch

import numpy as np
import torch
from torch import Tensor

from mime_fast.backends.placement import Placement
from mime_fast.backends.protocol import (
    Contexts,
    EmotionOutputs,
    Floats,
    Ids,
    Offsets,
    Requests,
    Stop,
    ops_of,
    refuse_nan,
)
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.data.batches import decoder_inputs, pad_rows
from mime_fast.emotions import LABELS
from mime_fast.errors import BackendError
from mime_fast.reference.decoder import Memory
from mime_fast.reference.dialogue_model import Context, DialogueModel
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.reference.mime import FusedMemory
from mime_fast.reference.noise import prior_noise
from mime_fast.reference.reranker import Reranker
from mime_fast.reference.response_emotion import GROUPS, Mixture
from mime_fast.reference.running import torch_running, torch_threads
from mime_fast.reference.search import search
from mime_fast.text.special import PAD_ID


class ReferenceBackend:
    """`mime_fast.reference` in batches of similar length. See `Backend` for the methods."""

    name = "reference"
    rescores = False

    def __init__(
        self,
        weights: ModelWeights,
        placement: Placement,
        batch_size: int,
        threads: int,
        reason: str = "asked for",
    ) -> None:
        with torch_threads(threads):
            self.model: DialogueModel = weights.model.to(device=placement.device, dtype=placement.dtype).eval()
        self.placement = placement
        self.batch_size = batch_size
        self.threads = threads
        self.reason = reason

    def classify(self, contexts: Contexts, stop: Stop | None = None) -> Floats:
        return self._of_contexts(lambda context: context.emotion_logits, "emotion logits", len(LABELS), contexts, stop)

    def context_vectors(self, contexts: Contexts, stop: Stop | None = None) -> Floats:
        columns = 2 * self.model.config.hidden_size
        return self._of_contexts(lambda context: context.vectors, "context vectors", columns, contexts, stop)

    def packed(self, reranker: Reranker) -> Reranker:
        return reranker

    def generate(
        self,
        contexts: Contexts,
        requests: Requests,
        options: GenerationConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
        stop: Stop | None = None,
    ) -> tuple[EmotionOutputs, list[list[Hypothesis]]]:
        outputs = self._empty_outputs(len(contexts))
        found: list[list[Hypothesis]] = [[] for _ in range(len(contexts))]
        with torch_running(self.threads):
            for batch in self._batches(contexts, stop):
                memory = self._memory(contexts, requests, batch, outputs)
                hypotheses = search(
                    self.model,
                    self.model.start_decoding(memory),
                    len(batch),
                    options,
                    seeds=requests.seeds[batch].tolist(),
                    request_ids=requests.request_ids[batch].tolist(),
                    prefixes=None if prefixes is None else [prefixes[i] for i in batch],
                    numbers=batch,
                    device=self.placement.device,
                )
                for i, each in zip(batch, hypotheses, strict=True):
                    found[i] = each
        return outputs, found

    def score(
        self,
        contexts: Contexts,
        requests: Requests,
        targets: Ids,
        target_offsets: Offsets,
        stop: Stop | None = None,
    ) -> tuple[EmotionOutputs, Floats]:
        outputs = self._empty_outputs(len(contexts))
        log_probs = self._room(len(targets))
        with torch_running(self.threads):
            for batch in self._batches(contexts, stop):
                memory = self._memory(contexts, requests, batch, outputs)
                rows = _rows(targets, target_offsets, batch)
                places = [np.arange(target_offsets[i], target_offsets[i + 1]) for i in batch]
                log_probs[np.concatenate(places)] = _numbers(self._target_log_probs(rows, memory))
        refuse_nan("log-probs", log_probs, offsets=target_offsets)
        return outputs, log_probs

    def mimic_shares(self, contexts: Contexts, requests: Requests) -> Floats:
        outputs, shares = self._empty_outputs(len(contexts)), self._room(len(contexts.token_ids))
        with torch_running(self.threads):
            for batch in self._batches(contexts, None):
                memory = self._memory(contexts, requests, batch, outputs)
                assert isinstance(memory, FusedMemory) and isinstance(self.model.config, MimeConfig)
                first = 0 if self.model.config.drop_ctx else 1
                for i, row in zip(batch, _numbers(memory.mimic_share)[:, first:], strict=True):
                    start, end = contexts.offsets[i] + 1, contexts.offsets[i + 1]
                    shares[start:end] = row[: end - start]
        return shares

    def describe(self) -> dict[str, Any]:
        found = {"choice": self.name, "reason": self.reason}
        return {"implementations": {op: dict(found) for op in ops_of(self.model.config)}}

    def _of_contexts(
        self, read: Callable[[Context], Tensor], what: str, columns: int, contexts: Contexts, stop: Stop | None
    ) -> Floats:
        """`what` is read of the encoded contexts, [N, columns]."""
        found = self._room(len(contexts), columns)
        with torch_running(self.threads):
            for batch in self._batches(contexts, stop):
                found[batch] = _numbers(read(self._encode(contexts, batch)))
        refuse_nan(what, found)
        return found

    def _batches(self, contexts: Contexts, stop: Stop | None) -> Iterator[list[int]]:
        """Indices of dialogues that go together, longest first."""
        order: list[int] = np.argsort(-np.diff(contexts.offsets), kind="stable").tolist()
        for start in range(0, len(order), self.batch_size):
            if stop is not None and stop[0]:
                raise BackendError("stopped")
            yield order[start : start + self.batch_size]

    def _encode(self, contexts: Contexts, batch: Sequence[int]) -> Context:
        device = self.placement.device
        ids, states = (_rows(flat, contexts.offsets, batch) for flat in (contexts.token_ids, contexts.state_ids))
        return self.model.encode(pad_rows(ids, device), pad_rows(states, device))

    def _memory(self, contexts: Contexts, requests: Requests, batch: list[int], outputs: EmotionOutputs) -> Memory:
        """The decoder's memory of the batch; what was recognised goes to its rows of `outputs`."""
        context = self._encode(contexts, batch)
        logits = _numbers(context.emotion_logits)
        refuse_nan("emotion logits", logits, owners=np.array(batch))
        given = requests.emotions[batch]
        chosen = np.where(given < 0, logits.argmax(axis=1), given)
        mimicked = torch.from_numpy(chosen.astype(np.int64)).to(self.placement.device)
        keys = requests.seeds[batch].tolist(), requests.request_ids[batch].tolist()
        noise = prior_noise(self.model, *keys) if requests.stochastic else None
        memory, mixture = self.model.decoder_memory(context, mimicked, noise)
        outputs.emotion_logits[batch] = logits
        outputs.mimicked[batch] = chosen
        if outputs.weights is not None and mixture is not None:
            outputs.weights[batch] = _weights(mixture)
        if outputs.mimic_share is not None and isinstance(memory, FusedMemory):
            outputs.mimic_share[batch] = _numbers(self._mimic_share(context, memory))
        return memory

    def _mimic_share(self, context: Context, memory: FusedMemory) -> Tensor:
        """[B], averaged over words; where the memory begins with CTX, that is none."""
        words = memory.real.clone()
        if memory.real.shape == context.real.shape:
            words[:, 0] = False
        return (memory.mimic_share * words).sum(dim=1) / words.sum(dim=1)

    def _target_log_probs(self, targets: Sequence[Sequence[int]], memory: Memory) -> Tensor:
        """Log-probs of all targets' tokens, one target after the other."""
        ids = pad_rows(targets, self.placement.device)
        real = ids != PAD_ID
        logits = self.model.fc_decode(self.model.decode(decoder_inputs(ids), memory)[real])
        gold: Tensor = logits.gather(1, ids[real][:, None])[:, 0] - logits.logsumexp(dim=-1)
        return gold

    def _room(self, *shape: int) -> Floats:
        if self.placement.dtype == torch.float64:
            return np.zeros(shape, np.float64)
        return np.zeros(shape, np.float32)

    def _empty_outputs(self, count: int) -> EmotionOutputs:
        logits, mimicked = self._room(count, len(LABELS)), np.zeros(count, np.int32)
        if not self.model.noise_groups:
            return EmotionOutputs(logits, mimicked, None, None)
        return EmotionOutputs(logits, mimicked, self._room(count, len(LABELS)), self._room(count))


def _rows(flat: Ids, offsets: Offsets, batch: Sequence[int]) -> list[list[int]]:
    return [flat[offsets[i] : offsets[i + 1]].tolist() for i in batch]


def _numbers(values: Tensor) -> Floats:
    numbers: Floats = values.cpu().numpy()
    return numbers


def _weights(mixture: Mixture) -> Floats:
    """d_g by emotion id, [B, 32]."""
    ids = [index for group in mixture.weights for index in GROUPS[group]]
    by_group = _numbers(torch.cat(list(mixture.weights.values()), dim=1))
    return by_group[:, np.argsort(ids)]
