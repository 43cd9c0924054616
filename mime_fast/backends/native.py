"""The C++ engine as a back end: `csrc/` as `mime_fast._native`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mime_fast import _native
from mime_fast.backends.hypotheses import Hypotheses
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
from mime_fast.checkpoints.shapes import TIED
from mime_fast.config.generation import GenerationConfig
from mime_fast.emotions import NEGATIVE_IDS, POSITIVE_IDS
from mime_fast.errors import BackendError
from mime_fast.reference.reranker import PARTS, Reranker, Tower, unit
from mime_fast.reference.search_checks import no_response

BFLOAT16_ISAS = ("avx512_bf16",)  # that have products of bfloat16 numbers


class NativeBackend:
    """A model with packed weights. See `Backend` for the methods.

    Args:
        weights: tensors are read one after the other and packed; nothing of them is kept.
        precision: "float32", "screened", "bfloat16" or "int8".
        batch_size: dialogues that a thread decodes together.
        threads: workers, each with dialogues of its own; few dialogues split the vocabulary over them.
        isa: "auto", or the instruction set to use.
        exact_logprobs: with "screened", `score` computes float32's log-probs, and says that `generate` does not.

    Raises:
        BackendError: the model has a layer that is too wide for the precision.
    """

    name = "native"

    def __init__(
        self,
        weights: ModelWeights,
        precision: str,
        batch_size: int,
        threads: int,
        isa: str,
        exact_logprobs: bool = False,
    ) -> None:
        self.precision = precision
        self.batch_size = batch_size
        self.threads = threads
        groups = np.array(POSITIVE_IDS, np.int32), np.array(NEGATIVE_IDS, np.int32)
        config = {"model_type": weights.config.model_type, **weights.config.to_dict()}
        tied = TIED if weights.config.tie_word_embeddings else {}
        self._ops = ops_of(weights.config)
        try:
            self._model = _native.Model(config, groups, _Named(weights.tensors, tied), precision, isa)
        except _native.ModelError as error:
            raise BackendError(f"precision={precision!r}: {error}") from None
        self.exact_logprobs = exact_logprobs and precision == "screened"
        self.rescores = self.exact_logprobs and self._model.screened

    def classify(self, contexts: Contexts, stop: Stop | None = None) -> Floats:
        return self._of_contexts(self._model.classify, "emotion logits", contexts, stop)

    def context_vectors(self, contexts: Contexts, stop: Stop | None = None) -> Floats:
        return self._of_contexts(self._model.context_vectors, "context vectors", contexts, stop)

    def packed(self, reranker: Reranker) -> Reranker:
        wanted, given = (PackedTower(tower, self._model.isa) for tower in (reranker.wanted, reranker.given))
        return dataclasses.replace(reranker, wanted=wanted, given=given)

    def generate(
        self,
        contexts: Contexts,
        requests: Requests,
        options: GenerationConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
        stop: Stop | None = None,
    ) -> tuple[EmotionOutputs, Hypotheses]:
        try:
            outputs, replies = self._model.generate(
                _arrays(contexts), _keys(requests), options.to_search(), prefixes, **self._running(stop)
            )
        except _native.NoResponse as error:
            raise no_response(error.dialogues, options) from None
        except _native.ModelError as error:
            raise BackendError(str(error)).about(error.dialogues) from None
        refuse_nan("emotion logits", outputs[0])
        return EmotionOutputs(*outputs), Hypotheses(*replies)

    def score(
        self,
        contexts: Contexts,
        requests: Requests,
        targets: Ids,
        target_offsets: Offsets,
        stop: Stop | None = None,
    ) -> tuple[EmotionOutputs, Floats]:
        try:
            outputs, log_probs = self._model.score(
                _arrays(contexts), _keys(requests), targets, target_offsets, dense=self.rescores, **self._running(stop)
            )
        except _native.ModelError as error:
            raise BackendError(str(error)).about(error.dialogues) from None
        refuse_nan("emotion logits", outputs[0])
        refuse_nan("log-probs", log_probs, offsets=target_offsets)
        return EmotionOutputs(*outputs), log_probs

    def mimic_shares(self, contexts: Contexts, requests: Requests) -> Floats:
        try:
            return self._model.mimic_shares(_arrays(contexts), _keys(requests), **self._running(None))
        except _native.ModelError as error:
            raise BackendError(str(error)) from None

    def describe(self) -> dict[str, Any]:
        why = f"{self.precision} kernels for {self._model.isa}"
        if self.precision == "screened" and not self._model.screened:
            why = f"float32 kernels for {self._model.isa}: the screen would not pay on this vocabulary"
        slow = self.precision == "bfloat16" and self._model.isa not in BFLOAT16_ISAS
        remark = (
            f"precision='bfloat16': {self._model.isa} has no bfloat16 products, so float32's are used; weights take "
            "half the memory, but large batches no less time than with 'float32' ('screened' and 'int8' are faster)"
        )
        return {
            "isa": self._model.isa,
            **({"remark": remark} if slow else {}),
            **({"exact_logprobs": True} if self.exact_logprobs else {}),
            "implementations": {op: {"choice": self.name, "reason": why} for op in self._ops},
        }

    def _of_contexts(self, run: Callable[..., Floats], what: str, contexts: Contexts, stop: Stop | None) -> Floats:
        """`what` a method of the extension finds in contexts, [N, columns]."""
        try:
            found = run(_arrays(contexts), **self._running(stop))
        except _native.ModelError as error:
            raise BackendError(str(error)).about(error.dialogues) from None
        refuse_nan(what, found)
        return found

    def _running(self, stop: Stop | None) -> dict[str, Any]:
        return {"stop": stop, "threads": self.threads, "batch_size": self.batch_size}


class PackedTower(Tower):
    """A tower whose weights are packed for the extension's products in float32."""

    _packed: _native.Tower

    def __init__(self, tower: Tower, isa: str) -> None:
        super().__init__(*(getattr(tower, part) for part in PARTS))
        weights = (np.ascontiguousarray(getattr(tower, part), np.float32) for part in PARTS)
        object.__setattr__(self, "_packed", _native.Tower(*weights, isa=isa))

    def __call__(self, vectors: Floats, threads: int = 1, stop: Stop | None = None) -> Floats:
        if vectors.dtype != np.float32:
            return super().__call__(vectors, threads, stop)
        try:
            return unit(self._packed(np.ascontiguousarray(vectors), stop=stop, threads=threads))
        except _native.ModelError as error:
            raise BackendError(str(error)) from None


class _Named:
    """Tensors by all their names."""

    def __init__(self, tensors: Mapping[str, Any], tied: Mapping[str, str]) -> None:
        self.tensors = tensors
        self.tied = tied

    def __getitem__(self, name: str) -> Any:
        return self.tensors[self.tied.get(name, name)]


def _arrays(contexts: Contexts) -> tuple[Ids, Ids, Offsets]:
    return contexts.token_ids, contexts.state_ids, contexts.offsets


def _keys(requests: Requests) -> tuple[Any, ...]:
    return requests.seeds, requests.request_ids, requests.emotions, requests.stochastic
