"""The GPU as a back end: kernels and decode loop on the device. docs/gpu.md says how it works."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mime_fast.backends.gpu.batches import batches, buckets, dialogues_of, flattened, padded
from mime_fast.backends.gpu.few import FEW, Few
from mime_fast.backends.gpu.graphs import Graphs
from mime_fast.backends.gpu.loop import run_queue
from mime_fast.backends.gpu.model import (
    EMOTION_COLUMNS,
    DeviceModel,
    FlatContexts,
    PaddedResponses,
    emotion_rows,
    exact_float32,
)
from mime_fast.backends.gpu.packing import to_device, to_host
from mime_fast.backends.gpu.session import Session, Shape, ladder
from mime_fast.backends.gpu.shapes import Shapes
from mime_fast.backends.gpu.work import Work, emotion_outputs
from mime_fast.backends.placement import Placement
from mime_fast.backends.protocol import OPS, Contexts, EmotionOutputs, Floats, Ids, Offsets, Requests, Stop, refuse_nan
from mime_fast.backends.reference import ReferenceBackend
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.emotions import LABELS
from mime_fast.errors import BackendError
from mime_fast.kernels.select import Ops
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.reference.mime import Mime
from mime_fast.reference.reranker import Reranker

SESSIONS = 4  # kept with their buffers and graphs
STATUS = "experimental: this back end has not run on a GPU yet"
RUNS = {  # the kernel that runs each op that `describe` names
    "encode": "encoder",
    "response_emotion": "response_emotion",
    "gate_fusion": "gate_fusion",
    "decode": "decoder_step",
    "search": "beam_step",
    "random_numbers": "response_emotion",
}
T = TypeVar("T")


class _Searches(NamedTuple):
    """Two ways to search with the same buffers."""

    session: Session
    few: Few


class CudaBackend:
    """A model on a GPU. See `Backend` for the methods.

    Args:
        model: float32, on the device.
        dtype: of products and caches.
        batch_size: searches that are decoded together.
        ops: what runs each op; the plain ones make this run on the CPU, too.
        graphs: whether steps are captured as CUDA graphs.
    """

    name = "cuda"
    rescores = False

    def __init__(self, model: Mime, dtype: torch.dtype, batch_size: int, ops: Ops, graphs: Graphs) -> None:
        self._source = model
        with torch.inference_mode():
            self.model = DeviceModel(model, dtype, ops)
        self.batch_size = batch_size
        self._graphs = graphs
        capture = graphs.new_pool()
        self._understand = Shapes(self.model.understand, capture)
        self._read = Shapes(self.model.read, capture)
        self._sessions: dict[Shape, _Searches] = {}
        self._lock = Lock()

    def classify(self, contexts: Contexts, stop: Stop | None = None) -> Floats:
        return self._of_contexts(self.model.classify, "emotion logits", len(LABELS), contexts, stop)

    def context_vectors(self, contexts: Contexts, stop: Stop | None = None) -> Floats:
        columns = 2 * self.model.config.hidden_size
        return self._of_contexts(self.model.context_vectors, "context vectors", columns, contexts, stop)

    def packed(self, reranker: Reranker) -> Reranker:
        return reranker

    def generate(
        self,
        contexts: Contexts,
        requests: Requests,
        options: GenerationConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
        stop: Stop | None = None,
    ) -> tuple[EmotionOutputs, Sequence[list[Hypothesis]]]:
        if not len(contexts):
            return emotion_outputs(np.zeros((0, EMOTION_COLUMNS), np.float32)), []
        work = Work(self.model, self._understand, contexts, requests, options, prefixes)
        with self._running():
            sizes, broken_at, emotions, *pools = self._halving(lambda most: self._search(work, most, stop))
        outputs = work.outputs(emotions)
        refuse_nan("emotion logits", outputs.emotion_logits)
        return outputs, work.results(sizes, broken_at, *pools)

    def score(
        self,
        contexts: Contexts,
        requests: Requests,
        targets: Ids,
        target_offsets: Offsets,
        stop: Stop | None = None,
    ) -> tuple[EmotionOutputs, Floats]:
        device = self.model.device

        def run(most: int) -> tuple[Tensor, Tensor]:
            emotions = torch.zeros(len(contexts), EMOTION_COLUMNS, device=device)
            log_probs = torch.zeros(len(targets), device=device)
            lengths = buckets(target_offsets, self.model.config.max_positions)
            for which in self._batches(contexts, lengths, most, stop):
                length, count = int(lengths[which[0]]), len(which)
                asked = dialogues_of(contexts, requests, which), padded(targets, target_offsets, which, length)
                real = _real_ones(which, length, target_offsets)
                given, ids, wanted, to, places = to_device((*asked, *real, torch.tensor(which)), device)
                if not length:
                    emotions[places] = emotion_rows(self._understand(given))[:count]
                    continue
                read = self._read(PaddedResponses(given, ids))
                emotions[places] = emotion_rows(read.understood)[:count]
                log_probs[to] = self.model.score(read.hidden.flatten(0, 1)[wanted], ids.flatten()[wanted])
            return log_probs, emotions

        with self._running():
            found, emotions = to_host(self._halving(run))
        outputs = emotion_outputs(emotions)
        refuse_nan("emotion logits", outputs.emotion_logits)
        refuse_nan("log-probs", found, offsets=target_offsets)
        return outputs, found

    def mimic_shares(self, contexts: Contexts, requests: Requests) -> Floats:
        """By the reference: the kernel keeps only their means."""
        placement = Placement(str(self.model.device), "float32", "")
        reference = ReferenceBackend(ModelWeights.of(self._source), placement, self.batch_size, torch.get_num_threads())
        return reference.mimic_shares(contexts, requests)

    def describe(self) -> dict[str, Any]:
        choices = self.model.ops.choices
        found = {op: choices[RUNS[op]] for op in OPS}
        # The batch size may have been halved since `load`.
        return {
            "batch_size": self.batch_size,
            "cuda_graphs": self._graphs.describe(),
            "status": STATUS,
            "implementations": {op: {"choice": choice, "reason": why} for op, (choice, why) in found.items()},
        }

    def last_session(self) -> Session:
        """What the last call of `generate` decoded with; for profiles."""
        return next(reversed(self._sessions.values())).session

    def _of_contexts(
        self, read: Callable[[FlatContexts], Tensor], what: str, columns: int, contexts: Contexts, stop: Stop | None
    ) -> Floats:
        """`what` is read of contexts, float32 [N, columns]."""
        device = self.model.device

        def run(most: int) -> Tensor:
            rows = torch.zeros(len(contexts), columns, device=device)
            for which in self._batches(contexts, np.zeros(len(contexts), np.int64), most, stop):
                places, given = to_device((torch.tensor(which), flattened(contexts, which)), device)
                rows[places] = read(given)[: len(which)]
            return rows

        with self._running():
            found: Floats = self._halving(run).cpu().numpy()
        refuse_nan(what, found)
        return found

    def _batches(
        self, contexts: Contexts, alike: npt.NDArray[np.int64], most: int, stop: Stop | None
    ) -> Iterator[list[int]]:
        """Dialogues for which `alike` [N] is equal, longest contexts first."""
        order = np.lexsort((-np.diff(contexts.offsets), -alike))
        for batch in batches(order.tolist(), contexts.offsets, alike, most):
            if stop is not None and stop[0]:
                raise BackendError("stopped")
            yield batch

    def _search(self, work: Work, most: int, stop: Stop | None) -> list[npt.NDArray[Any]]:
        """Arrays like the fields of `Found`, on the host."""
        searches = self._searches(work, most)
        if work.items <= min(FEW, searches.session.shape.slots):
            return searches.few.run(work.admission(0, work.items), stop)
        found = run_queue(searches.session, work.items, work.admit, stop)
        return to_host([getattr(found, field.name) for field in fields(found)])

    def _searches(self, work: Work, most: int) -> _Searches:
        slots = min(step for step in ladder(most) if step >= min(work.items, most))
        shape = Shape(work.options, slots, work.source, work.prefixes is not None)
        alike = [one for one in self._sessions if replace(one, source=shape.source) == shape]
        shape = max([shape, *alike], key=lambda one: one.source)  # one for longer memories does for shorter ones
        searches = self._sessions.pop(shape, None)
        if searches is None:
            for shorter in alike:
                del self._sessions[shorter]
            while len(self._sessions) >= SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            session = Session(self.model, shape, self._graphs.new_pool())
            searches = _Searches(session, Few(session))
        self._sessions[shape] = searches
        return searches

    @contextmanager
    def _running(self) -> Iterator[None]:
        """One call at a time: buffers and graphs belong to it.

        All calls use the device's default stream: graphs that are captured on one stream share a workspace of cuBLAS,
        so that two of them must not run at the same time.
        """
        device = self.model.device
        with self._lock, torch.inference_mode(), exact_float32(), ExitStack() as chosen:
            if device.type == "cuda":
                chosen.enter_context(torch.cuda.device(device))
                chosen.enter_context(torch.cuda.stream(torch.cuda.default_stream(device)))
            yield

    def _halving(self, run: Callable[[int], T]) -> T:
        """Run with the batch size; where memory does not suffice, all over with half of it, from then on."""
        while True:
            try:
                return run(self.batch_size)
            except torch.cuda.OutOfMemoryError as error:
                self._sessions.clear()
                self._understand.forget()
                self._read.forget()
                if self.batch_size == 1:
                    raise BackendError(f"the GPU's memory does not suffice for one dialogue: {error}") from None
                self.batch_size = -(-self.batch_size // 2)
            torch.cuda.empty_cache()


def _real_ones(which: list[int], width: int, offsets: Offsets) -> tuple[Tensor, Tensor]:
    """Of rows of `width`, which of their flat values are real, and where those are in the call's; int64."""
    rows, columns = np.nonzero(np.arange(width) < np.diff(offsets)[which][:, None])
    return torch.from_numpy(rows * width + columns), torch.from_numpy(offsets[which][rows] + columns)
