"""A call of few searches, whose launches would cost as much as the device's work: few graphs, and nothing in between.

One copy to the device; a graph that encodes the dialogues and begins the searches; graphs of several steps, each of
which ends with a report: whether searches are live, and all that they have found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mime_fast.backends.gpu.admission import Admission, begin
from mime_fast.backends.gpu.graphs import Repeated
from mime_fast.backends.gpu.packing import Arrival, apart, leaves, pack, together, unpacked
from mime_fast.backends.gpu.session import Session
from mime_fast.backends.protocol import Stop
from mime_fast.errors import BackendError

FEW = 8  # searches
STEPS = 4  # of a graph
SHAPES = 32  # kept with their buffers and graphs


class Few:
    """Calls of no more searches than a session has slots; each search is in the slot of its number."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._beginnings: dict[tuple[Any, ...], _Beginning] = {}
        self._steps = Repeated(self._several, session.capture)
        state = session.state
        pools = (state.pool_counts, state.pool_sums, state.pool_scores, state.pool_words, state.pool_log_probs)
        self._reported = (state.live_count, state.pool_sizes, state.broken_at, session.emotions, *pools)
        self._report = together(self._reported)
        self._reports = Arrival(self._report), Arrival(self._report)

    def run(self, admission: Admission, stop: Stop | None) -> list[npt.NDArray[Any]]:
        """Search for all items, 0 to M - 1 in their order; `admission` is on the host.

        Returns:
            Arrays like the fields of `loop.Found`, without a last row.

        Raises:
            BackendError: `stop` was set.
        """
        self._begin(admission)
        for i in range(-(-self._session.options.max_new_tokens // STEPS)):
            if stop is not None and stop[0]:
                raise BackendError("stopped")
            self._steps()
            before, report = self._reports[i % 2 - 1], self._reports[i % 2]
            report.send(self._report)
            if i and not _live(before.wait()):  # while the device is at the steps after it
                report = before
                break
        return self._found(report.wait(), len(admission.items))

    def _begin(self, admission: Admission) -> None:
        key = tuple((x.shape, x.dtype) if isinstance(x, Tensor) else x for x in leaves(admission))
        beginning = self._beginnings.pop(key, None)
        if beginning is None:
            while len(self._beginnings) >= SHAPES:
                del self._beginnings[next(iter(self._beginnings))]
            beginning = _Beginning(self._session, admission)
        self._beginnings[key] = beginning  # the last one used
        beginning.run(admission)

    def _several(self) -> None:
        for _ in range(STEPS):
            self._session.step(self._session.shape.slots)
        self._report = together(self._reported)

    def _found(self, report: Tensor, items: int) -> list[npt.NDArray[Any]]:
        _, sizes, broken_at, emotions, *pools = (x[:items] for x in apart(report, self._reported))
        kept = self._session.kept
        return [np.minimum(sizes, kept), broken_at, emotions, *(pool[:, :kept] for pool in pools)]


class _Beginning:
    """How searches begin that need arrays of the same shapes."""

    def __init__(self, session: Session, admission: Admission) -> None:
        self._session = session
        self._device = session.model.device
        self._packed = pack(admission, self._device).to(self._device)
        self._admission = unpacked(self._packed, admission)
        self._slots = torch.arange(len(admission.items), device=self._device)
        self._begin = Repeated(self._step, session.capture)

    def run(self, admission: Admission) -> None:
        self._packed.copy_(pack(admission, self._device), non_blocking=True)
        self._begin()

    def _step(self) -> None:
        self._session.reset()
        begin(self._session, self._session.model.understand, self._admission, self._slots)


def _live(report: Tensor) -> int:
    """The live count, which is first."""
    return int(report[:4].view(torch.int32))
