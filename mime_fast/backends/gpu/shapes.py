"""Functions of a batch of dialogues in few shapes, each a CUDA graph: hundreds of small kernels, one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import Tensor

from mime_fast.backends.gpu.graphs import Capture
from mime_fast.backends.gpu.packing import each, leaves

SHAPES = 64  # kept with their buffers and graphs
Given = TypeVar("Given")
Found = TypeVar("Found")


class Shapes(Generic[Given, Found]):
    """`run`: the first time of a shape eagerly, then as a graph.

    What it returns is good until the next call, by which the same memory may have something else in it.

    Args:
        run: of a dataclass to one; their fields are tensors, or such dataclasses, or plain values.
        capture: what makes graphs; None: there are none.
    """

    def __init__(self, run: Callable[[Given], Found], capture: Capture | None) -> None:
        self._run = run
        self._capture = capture
        self._shapes: dict[tuple[Any, ...], _Shape[Given, Found]] = {}

    def __call__(self, batch: Given) -> Found:
        if self._capture is None:
            return self._run(batch)
        key = tuple(x.shape if isinstance(x, Tensor) else x for x in leaves(batch))
        shape = self._shapes.pop(key, None)
        if shape is not None:
            self._shapes[key] = shape  # the last one used
            return shape.replay(batch, self._capture)
        while len(self._shapes) >= SHAPES:
            del self._shapes[next(iter(self._shapes))]
        self._shapes[key] = _Shape(self._run, each(batch, Tensor.clone))
        return self._shapes[key].run()

    def forget(self) -> None:
        """Give up the memory of all shapes."""
        self._shapes.clear()


class _Shape(Generic[Given, Found]):
    """Buffers of one shape, and the graph from the second use on."""

    def __init__(self, run: Callable[[Given], Found], given: Given) -> None:
        self._run = run
        self._given = given
        self._found: Found | None = None
        self._again: Callable[[], None] | None = None

    def run(self) -> Found:
        self._found = self._run(self._given)
        return self._found

    def replay(self, batch: Given, capture: Capture) -> Found:
        for mine, given in zip(leaves(self._given), leaves(batch), strict=True):
            if isinstance(mine, Tensor):
                mine.copy_(given)
        if self._again is None:
            self._again = capture(self._step)
        self._again()
        assert self._found is not None
        return self._found

    def _step(self) -> None:
        self._found = self._run(self._given)
