"""The one tolerance table: how far a result may be from what it is held against."""

from __future__ import annotations

import torch
from torch import Tensor

# Absolute bounds by dtype.
BOUNDS: dict[torch.dtype, float] = {torch.float32: 1e-4, torch.float64: 1e-10}


def assert_close(actual: Tensor, expected: Tensor) -> None:
    """Equal shapes, no NaN, and within the bound of the actual tensor's dtype."""
    bound = BOUNDS[actual.dtype]
    torch.testing.assert_close(actual, expected.to(actual.dtype), atol=bound, rtol=0.0)
