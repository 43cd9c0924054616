"""Runs a decoding step as a CUDA graph would have it: nothing read back, nothing of a shape that data decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mime_fast.backends.gpu.graphs import Graphs

READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero")


class NoNumbers(TorchFunctionMode):
    """Raises at `x[places] = 1`: PyTorch would make a tensor of the number on the host, copy it, and wait."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__setitem__ and not isinstance(args[2], Tensor):
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(place, Tensor) for place in places), "a number is copied to the device"
        return func(*args, **(kwargs or {}))


class NoReads(TorchDispatchMode):
    """Raises where the host would wait for the device; `ops` contains what ran."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops: list[str] = []
        self._numbers = NoNumbers()

    def __enter__(self) -> NoReads:
        self._numbers.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._numbers.__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        self.ops.append(name)
        assert not name.startswith(READS), f"{name} waits for the device"
        if name.startswith("index"):
            for index in next((arg for arg in args if isinstance(arg, list | tuple)), ()):
                assert index is None or index.dtype is not torch.bool, f"{name} by a mask has a shape that data decide"
        if name in ("_to_copy", "copy_"):
            kinds = {x.device.type for x in args if isinstance(x, torch.Tensor)}
            kinds |= {torch.device(kwargs["device"]).type} if kwargs and kwargs.get("device") else set()
            assert len(kinds) == 1, f"{name} between devices"
        return func(*args, **(kwargs or {}))


class FakeGraphs(Graphs):
    """Captures by `FakeCapture`."""

    def __init__(self) -> None:
        super().__init__()
        self.pools: list[FakeCapture] = []

    def new_pool(self) -> FakeCapture:
        self.pools.append(FakeCapture())
        return self.pools[-1]


class FakeCapture:
    """Stands for CUDA graphs: a captured step runs under `NoReads`, with the same ops in the same order every time."""

    def __init__(self) -> None:
        self.replays = 0

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        first: list[str] = []

        def replay() -> None:
            with NoReads() as mode:
                step()
            if not first:
                first.extend(mode.ops)
            assert mode.ops == first
            self.replays += 1

        return replay
