"""The way from contexts to memories in few shapes, each a CUDA graph: hundreds of small kernels, one launch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import torch
from torch import Tensor

from mime_fast.backends.gpu.graphs import Capture
from mime_fast.backends.gpu.model import DeviceModel, PaddedContexts, Understood
from mime_fast.backends.gpu.session import ladder

TOGETHER = 128  # dialogues; the largest batch, and the top of the ladder of sizes
SHAPES = 64  # kept with their buffers and graphs


class Prefill:
    """`DeviceModel.understand` for up to `TOGETHER` dialogues.

    What it returns is good until the next call, by which the same memory may have something else in it.
    """

    def __init__(self, model: DeviceModel, capture: Capture | None) -> None:
        self._model = model
        self._capture = capture
        self._shapes: dict[tuple[int, int, bool], _Shape] = {}

    def __call__(self, batch: PaddedContexts) -> Understood:
        if self._capture is None:
            return self._model.understand(batch)
        count, width = batch.context_ids.shape
        rows = min(size for size in ladder(TOGETHER) if size >= count)
        key = rows, width, batch.stochastic
        shape = self._shapes.pop(key, None)
        if shape is not None:
            self._shapes[key] = shape  # the last one used
            return _first(shape.replay(batch, self._capture), count)
        while len(self._shapes) >= SHAPES:
            del self._shapes[next(iter(self._shapes))]
        self._shapes[key] = _Shape(self._model, _repeated(batch, rows))
        return _first(self._shapes[key].run(), count)

    def forget(self) -> None:
        """Give up the memory of all shapes."""
        self._shapes.clear()


class _Shape:
    """Buffers of one shape, and the graph from the second use on."""

    def __init__(self, model: DeviceModel, given: PaddedContexts) -> None:
        self._model = model
        self._given = given
        self._found: Understood | None = None
        self._again: Callable[[], None] | None = None

    def run(self) -> Understood:
        self._found = self._model.understand(self._given)
        return self._found

    def replay(self, batch: PaddedContexts, capture: Capture) -> Understood:
        for mine, given in zip(_tensors(self._given), _tensors(batch), strict=True):
            mine[: len(given)] = given
        if self._again is None:
            self._again = capture(self._step)
        self._again()
        assert self._found is not None
        return self._found

    def _step(self) -> None:
        self._found = self._model.understand(self._given)


def _tensors(batch: PaddedContexts) -> list[Tensor]:
    return [value for field in fields(batch) if isinstance(value := getattr(batch, field.name), Tensor)]


def _repeated(batch: PaddedContexts, rows: int) -> PaddedContexts:
    """A copy with so many rows."""
    names = [field.name for field in fields(batch) if isinstance(getattr(batch, field.name), Tensor)]
    at = torch.arange(rows, device=batch.context_ids.device) % len(batch.context_ids)
    return replace(batch, **{name: getattr(batch, name)[at] for name in names})


def _first(found: Understood, count: int) -> Understood:
    return Understood(*(getattr(found, field.name)[:count] for field in fields(found)))
