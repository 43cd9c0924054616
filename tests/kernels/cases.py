"""What the tests of kernels share: random tensors, and the rule of exactness for all results of an op."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.parity import assert_as_exact

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class Random:
    """Seeded normals in float64, so that every dtype starts from the same numbers."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=self.generator) * scale

    def ids(self, high: int, *shape: int) -> Tensor:
        """int32 from 0 to high - 1."""
        return torch.randint(0, high, shape, generator=self.generator).int()


def bits(values: list[int]) -> Tensor:
    """Unsigned 64-bit integers as int64."""
    return torch.from_numpy(np.array(values, dtype=np.uint64).view(np.int64))


def move(value: Any, dtype: torch.dtype, device: str) -> Any:
    """Floating tensors in `dtype`, all tensors on `device`; also inside dataclasses and tuples."""
    if isinstance(value, Tensor):
        return value.to(device=device, dtype=dtype if value.is_floating_point() else value.dtype)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(*(move(getattr(value, f.name), dtype, device) for f in dataclasses.fields(value)))
    return tuple(move(v, dtype, device) for v in value) if isinstance(value, tuple) else value


def check_exactness(
    kernel: Callable[..., Any], plain: Callable[..., Any], inputs: tuple[Any, ...], dtype: torch.dtype, device: str
) -> None:
    """Every floating result of `kernel` is as exact as that of `plain` in the same dtype; inputs are float64.

    All three computations start from the numbers that `dtype` represents.
    """
    rounded = move(inputs, dtype, device)
    found = kernel(*rounded)
    usual = plain(*move(rounded, dtype, device))
    exact = plain(*move(rounded, torch.float64, device))
    results = zip(*((r if isinstance(r, tuple) else (r,)) for r in (found, usual, exact)), strict=True)
    for actual, other, best in results:
        assert actual.dtype == other.dtype and actual.shape == other.shape
        if actual.is_floating_point():
            assert_as_exact(actual, other, best)
